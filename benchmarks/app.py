"""How fast the app answers, alone and with many visitors at once, and what a visitor costs.

    python -m benchmarks.app

Starts the app on a free port of this machine and talks to it as a browser does, over WebSockets.
Times are those between a changed control and the end of the redraw, transport and parsing included.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from vitviz.photos.samples import samples

ROOT = Path(__file__).parent.parent
PATIENCE = 600.0  # seconds for a part of a page
COMPONENTS = ("vitviz_photo_gallery", "vitviz_patch_map", "vitviz_map_sheet")  # of a whole page
COMPARED = ("vitviz_photo_gallery", "vitviz_map_sheet")  # the same of Compare
CONTROLS: dict[str, list[dict[str, Any]]] = {
    "Layer": [{"double_array_value": {"data": [layer]}} for layer in range(12)],
    "Head": [{"string_array_value": {"data": [head]}} for head in ("mean", *"012345")],
    "Query": [{"string_value": f"{i % 16},{i * 5 % 16}"} for i in range(16)],
    "Strength": [{"double_array_value": {"data": [i / 20]}} for i in range(21)],
    "Show": [{"string_array_value": {"data": [view]}} for view in ("Heads", "All", "Layers")],
}


class Visitor:
    """One browser tab."""

    def __init__(self, port: int, sample: str, page: str = "explore") -> None:
        self.page = page
        self.socket = connect(
            f"ws://127.0.0.1:{port}/_stcore/stream",
            subprotocols=[Subprotocol("streamlit")],
            max_size=None,
            compression=None,
            legacy=True,
        )
        self.widgets: dict[str, str] = {}  # label → id
        self.values: dict[str, dict[str, Any]] = {}
        self.received = 0
        self.first_page = self.look_at(sample)

    def look_at(self, sample: str) -> float:
        """Choose a photo; seconds until the page shows it."""
        self.query = f"sample={sample}"
        return self.rerun()

    def change(self, label: str, value: dict[str, Any]) -> float:
        """Change a control; seconds until the page is redrawn."""
        self.values[self.widgets[label]] = value
        return self.rerun()

    def rerun(self) -> float:
        message = BackMsg()
        message.rerun_script.query_string = self.query
        message.rerun_script.page_name = self.page
        states = message.rerun_script.widget_states.widgets
        states.extend(WidgetState(id=key, **value) for key, value in self.values.items())
        start = time.perf_counter()
        self.socket.send(message.SerializeToString())
        self.received = 0
        found, needed = set[str](), COMPARED if self.page == "compare" else COMPONENTS
        while True:
            raw = self.socket.recv(timeout=PATIENCE)
            assert isinstance(raw, bytes)
            self.received += len(raw)
            answer = ForwardMsg.FromString(raw)
            if answer.WhichOneof("type") == "script_finished":
                if not found.issuperset(needed):
                    raise RuntimeError("The page came without its map.")
                return time.perf_counter() - start
            found.add(self.learn(answer))

    def learn(self, answer: ForwardMsg) -> str:
        """Remember the ids of the controls; stop at an error or a warning on the page.

        Returns:
            Which component of ours it is, if it is one.
        """
        if answer.WhichOneof("type") != "delta":
            return ""
        element = answer.delta.new_element
        kind = element.WhichOneof("type")
        shown: Any = getattr(element, kind or "", None)
        if kind in ("exception", "alert"):
            raise RuntimeError(str(shown))
        if getattr(shown, "label", "") in CONTROLS:
            self.widgets[shown.label] = shown.id
        return str(shown.component_name) if kind == "bidi_component" else ""


@contextmanager
def app() -> Iterator[tuple[int, int]]:
    """The app's port and process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "vitviz", "app", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health")
                break
            except OSError:
                time.sleep(0.2)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def resident(process: int) -> float:
    """Memory of a process in MB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def spread(seconds: list[float]) -> str:
    """Median and 95th percentile in ms."""
    ranked = statistics.quantiles(seconds, n=20)
    return f"{statistics.median(seconds) * 1000:.0f} | {ranked[-1] * 1000:.0f}"


def alone(port: int, changes: int) -> None:
    """Each control's redraw with one visitor."""
    visitor = Visitor(port, "cat")
    print("\n| control | median ms | 95 % ms | KB sent |\n|---|---|---|---|")
    for label, values in CONTROLS.items():
        turns = itertools.islice(itertools.cycle(values), changes)
        times = [visitor.change(label, value) for value in turns]
        print(f"| {label} | {spread(times)} | {visitor.received / 1000:.0f} |", flush=True)
    visitor.socket.close()


