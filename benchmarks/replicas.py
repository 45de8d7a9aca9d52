"""What several servers behind HAProxy bear, and what their visitors notice when one of them dies.

    python -m benchmarks.replicas
    python -m benchmarks.replicas --visitors 6 --seconds 20 --replicas 2

Starts servers on this machine behind the HAProxy of deploy/ and lets visitors change controls: with
one server, with several, and with several of which one is ended in the middle without a warning. A
visitor who is cut off comes again with the same link, as a browser does; that takes from when it is
noticed to the whole page. Needs twenty minutes and a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from websockets.exceptions import ConnectionClosed

from benchmarks.app import PAUSE, SAMPLES, side_by_side, spread
from benchmarks.haproxy import Replica, behind_haproxy
from benchmarks.machine import processor
from benchmarks.visitor import CONTROLS, Visitor

AGAIN = 0.5  # s between two attempts to come back; Streamlit's page waits about as long
LOST = 120.0  # s after which a visitor counts as lost


@dataclass
class Seen:
    """What the visitors of one run have seen, in seconds."""

    redraws: list[float] = field(default_factory=list)
    returns: list[float] = field(default_factory=list)
    lost: int = 0


def come_back(port: int, sample: str, seen: Seen) -> Visitor | None:
    """The same link again, until its page is there; None if it never is."""
    cut = time.monotonic()
    while time.monotonic() - cut < LOST:
        try:
            tab = Visitor(port, sample)
        except (OSError, ConnectionClosed):
            time.sleep(AGAIN)
        else:
            seen.returns.append(time.monotonic() - cut)
            return tab
    seen.lost += 1
    return None


def use(port: int, number: int, tab: Visitor | None, end: float, seen: Seen) -> None:
    """Change controls and look, as long as the run takes."""
    chance, sample = random.Random(number), SAMPLES[number % len(SAMPLES)]
    while tab and time.monotonic() < end:
        time.sleep(chance.uniform(0, 2 * PAUSE))
        label = chance.choice(list(CONTROLS))
        try:
            seen.redraws.append(tab.change(label, chance.choice(CONTROLS[label])))
        except (OSError, ConnectionClosed):
            tab = come_back(port, sample, seen)
    if tab:
        tab.leave()


@contextmanager
def killed_in(seconds: float, replicas: list[Replica]) -> Iterator[None]:
    """These end without a warning after so many seconds."""

    def kill() -> None:
        for replica in replicas:
            replica.end(signal.SIGKILL)

    timer = threading.Timer(seconds, kill)
    timer.start()
    yield
    timer.join()


def measure(replicas: int, visitors: int, seconds: float, *, kill: bool) -> str:
    """One run, as a row."""
    settings, seen = {"VITVIZ_MAX_VISITORS": str(visitors)}, Seen()  # all of them at the last one
    with (
        tempfile.TemporaryDirectory() as folder,
        behind_haproxy(Path(folder), replicas, settings=settings) as (port, servers),
    ):
        tabs = [Visitor(port, SAMPLES[number % len(SAMPLES)]) for number in range(visitors)]
        held = [round(s.metric('vitviz_visitors{state="inside"}')) for s in servers]
        start = time.monotonic()
        end = start + seconds

        def one(number: int) -> Callable[[], None]:
            return lambda: use(port, number, tabs[number], end, seen)

        with killed_in(seconds / 2, servers[:1] if kill else []):
            side_by_side([one(number) for number in range(visitors)])
        rate = len(seen.redraws) / (time.monotonic() - start)
    back = seen.returns
    longest = f"{statistics.median(back):.1f} | {max(back):.1f}" if back else "– | –"
    spread_over = " + ".join(map(str, held))
    return (
        f"| {replicas}{', one killed' if kill else ''} | {spread_over} | {rate:.1f} | "
        f"{spread(seen.redraws)} | {len(back)} | {longest} | {seen.lost} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--visitors", type=int, default=150)
    parser.add_argument("--seconds", type=float, default=120, help="of each run")
    args = parser.parse_args()
    print(processor())
    print("\n| servers | visitors | redraws a second | median ms | 95 % ms | cut off", end="")
    print(
        " | back after s, median | longest | lost |\n|---|---|---|---|---|---|---|---|---|",
        flush=True,
    )
    for replicas, kill in ((1, False), (args.replicas, False), (args.replicas, True)):
        print(measure(replicas, args.visitors, args.seconds, kill=kill), flush=True)


if __name__ == "__main__":
    main()
