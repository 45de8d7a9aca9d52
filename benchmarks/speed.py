"""How near a forward pass is to what this processor can do, and what Compare costs.

    python -m benchmarks.speed

On the bundled model at 224 px. Two parts, `--part roofline` and `--part compare`; the second needs
some ten minutes, most of them for the exact curves that the quick ones are held against. Run it on
a machine that does nothing else: the load is printed.
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
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import vitviz
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
from vitviz.measures.curves import deletion, insertion
from vitviz.methods.explain import BASELINE
from vitviz.recording.recording import Recording

SIDE = 2048  # of the matrices whose product is taken for the peak
PHOTOS = (1, 16, 64)
METHODS = ["attention", "rollout", "relevance", "gradcam"]  # that Compare shows first
STEPS_BEFORE = 16


def processor() -> str:
    """Its name, what it computes with, and how busy it is."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    known = dict(line.split(":", 1) for line in lines if ":" in line)
    said = {key.strip(): value.strip() for key, value in known.items()}
    kinds = ("avx2", "avx512f", "avx512_bf16", "avx_vnni", "avx512_vnni", "amx_bf16")
    flags = [kind for kind in kinds if kind in said["flags"].split()]
    load = ", ".join(f"{part:.2f}" for part in os.getloadavg())
    return (
        f"{said['model name']}, {os.cpu_count()} cores, {' '.join(flags)}; "
        f"PyTorch {torch.__version__}; load before the run {load}"
    )


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


def before(rec: Recording) -> None:
    """As Compare measured until now: sixteen steps, nothing shared."""
    for method in [*METHODS, BASELINE]:
        for heat in maps_of(rec, method):
            for curve in (deletion, insertion):
                curve(replace(rec), heat, steps=STEPS_BEFORE)


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


def compare(recordings: Sequence[tuple[str, Recording]]) -> Iterator[str]:
    """Where quick and exact differ, and what Compare costs."""
    heads = ["photo", "quick passes", "exact passes", "same order", "same verdict", "closest two"]
    heads += ["an area differs by", "a score differs by"]
    yield f"\n| {' | '.join(heads)} |"
    yield "|" + len(heads) * "---|"
    costs: dict[str, list[Cost]] = {"first": [], "quick": [], "exact": []}
    for name, rec in recordings:
        with cost(rec, costs["first"]):
            first_curve(replace(rec))
        with cost(rec, costs["quick"]) as fast:
            few = ranked(quick(replace(rec)))
        with cost(rec, costs["exact"]) as slow:
            all_points = ranked(exact(replace(rec)))
        yield f"| {name} | {fast.passes} | {slow.passes} | {differences(few, all_points)} |"
    old: list[Cost] = []
    with cost(recordings[0][1], old):
        before(recordings[0][1])
    yield "\n| Compare of four methods | forward passes | seconds | processor seconds |"
    yield "|---|---|---|---|"
    yield row(f"before, one photo: {STEPS_BEFORE} steps, nothing shared", old)
    yield row("exact: 32 steps", costs["exact"])
    yield row("quick", costs["quick"])
    yield row("quick: all maps and the first curve", costs["first"])
    yield "\nMedians over the photos; passes include those of the methods."


def row(name: str, costs: Sequence[Cost]) -> str:
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
    parser.add_argument("--limit", type=int, help="Compare the first photos only")
    parser.add_argument("--compile", action="store_true", help="time torch.compile too (minutes)")
    args = parser.parse_args()
    print(processor())
    vit = vitviz.load_model()
    photos = vitviz.samples()[: args.limit]
    recordings = [(s.id, vitviz.record(vit, vitviz.load_image(s.path))) for s in photos]
    lines: list[Iterator[str]] = []
    if args.part != "compare":
        rec = recordings[0][1]
        lines += [roofline(rec, args.rounds), other_ways(rec, args.rounds, args.compile)]
    if args.part != "roofline":
        lines += [compare(recordings)]
    for part in lines:
        for line in part:
            print(line, flush=True)


if __name__ == "__main__":
    main()