def together(port: int, process: int, visitors: int, seconds: float, pause: float) -> None:
    """Visitors who each change a control every `pause` seconds, on average."""
    ids = itertools.cycle(sample.id for sample in samples())
    before = resident(process)
    tabs = [Visitor(port, next(ids)) for _ in range(visitors)]
    each = (resident(process) - before) / visitors
    times: list[float] = []
    end = time.monotonic() + seconds

    def use(tab: Visitor, chance: random.Random) -> None:
        time.sleep(chance.uniform(0, pause))
        while time.monotonic() < end:
            label = chance.choice(list(CONTROLS))
            times.append(tab.change(label, chance.choice(CONTROLS[label])))
            time.sleep(chance.uniform(0, 2 * pause))  # people do not fall into step

    threads = [threading.Thread(target=use, args=(t, random.Random(i))) for i, t in enumerate(tabs)]
    for thread in threads:
        thread.start()
    memory = []
    for _ in range(4):
        time.sleep(seconds / 4)
        memory.append(resident(process))
    for thread in threads:
        thread.join()
    print("\n| visitors | redraws | median ms | 95 % ms | MB a visitor |\n|---|---|---|---|---|")
    print(f"| {visitors} | {len(times)} | {spread(times)} | {each:.0f} |")
    print(f"\nServer's memory through the run: {', '.join(f'{mb:.0f}' for mb in memory)} MB.")


def beside_long_work(
    port: int, visitors: int, comparing: int, seconds: float, pause: float
) -> None:
    """New photos while some compare methods on one photo after the other, and the rest change
    controls; those who look at new photos do so every `pause` seconds, on average. Who compares
    does so until the app is ended."""
    ids = [sample.id for sample in samples()]
    end = time.monotonic() + seconds
    photos: list[float] = []
    comparisons: list[float] = []

    def compare(number: int) -> None:
        with suppress(ConnectionClosed):
            tab = Visitor(port, ids[number % len(ids)], "compare")
            comparisons.append(tab.first_page)
            for sample in itertools.cycle(ids):
                comparisons.append(tab.look_at(sample))

    def visit(number: int) -> None:
        tab, chance = Visitor(port, ids[number % len(ids)]), random.Random(number)
        for sample in itertools.cycle(ids):
            time.sleep(chance.uniform(0, 2 * pause))
            if time.monotonic() > end:
                break
            if number % 2:
                label = chance.choice(list(CONTROLS))
                tab.change(label, chance.choice(CONTROLS[label]))
            else:
                photos.append(tab.look_at(sample))
        tab.socket.close()

    for number in range(comparing):
        threading.Thread(target=compare, args=(number,), daemon=True).start()
    threads = [threading.Thread(target=visit, args=(i,)) for i in range(visitors - comparing)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("\n| visitors | comparing | new photos | median ms | 95 % ms | longest ms |")
    print("|---|---|---|---|---|---|")
    most = f"{max(photos) * 1000:.0f}"
    print(f"| {visitors} | {comparing} | {len(photos)} | {spread(photos)} | {most} |")
    shown = ", ".join(f"{s:.0f}" for s in comparisons)
    print(f"\nComparisons, s each, in the order in which they were done: {shown or 'none'}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--changes", type=int, default=50, help="of each control")
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--comparing", type=int, default=5, help="of the visitors, at the end")
    parser.add_argument("--seconds", type=float, default=120)
    args = parser.parse_args()
    with app() as (port, process):
        Visitor(port, "coffee").socket.close()  # loads the model
        first = [Visitor(port, sample.id).first_page for sample in samples()]
        print(f"First page to first overlay: {statistics.median(first):.2f} s (median of samples)")
        alone(port, args.changes)
        together(port, process, args.visitors, args.seconds, pause=2.0)
        beside_long_work(port, args.visitors, args.comparing, args.seconds, pause=5.0)


if __name__ == "__main__":
    main()
