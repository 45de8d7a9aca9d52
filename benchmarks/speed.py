"""How near a forward pass is to what this processor can do, and what Compare costs.

    python -m benchmarks.speed

On the bundled model at 224 px. Two parts, `--part roofline` and `--part compare`; the second needs
some five minutes, half of them for the exact curves of two photos that the quick ones are held
against. Run it on a machine that does nothing else: the load is printed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import vitviz
from benchmarks.machine import processor
from vitviz.measures.comparison import (
    CHANGES,
    FINE,
    QUICK,
    Measured,
    curves_of,
    maps_of,
    measure,
    ranked,
    supported,
    too_close,
)
from vitviz.methods.explain import BASELINE
from vitviz.recording.recording import Recording

SIDE = 2048  # of the matrices whose product is taken for the peak
PHOTOS = (1, 16, 64)
METHODS = ["attention", "rollout", "relevance", "gradcam"]  # that Compare shows first


def fastest(run: Callable[[], object], rounds: int) -> float:
    """Seconds of the fastest of several runs: others may use the machine too."""
    run()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return min(taken)


@torch.no_grad()
def roofline(rec: Recording, rounds: int) -> Iterator[str]:
    """One row for each number of threads and of photos."""
    module = rec.vit.module
    other = deepcopy(module)
    other.patch_embed.to(memory_format=torch.channels_last)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # counts it too
        module(rec.pixels[None])
    flops = counter.get_total_flops()
    yield f"\nA forward pass is {flops / 1e9:.1f} GFLOP.\n"
    yield "| threads | photos | ms a photo | GFLOP/s | matrix product | share | channels last |"
    yield "|---|---|---|---|---|---|---|"
    matrix, before = torch.randn(SIDE, SIDE), torch.get_num_threads()
    for threads in range(1, (os.cpu_count() or 1) + 1):
        torch.set_num_threads(threads)
        peak = 2 * SIDE**3 / fastest(lambda: matrix @ matrix, 3 * rounds) / 1e9
        for photos in PHOTOS:
            pixels = rec.pixels.repeat(photos, 1, 1, 1)
            last = pixels.contiguous(memory_format=torch.channels_last)
            repeats = max(1, round(3 * rounds / photos**0.5))
            plain = fastest(lambda p=pixels: module(p), repeats) / photos  # type: ignore[misc]
            channels = fastest(lambda p=last: other(p), repeats) / photos  # type: ignore[misc]
            speed = flops / plain / 1e9
            yield (
                f"| {threads} | {photos} | {plain * 1000:.0f} | {speed:.0f} | {peak:.0f} | "
                f"{speed / peak:.0%} | {channels * 1000:.0f} ms |"
            )
    torch.set_num_threads(before)


@torch.no_grad()
def other_ways(rec: Recording, rounds: int, compiled: bool) -> Iterator[str]:
    """The same forward pass of four masked photos in other number formats, or compiled."""
    module = rec.vit.module
    [heat] = maps_of(rec, "relevance")
    points = [vitviz.faithfulness.masked_input(rec, heat, s / 4, "deletion") for s in range(4)]
    pixels = torch.stack(points)
    exact = module(pixels).softmax(dim=-1)
    yield "\n| forward pass | ms a photo | largest difference of a probability | to begin |"
    yield "|---|---|---|---|"
    ways: dict[str, Callable[[], Callable[[Tensor], Tensor]]] = {
        "float32": lambda: module,
        "int8 weights": lambda: torch.ao.quantization.quantize_dynamic(module, {nn.Linear}),
    }
    if "bf16" in processor():  # without such instructions it takes minutes
        ways["bfloat16"] = lambda: in_bfloat16(deepcopy(module))
    if compiled:
        ways["torch.compile"] = lambda: torch.compile(deepcopy(module))
    for name, prepare in ways.items():
        start = time.perf_counter()
        run = prepare()
        found = run(pixels).float().softmax(dim=-1)
        begin = time.perf_counter() - start
        each = fastest(lambda run=run: run(pixels), rounds) / len(pixels)  # type: ignore[misc]
        off = float((found - exact).abs().max())
        yield f"| {name} | {each * 1000:.0f} | {off:.4f} | {begin:.1f} s |"


def in_bfloat16(module: nn.Module) -> Callable[[Tensor], Tensor]:
    module.bfloat16()
    return lambda pixels: module(pixels.bfloat16())


@dataclass
class Cost:
    """Of a measurement: photos that the model was given, seconds, and of the processor."""

    passes: int = 0
    seconds: float = 0.0
    processor: float = 0.0


@contextmanager
def cost(rec: Recording, costs: list[Cost]) -> Iterator[Cost]:
    """What happens inside is added to others; forward passes of the methods themselves included."""
    costs.append(found := Cost())

    def count(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        found.passes += len(given[0])

    hook = rec.vit.module.register_forward_pre_hook(count)
    start, used = time.perf_counter(), time.process_time()
    yield found
    found.seconds, found.processor = time.perf_counter() - start, time.process_time() - used
    hook.remove()


def exact(rec: Recording) -> list[Measured]:
    return [measure(rec, method) for method in [*METHODS, BASELINE]]


def quick(rec: Recording) -> list[Measured]:
    """As Compare measures."""
    found = {m: measure(rec, m, tolerance=QUICK) for m in [*METHODS, BASELINE]}
    close = too_close(found.values())
    return list((found | {m: measure(rec, m, tolerance=FINE) for m in close}).values())


def first_curve(rec: Recording) -> None:
    """All maps, and one curve."""
    maps = [maps_of(rec, method) for method in [*METHODS, BASELINE]]
    curves_of(rec, maps[0], "deletion", tolerance=QUICK)


def compare(recordings: Sequence[tuple[str, Recording]], exactly: int) -> Iterator[str]:
    """What Compare costs, and where quick and exact differ on the first photos: exact curves take
    six times as long."""
    heads = ["photo", "quick passes", "s", "exact passes", "s", "same order", "same verdict"]
    heads += ["closest two", "an area differs by", "a score differs by"]
    yield f"\n| {' | '.join(heads)} |"
    yield "|" + len(heads) * "---|"
    costs: dict[str, list[Cost]] = {"first": [], "quick": [], "exact": []}
    for number, (name, rec) in enumerate(recordings):
        with cost(rec, costs["first"]):
            first_curve(replace(rec))
        with cost(rec, costs["quick"]) as fast:
            few = ranked(quick(replace(rec)))
        compared = "| " * 7 + "|"
        if number < exactly:
            with cost(rec, costs["exact"]) as slow:
                all_points = ranked(exact(replace(rec)))
            compared = f"| {slow.passes} | {slow.seconds:.0f} | {differences(few, all_points)} |"
        yield f"| {name} | {fast.passes} | {fast.seconds:.1f} {compared}"
    yield "\n| Compare of four methods, median of the photos | forward passes | s | processor s |"
    yield "|---|---|---|---|"
    yield row("all maps and the first curve", costs["first"])
    yield row("quick: all of it", costs["quick"])
    yield row("exact: 32 steps", costs["exact"])


def row(name: str, costs: Sequence[Cost]) -> str:
    if not costs:
        return f"| {name} | not measured | | |"
    median = [statistics.median(getattr(c, part) for c in costs) for part in Cost().__dict__]
    return f"| {name} | {median[0]:.0f} | {median[1]:.1f} | {median[2]:.1f} |"


def differences(few: Sequence[Measured], all_points: Sequence[Measured]) -> str:
    """Of the quick measurements from the exact ones, both in the order of their ranks."""
    exactly = {m.method: m for m in all_points}
    pairs = [(m, exactly[m.method]) for m in few]
    area = max(abs(a.curve(c).area - b.curve(c).area) for a, b in pairs for c in CHANGES)
    score = max(abs(a.score - b.score) for a, b in pairs)
    order = [m.method for m in few] == [m.method for m in all_points]
    verdict = verdict_of(few) == verdict_of(all_points)
    closest = min(a.score - b.score for a, b in pairwise(all_points))
    said = ["yes" if same else "**no**" for same in (order, verdict)]
    return f"{said[0]} | {said[1]} | {closest:.3f} | {area:.3f} | {score:.3f}"


def verdict_of(order: Sequence[Measured]) -> tuple[str, bool]:
    """The best method, and whether it beats random order clearly."""
    baseline = next(m for m in order if m.method == BASELINE)
    best = next(m for m in order if m.method != BASELINE)
    return best.method, supported(best, baseline)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=["roofline", "compare", "both"], default="both")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--exact", type=int, default=2, help="photos with exact curves, too")
    parser.add_argument("--compile", action="store_true", help="time torch.compile too (minutes)")
    args = parser.parse_args()
    print(processor())
    vit = vitviz.load_model()
    samples = [(sample.id, vitviz.load_image(sample.path)) for sample in vitviz.samples()]
    recordings = [(name, vitviz.record(vit, photo)) for name, photo in samples]
    lines: list[Iterator[str]] = []
    if args.part != "compare":
        rec = recordings[0][1]
        lines += [roofline(rec, args.rounds), other_ways(rec, args.rounds, args.compile)]
    if args.part != "roofline":
        lines += [compare(recordings, args.exact)]
    for part in lines:
        for line in part:
            print(line, flush=True)


if __name__ == "__main__":
    main()
