"""The bundled ViT beside its convolutional counterpart: what each change of a photo does to them.

    python -m benchmarks.vit_and_cnn val.parquet --limit 300

Both see the same squares of 224 × 224 px: as they are, with their 256 patches shuffled, with half
of the patches hidden behind the mean colour, and cut out one patch further to the right. Counted is
who names the photo rightly among the classes that both know, and who keeps its own first answer.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

import vitviz
from models.evaluate import interval
from models.photos import decode, read_table
from vitviz.interventions.squares import (
    SIDE,
    cut_square,
    hide_pieces,
    shuffle_pieces,
    wide_square,
)
from vitviz.models.labels import imagenet_names
from vitviz.models.transform import mean_and_std
from vitviz.models.vit import Vit
from vitviz.zoo.catalogue import BUNDLED, COUNTERPART

PATCH = 14
ROUNDS = 20

Change = Callable[[Tensor, torch.Generator], Tensor]
"""A square with its margin, (3, 252, 252) → (3, 224, 224)."""


CHANGES: dict[str, Change] = {
    "as it is": lambda wide, _: cut_square(wide),
    "patches shuffled": lambda wide, drawn: shuffle_pieces(cut_square(wide), PATCH, drawn),
    "half of the patches hidden": lambda wide, drawn: hide_pieces(
        cut_square(wide), PATCH, 0.5, drawn
    ),
    "shifted by one patch": lambda wide, _: cut_square(wide, right=PATCH),
}


@torch.inference_mode()
def answers(vit: Vit, pixels: Tensor, known: list[str]) -> Tensor:
    """First answers among some classes, as their numbers, (n,), from pixels of 0 to 1."""
    mean, std = (torch.as_tensor(v)[:, None, None] for v in mean_and_std(vit.transform))
    logits = vit.module((pixels - mean) / std)
    return logits[:, [vit.labels.index(name) for name in known]].argmax(dim=1)


@torch.inference_mode()
def milliseconds(vit: Vit) -> float:
    """Of one photo on one thread: the median of the processor's time, not of the clock's."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    pixels = torch.zeros(1, 3, SIDE, SIDE)
    spent = []
    for _ in range(ROUNDS):
        start = time.thread_time()
        vit.module(pixels)
        spent.append(time.thread_time() - start)
    torch.set_num_threads(threads)
    return 1000 * statistics.median(spent)


def share(found: Tensor) -> str:
    """A share of true values in per cent, with its 95 % interval."""
    mean = float(found.double().mean())
    low, high = interval(mean, len(found))
    return f"{100 * mean:.1f} ({100 * low:.1f}–{100 * high:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, help="a .parquet file or a folder, with labels")
    parser.add_argument("--limit", type=int, default=300, help="that many photos, drawn at random")
    args = parser.parse_args()
    models = [vitviz.load_model(BUNDLED), vitviz.load_model(COUNTERPART)]
    known = [name for name in imagenet_names() if all(name in vit.labels for vit in models)]
    numbers = {imagenet_names().index(name): number for number, name in enumerate(known)}
    table = read_table(args.photos)
    table = table[table.label.isin(numbers.keys())]
    table = table.sample(min(args.limit, len(table)), random_state=0)
    found: dict[tuple[str, str], list[Tensor]] = {}
    for number, data in enumerate(table.image):
        wide = wide_square(decode(data))
        for change, function in CHANGES.items():
            pixels = function(wide, torch.Generator().manual_seed(number))[None]
            for vit in models:
                found.setdefault((vit.name, change), []).append(answers(vit, pixels, known))
    targets = torch.tensor(table.label.map(numbers).to_numpy())
    print("| | " + " | ".join(vit.name for vit in models) + " |\n|---|---|---|")
    sizes = [sum(p.numel() for p in vit.module.parameters()) for vit in models]
    print("| parameters | " + " | ".join(f"{size:,}" for size in sizes) + " |")
    print("| ms a photo, one core | " + " | ".join(f"{milliseconds(v):.0f}" for v in models) + " |")
    for change in CHANGES:
        own = [torch.cat(found[vit.name, change]) for vit in models]
        print(f"| {change}: right, % | " + " | ".join(share(a == targets) for a in own) + " |")
        if change != "as it is":
            before = [torch.cat(found[vit.name, "as it is"]) for vit in models]
            kept = [share(a == b) for a, b in zip(own, before, strict=True)]
            print(f"| {change}: same answer, % | " + " | ".join(kept) + " |")
    print(f"\n{len(table)} photos of {len(known)} classes; 95 % intervals in brackets.")


if __name__ == "__main__":
    main()
