"""How fast the app answers, alone and with many visitors at once, and what a visitor costs.

    python -m benchmarks.app

Starts the app on a free port of this machine and talks to it as browsers do, over WebSockets and
with uploads. Times are those between a changed control, or the first byte of a photo, and the end
of the redraw, transport and parsing included. Needs half an hour and a machine that does nothing
else; `--part` measures one of its parts.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from websockets.exceptions import ConnectionClosed

from benchmarks.machine import processor
from benchmarks.visitor import (
    CONTROLS,
    MEGAPIXELS,
    Visitor,
    app,
    photos_of_ones_own,
    processor_time,
    resident,
)
from vitviz.photos.samples import samples
from vitviz.ui.visit.kept import IDLE
from vitviz.ui.visit.memory import EVERY_SECONDS

SAMPLES = [sample.id for sample in samples()]
REDRAW = {1: 60, 20: 60, 60: 250}  # ms aimed at for 95 % of the redraws, by the number of visitors
NEW_PHOTO = 3_000  # the same of new photos
MB_A_VISITOR = 12  # of one who reads, with a photo of their own
PAUSE = 2.0  # s between two changes of a visitor, on average
NOT_MEASURED = """
Not measured: what a browser needs to draw a page, and the network between it and the server; the
visitors' own work is done on the same processor. Pages other than Explore and Compare, models other
than the bundled one, cameras, web addresses, pasted photos, downloads and lessons with training."""


def spread(seconds: list[float]) -> str:
    """Median and 95th percentile in ms."""
    return f"{statistics.median(seconds) * 1000:.0f} | {most_of(seconds):.0f}"


def most_of(seconds: list[float]) -> float:
    """Their 95th percentile in ms."""
    return statistics.quantiles(seconds, n=20)[-1] * 1000


def against(value: float, aim: float) -> str:
    """The aim, and whether it is reached."""
    return f"{aim:.0f} | {'yes' if value <= aim else '**no**'}"


def alone(port: int, process: int, changes: int) -> None:
    """Each control's redraw with one visitor."""
    visitor = Visitor(port)
    print("\n| control | median ms | 95 % ms | aim | reached | processor ms | KB sent |")
    print("|---|---|---|---|---|---|---|")
    for label, values in CONTROLS.items():
        start = processor_time(process)
        turns = itertools.islice(itertools.cycle(values), changes)
        times = [visitor.change(label, value) for value in turns]
        each = (processor_time(process) - start) / changes * 1000
        aim = against(most_of(times), REDRAW[1])
        sent = f"{visitor.received / 1000:.0f}"
        print(f"| {label} | {spread(times)} | {aim} | {each:.0f} | {sent} |", flush=True)
    visitor.leave()


