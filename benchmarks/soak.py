"""Whether the app can run on: visitors who bring photos, compare methods and leave, for an hour.

    python -m benchmarks.soak
    python -m benchmarks.soak --minutes 2

Prints the server's memory minute by minute, and whatever its log says of errors.
"""

from __future__ import annotations

import argparse
import random
import re
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from websockets.exceptions import ConnectionClosed

from benchmarks.machine import processor
from benchmarks.visitor import CONTROLS, Visitor, app, photos_of_ones_own, resident
from vitviz.photos.samples import samples

SAMPLES = [sample.id for sample in samples()]
WRONG = re.compile(r"error|exception|traceback|warning", re.IGNORECASE)
LEFT = "left while the methods were compared"
STAY = 40.0  # s of a visit, on average


def visit(port: int, photos: Iterator[bytes], chance: random.Random, done: Counter[str]) -> None:
    """One visitor: half bring photos, a quarter compare, and some leave while that runs."""
    compares = chance.random() < 0.25
    tab = Visitor(port, chance.choice(SAMPLES), "compare" if compares else "explore")
    done["visits"] += 1
    end = time.monotonic() + chance.uniform(0, 2 * STAY)
    if chance.random() < 0.5:
        if compares and chance.random() < 0.3:
            threading.Timer(chance.uniform(0.5, 5), tab.leave).start()
        tab.bring(next(photos))
        done["photos"] += 1
    done["comparisons"] += compares
    while not compares and time.monotonic() < end:
        label = chance.choice(list(CONTROLS))
        tab.change(label, chance.choice(CONTROLS[label]))
        done["redraws"] += 1
        time.sleep(chance.uniform(0, 4))
    tab.leave()


def come_and_go(
    port: int, number: int, end: float, done: Counter[str], failed: Counter[str]
) -> None:
    """One visitor after the other; what a visitor meets is counted, and the next one comes."""
    photos, chance = photos_of_ones_own(number), random.Random(number)
    while time.monotonic() < end:
        try:
            visit(port, photos, chance, done)
        except ConnectionClosed:
            failed[LEFT] += 1
        except (RuntimeError, OSError) as error:  # said on the page, or by the server
            failed[f"{type(error).__name__}: {error}"[:200]] += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--visitors", type=int, default=20, help="at once")
    args = parser.parse_args()
    print(processor(), flush=True)
    done, failed = Counter[str](), Counter[str]()
    with tempfile.NamedTemporaryFile(suffix=".log") as log, app(log) as (port, process):
        Visitor(port).leave()  # loads the model
        end = time.monotonic() + 60 * args.minutes
        for number in range(args.visitors):
            task = (port, number, end, done, failed)
            threading.Thread(target=come_and_go, args=task, daemon=True).start()
        heads = ["visits", "photos", "comparisons", "redraws"]
        print(f"\n| minute | MB | {' | '.join(heads)} | lines of errors |\n|{7 * '---|'}")
        for minute in range(args.minutes + 1):
            wrong = errors(Path(log.name))
            counts = " | ".join(str(done[head]) for head in heads)
            memory = f"{resident(process):.0f}"
            print(f"| {minute} | {memory} | {counts} | {len(wrong)} |", flush=True)
            time.sleep(60 if minute < args.minutes else 0)
        print("\n| what visitors met | how often |\n|---|---|")
        print("\n".join(f"| {what} | {count} |" for what, count in failed.items()))
        print("\nIn the log:", *(errors(Path(log.name)) or ["nothing"]), sep="\n")


def errors(log: Path) -> list[str]:
    """Its lines that tell of something wrong."""
    return [line for line in log.read_text(errors="replace").splitlines() if WRONG.search(line)]


if __name__ == "__main__":
    main()
