"""What recording costs, beside a plain forward pass and beside storing every map.

    python -m benchmarks.recording

For 257, 1,370 and 4,097 tokens of the bundled model. Times are medians of interleaved runs, in
milliseconds and as a ratio to the plain forward of the same run. Memory is what one result keeps,
and the most that recording and rollout together need on top of the model, each measured in a
process of its own (on Linux).
"""

from __future__ import annotations

import argparse
import ctypes
import random
import re
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms

import vitviz
from vitviz.recording.calls import AttentionCall
from vitviz.recording.recording import Recording


def bundled(side: int) -> tuple[vitviz.Vit, Image.Image]:
    """The bundled model at another input size, and a photo."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    steps = [transforms.Resize(side), transforms.CenterCrop(side), transforms.ToTensor()]
    transform = transforms.Compose([*steps, transforms.Normalize(mean, std)])
    base = vitviz.load_model()
    photo = vitviz.load_image(vitviz.samples()[0].path)
    return vitviz.from_module(base.module, base.labels, transform), photo


def row_by_row(rec: Recording) -> object:
    return vitviz.explain(rec, "rollout")


def store_and_multiply(rec: Recording) -> Tensor:
    """Rollout the straightforward way: every head's map in memory, matrices multiplied."""
    maps = [rec.attention(layer) for layer in range(rec.num_layers)]
    result = torch.eye(rec.num_tokens)
    for attention in maps:
        mixed = attention.mean(0) + torch.eye(rec.num_tokens)
        result = (mixed / mixed.sum(-1, keepdim=True)) @ result
    return result[0]


def peak_bytes(rollout: Callable[[Recording], object], side: int) -> int:
    """The most memory that recording and rollout take beyond what this process holds before."""
    vit, photo = bundled(side)
    rollout(vitviz.record(bundled(56)[0], photo))  # what only the first run loads
    ctypes.CDLL(None).malloc_trim(0)  # memory freed after loading would be used again, unseen
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew, see proc(5)
    before = high_water()
    rollout(vitviz.record(vit, photo))
    return high_water() - before


def high_water() -> int:
    """The most memory this process has held so far, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def peak_in_a_fresh_process(rollout: Callable[[Recording], object], side: int) -> int:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(peak_bytes, rollout, side).result()


def kept_bytes(rec: Recording) -> int:
    """Memory that the recorded tensors hold, views of one tensor counted once."""
    storages = {}
    for call in rec.layers:
        assert isinstance(call, AttentionCall)
        for tensor in (call.query, call.key, call.value):
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def interleaved(tasks: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each task; the tasks take turns, so that all meet the same machine, in
    another order each time: one finds the memory as the one before has left it."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    chance = random.Random(0)
    for turn in range(rounds + 1):
        for name in chance.sample(list(tasks), len(tasks)):
            start = time.perf_counter()
            tasks[name]()
            if turn:  # the first round warms up
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def measure(side: int, rounds: int) -> str:
    """One row of the table."""
    vit, photo = bundled(side)
    rec = vitviz.record(vit, photo)
    pixels = vit.transform(photo)[None]

    @torch.no_grad()
    def plain() -> Tensor:
        vit.transform(photo)
        logits: Tensor = vit.module(pixels)
        return logits

    tasks = {
        "plain": plain,
        "recorded": lambda: vitviz.record(vit, photo),
        "row": lambda: rec.attention_row(6, (3, 3)),
        "rollout": lambda: row_by_row(rec),
        "value rollout": lambda: vitviz.explain(rec, "value_rollout"),
        "store": lambda: store_and_multiply(rec),
    }
    seconds = interleaved(tasks, rounds)
    forward = seconds.pop("plain")
    cells = [f"{t * 1000:.1f} ms ({t / forward:.3f} ×)" for t in seconds.values()]
    all_maps = sum(4 * rec.num_heads(layer) for layer in range(rec.num_layers)) * rec.num_tokens**2
    peaks = [peak_in_a_fresh_process(way, side) for way in (row_by_row, store_and_multiply)]
    cells += [f"{size / 2**20:.0f} MB" for size in (kept_bytes(rec), all_maps, *peaks)]
    return f"| {rec.num_tokens:,} | {forward * 1000:.0f} ms | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sides", type=int, nargs="+", default=[224, 518, 896], metavar="PIXELS")
    args = parser.parse_args()
    print(
        "| tokens | plain forward | recorded forward | one clicked row | rollout | value rollout "
        "| rollout from stored maps | a recording keeps | all maps would be "
        "| peak of recording and rollout | peak with stored maps |\n" + "|---" * 11 + "|"
    )
    for side in args.sides:
        print(measure(side, args.rounds), flush=True)


if __name__ == "__main__":
    main()