def side_by_side(tasks: list[Callable[[], None]]) -> None:
    """Until all are done; what one of them raises is raised."""
    failed: list[BaseException] = []

    def run(task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def together(port: int, process: int, visitors: int, seconds: float, own: bool) -> None:
    """Visitors who each change a control every two seconds, on average, and then read; on a photo
    of their own, or on a sample."""
    photos = photos_of_ones_own(visitors)
    tabs = [Visitor(port, SAMPLES[number % len(SAMPLES)]) for number in range(visitors)]
    before = resident(process)
    if own:
        for tab in tabs:
            tab.bring(next(photos))
    each = (resident(process) - before) / visitors
    times: list[float] = []
    end = time.monotonic() + seconds

    def use(tab: Visitor, chance: random.Random) -> None:
        time.sleep(chance.uniform(0, PAUSE))
        while time.monotonic() < end:
            label = chance.choice(list(CONTROLS))
            times.append(tab.change(label, chance.choice(CONTROLS[label])))
            time.sleep(chance.uniform(0, 2 * PAUSE))  # people do not fall into step

    start = processor_time(process)
    side_by_side([lambda t=t, i=i: use(t, random.Random(i)) for i, t in enumerate(tabs)])  # type: ignore[misc]
    busy = (processor_time(process) - start) / len(times) * 1000
    after = (resident(process) - before) / visitors
    kind, memory = "samples", "| | | |"
    if own:
        time.sleep(IDLE + 2 * EVERY_SECONDS)
        reading = (resident(process) - before) / visitors
        kind = "their own"
        memory = f"{each:.0f} | {after:.0f} | {reading:.0f} | {against(reading, MB_A_VISITOR)}"
    for tab in tabs:
        tab.leave()
    aim = against(most_of(times), REDRAW.get(visitors, REDRAW[60]))
    print(
        f"| {visitors} | {kind} | {len(times)} | {spread(times)} | {aim} | {busy:.0f} | {memory} |",
        flush=True,
    )


def beside_long_work(port: int, visitors: int, comparing: int, seconds: float) -> None:
    """New photos while some compare methods on one photo after the other. Of the rest a third bring
    photos, a third look at samples, and a third change controls. Who compares does so until the app
    is ended."""
    end = time.monotonic() + seconds
    brought: list[float] = []
    looked: list[float] = []
    redrawn: list[float] = []
    compared: list[float] = []

    def compare(number: int) -> None:
        with suppress(ConnectionClosed):
            tab = Visitor(port, SAMPLES[number % len(SAMPLES)], "compare")
            for photo in photos_of_ones_own(number):
                compared.append(tab.bring(photo))

    def visit(number: int) -> None:
        photos, chance = photos_of_ones_own(100 + number), random.Random(number)
        tab = Visitor(port, SAMPLES[number % len(SAMPLES)])
        for sample in itertools.cycle(SAMPLES):
            time.sleep(chance.uniform(0, 10))
            if time.monotonic() > end:
                break
            if number % 3 == 0:
                brought.append(tab.bring(next(photos)))
            elif number % 3 == 1:
                looked.append(tab.look_at(sample))
            else:
                label = chance.choice(list(CONTROLS))
                redrawn.append(tab.change(label, chance.choice(CONTROLS[label])))
        tab.leave()

    for number in range(comparing):
        threading.Thread(target=compare, args=(number,), daemon=True).start()
    side_by_side([lambda i=i: visit(i) for i in range(visitors - comparing)])  # type: ignore[misc]
    print(f"\n{visitors} visitors, of whom {comparing} compare four methods without a pause:\n")
    print("| what | how often | median ms | 95 % ms | aim | reached | longest ms |")
    print("|---|---|---|---|---|---|---|")
    for what, times, aim in (
        (f"a photo of one's own, {MEGAPIXELS} megapixels", brought, NEW_PHOTO),
        ("a sample", looked, NEW_PHOTO),
        ("a changed control", redrawn, REDRAW[60]),
    ):
        reached = against(most_of(times), aim)
        print(f"| {what} | {len(times)} | {spread(times)} | {reached} | {max(times) * 1000:.0f} |")
    shown = ", ".join(f"{s:.0f}" for s in compared)
    print(f"\nComparisons, s each, in the order in which they were done: {shown or 'none'}.")


def visits(port: int, process: int, count: int) -> None:
    """Memory while so many visitors come, each bring a photo, change two controls and leave."""
    photos, chance = photos_of_ones_own(0), random.Random(0)
    print("\n| visits | MB |\n|---|---|", flush=True)
    for number in range(count + 1):
        if number % max(1, count // 10) == 0:
            print(f"| {number} | {resident(process):.0f} |", flush=True)
        tab = Visitor(port, chance.choice(SAMPLES))
        tab.bring(next(photos))
        for label in ("Layer", "Query"):
            tab.change(label, chance.choice(CONTROLS[label]))
        tab.leave()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ["alone", "together", "compare", "visits"]
    parser.add_argument("--part", choices=parts, help="one of the parts only")
    parser.add_argument("--changes", type=int, default=50, help="of each control, alone")
    parser.add_argument("--visitors", type=int, nargs="+", default=[20, 60])
    parser.add_argument("--comparing", type=int, default=5, help="of the first number of visitors")
    parser.add_argument("--seconds", type=float, default=120, help="of each run of many visitors")
    parser.add_argument("--visits", type=int, default=1000)
    args = parser.parse_args()
    wanted = [args.part] if args.part else parts
    print(processor())
    with app() as (port, process):
        print(f"\nThe first page of the first visitor: {Visitor(port, 'coffee').first_page:.2f} s.")
        first = [Visitor(port, sample).first_page for sample in SAMPLES]
        print(f"First page of each sample: {statistics.median(first):.2f} s, median.")
        if "alone" in wanted:
            alone(port, process, args.changes)
        if "together" in wanted:
            print("\n| visitors | photos | redraws | median ms | 95 % ms | aim | reached |", end="")
            print(" processor ms | MB a visitor | after use | while reading | aim | reached |")
            print("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
            first_of_all = Visitor(port)
            first_of_all.bring(next(photos_of_ones_own(0)))  # starts what decodes all photos
            first_of_all.leave()
            for visitors, own in itertools.product(args.visitors, (False, True)):
                together(port, process, visitors, args.seconds, own)
        if "visits" in wanted:
            visits(port, process, args.visits)
        if "compare" in wanted:
            beside_long_work(port, args.visitors[0], args.comparing, args.seconds)
    print(NOT_MEASURED)


if __name__ == "__main__":
    main()
