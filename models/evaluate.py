"""Accuracy and calibration of model folders by source, side by side.

    python -m models.evaluate val.parquet vitviz/data/models/vit_small_patch14_in1k \
        vitviz/data/models/efficientnet_lite2_in1k --probe encoder.safetensors --train train.parquet

Each model sees every photo through its own transform. Models that know fewer classes are compared
with the others twice: on all photos, where a class that one does not know counts as wrong, and on
the photos and among the classes that all of them know.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

import vitviz
from models.photos import decode, eval_transform, read_table
from vitviz.models.vit import Transform, Vit

CLASSES = 1000  # of ImageNet-1k: what the labels of the photos count
BINS = 15


@dataclass(frozen=True)
class Answers:
    """A model's logits on photos, (photos, 1000): −∞ for the classes that it does not know."""

    name: str
    logits: Tensor

    @property
    def known(self) -> set[int]:
        return set(torch.nonzero(self.logits[0] > -math.inf).flatten().tolist())

    def among(self, classes: set[int]) -> Answers:
        """The same with these classes only."""
        logits = torch.full_like(self.logits, -math.inf)
        chosen = sorted(classes)
        logits[:, chosen] = self.logits[:, chosen]
        return Answers(self.name, logits)


@torch.inference_mode()
def outputs(
    module: torch.nn.Module, transform: Transform, images: Sequence[bytes], batch: int = 16
) -> Tensor:
    """What a model returns for every photo, float32 (photos, classes or width)."""
    parts = [images[start : start + batch] for start in range(0, len(images), batch)]
    return torch.cat(
        [module(torch.stack([transform(decode(data)) for data in part])).float() for part in parts]
    )


def answers(folder: Path, table: pd.DataFrame) -> Answers:
    """A model folder's answers about the photos of a table, as ImageNet's classes."""
    vit: Vit = vitviz.load_model(folder)
    config = json.loads((folder / "config.json").read_text())
    found = outputs(vit.module, vit.transform, table.image.tolist())
    logits = torch.full((len(table), CLASSES), -math.inf)
    logits[:, config.get("class_ids", list(range(CLASSES)))] = found
    return Answers(folder.name, logits)


def interval(share: float, count: int) -> tuple[float, float]:
    """95 % interval of a share of `count` photos. Wilson 1927, JASA 22(158)."""
    z = 1.96
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    return middle - half, middle + half


def top_k(logits: Tensor, targets: Tensor, k: int) -> Tensor:
    """Whether the right class is among the first k: boolean (photos,)."""
    best = logits.topk(min(k, logits.shape[1]))
    return ((best.indices == targets[:, None]) & (best.values > -math.inf)).any(dim=1)


def calibration_error(logits: Tensor, targets: Tensor) -> float:
    """Expected calibration error: mean distance of confidence and accuracy over 15 bins of equal
    width, by photos. Guo et al. 2017, arXiv 1706.04599."""
    confidence, predicted = logits.softmax(dim=1).max(dim=1)
    right = (predicted == targets).double()
    bins = (confidence * BINS).ceil().long().clamp(1, BINS)
    gaps = [
        float((right[bins == b].mean() - confidence[bins == b].double().mean()).abs())
        * float((bins == b).double().mean())
        for b in bins.unique()
    ]
    return sum(gaps)


def temperature(logits: Tensor, targets: Tensor) -> float:
    """What the logits are to be divided by, so that the right classes are likeliest.

    The derivative of the mean negative log-likelihood by 1/T is the mean of E[logit] − right logit,
    and rises; its zero is found by halving.
    """
    finite = logits.clamp(min=-1e4).double()
    right = finite.gather(1, targets[:, None])[:, 0]

    def slope(inverse: float) -> float:
        expected = ((finite * inverse).softmax(dim=1) * finite).sum(dim=1)
        return float((expected - right).mean())

    low, high = 1e-2, 1e2
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 1 / low


