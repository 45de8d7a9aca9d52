"""What recording costs, beside a plain forward pass and beside storing every map.

    python -m benchmarks.recording

For 257, 1,370 and 4,097 tokens of the bundled model. Times are medians of interleaved runs, in
milliseconds and as a ratio to the plain forward of the same run. Memory is what one result keeps.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms

import vitviz
from vitviz.recorder import AttentionCall
from vitviz.recording import Recording


def square(side: int) -> transforms.Compose:
    """The bundled model's transform at another size."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    steps = [transforms.Resize(side), transforms.CenterCrop(side), transforms.ToTensor()]
    return transforms.Compose([*steps, transforms.Normalize(mean, std)])


def store_and_multiply(rec: Recording) -> Tensor:
    """Rollout the straightforward way: every layer's map in memory, matrices multiplied."""
    maps = [rec.attention(layer).mean(0) for layer in range(rec.num_layers)]
    result = torch.eye(rec.num_tokens)
    for attention in maps:
        mixed = attention + torch.eye(rec.num_tokens)
        result = (mixed / mixed.sum(-1, keepdim=True)) @ result
    return result[0]


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
    """Median seconds of each task; the tasks take turns, so that all meet the same machine."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(rounds + 1):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            if turn:  # the first round warms up
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def measure(side: int, rounds: int) -> str:
    """One row of the table."""
    base = vitviz.load_model()
    vit = vitviz.from_module(base.module, base.labels, square(side))
    photo = Image.open(vitviz.samples()[0].path).convert("RGB")
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
        "rollout": lambda: vitviz.explain(rec, "rollout"),
        "value rollout": lambda: vitviz.explain(rec, "value_rollout"),
        "store": lambda: store_and_multiply(rec),
    }
    seconds = interleaved(tasks, rounds)
    forward = seconds.pop("plain")
    cells = [f"{t * 1000:.1f} ms ({t / forward:.3f} ×)" for t in seconds.values()]
    all_maps = sum(4 * rec.num_heads(layer) for layer in range(rec.num_layers)) * rec.num_tokens**2
    cells += [f"{kept_bytes(rec) / 2**20:.0f} MB", f"{all_maps / 2**20:.0f} MB"]
    return f"| {rec.num_tokens:,} | {forward * 1000:.0f} ms | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    print(
        "| tokens | plain forward | recorded forward | one clicked row | rollout | value rollout "
        "| rollout from stored maps | a recording keeps | all maps would be |\n" + "|---" * 9 + "|"
    )
    for side in (224, 518, 896):
        print(measure(side, args.rounds), flush=True)


if __name__ == "__main__":
    main()