def accuracy(models: Sequence[Answers], table: pd.DataFrame, title: str) -> list[str]:
    """Rows of a Markdown table: top-1 and top-5 by source and model, with intervals."""
    rows = []
    targets = torch.tensor(table.label.to_numpy())
    for source in sorted(table.source.unique()):
        which = torch.tensor((table.source == source).to_numpy())
        count = int(which.sum())
        for model in models:
            cells = []
            for k in (1, 5):
                share = float(top_k(model.logits[which], targets[which], k).double().mean())
                low, high = interval(share, count)
                cells.append(f"{100 * share:.1f} ({100 * low:.1f}–{100 * high:.1f})")
            rows.append(f"| {source} | {title} | {count} | {model.name} | {' | '.join(cells)} |")
    return rows


def calibration(models: Sequence[Answers], targets: Tensor) -> list[str]:
    """Rows of a Markdown table: temperature, and calibration error without and with it.

    The temperature is fitted to one half of the photos and judged on the other, and the other way
    round; the mean of both errors is given. Photos of classes that a model does not know are left
    out.
    """
    rows = []
    for model in models:
        known = torch.tensor([int(t) in model.known for t in targets])
        logits, right = model.logits[known], targets[known]
        half = torch.arange(len(right)) % 2 == 0
        errors = [
            calibration_error(
                logits[judged] / temperature(logits[~judged], right[~judged]), right[judged]
            )
            for judged in (half, ~half)
        ]
        before = calibration_error(logits, right)
        rows.append(
            f"| {model.name} | {temperature(logits, right):.2f} | {100 * before:.1f} | "
            f"{50 * sum(errors):.1f} |"
        )
    return rows


def linear_probe(encoder: Path, train: pd.DataFrame, test: pd.DataFrame, size: int) -> Answers:
    """A linear classifier on the class token of a frozen encoder."""
    classes = sorted(int(c) for c in train.label.unique())
    model = timm.create_model("vit_small_patch14_dinov2", num_classes=0)
    model.load_state_dict(load_file(encoder))
    model.set_input_size(img_size=size)
    model.eval()
    transform = eval_transform(size)
    known, unknown = (outputs(model, transform, t.image.tolist()) for t in (train, test))
    mean, std = known.mean(0), known.std(0)
    head = torch.nn.Linear(known.shape[1], len(classes))
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=200, line_search_fn="strong_wolfe")
    features = (known - mean) / std
    targets = torch.tensor([classes.index(int(label)) for label in train.label])

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(head(features), targets) + 1e-3 * head.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    logits = torch.full((len(test), CLASSES), -math.inf)
    with torch.inference_mode():
        logits[:, classes] = head((unknown - mean) / std)
    return Answers("linear probe", logits)


def per_class(table: pd.DataFrame, photos: int) -> pd.DataFrame:
    """At most so many photos of each class, chosen at random but always the same ones."""
    shuffled = table.sample(frac=1, random_state=0)
    return shuffled[shuffled.groupby("label").cumcount() < photos]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("val", type=Path, help="a .parquet file or an ImageFolder")
    parser.add_argument("models", type=Path, nargs="+", help="model folders")
    parser.add_argument("--limit", type=int, help="photos of each source, drawn at random")
    parser.add_argument("--probe", type=Path, help="a frozen encoder to compare with")
    parser.add_argument("--train", type=Path, help="what the probe learns from")
    parser.add_argument("--per-class", type=int, default=40, help="photos a class for the probe")
    args = parser.parse_args()
    val = read_table(args.val)
    if args.limit:
        shuffled = val.sample(frac=1, random_state=0)
        val = shuffled[shuffled.groupby("source").cumcount() < args.limit]
    found = [answers(folder, val) for folder in args.models]
    if args.probe:
        train = per_class(read_table(args.train), args.per_class)
        found.append(linear_probe(args.probe, train, val, 224))
    print("| source | classes | photos | model | top-1 % | top-5 % |\n|---|---|---|---|---|---|")
    print(*accuracy(found, val, "all"), sep="\n")
    common = set.intersection(*(model.known for model in found))
    if len(common) < max(len(model.known) for model in found):
        which = np.array([label in common for label in val.label])
        fewer = [Answers(m.name, m.among(common).logits[torch.tensor(which)]) for m in found]
        print(*accuracy(fewer, val[which], f"the {len(common)} that all know"), sep="\n")
    print("\n| model | temperature | calibration error % | with it % |\n|---|---|---|---|")
    print(*calibration(found, torch.tensor(val.label.to_numpy())), sep="\n")


if __name__ == "__main__":
    main()
