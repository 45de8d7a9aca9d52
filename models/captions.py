"""Fit the bridge from the bundled ViT to words: CLIP in miniature.

    python -m models.captions train.parquet more.parquet --val val.parquet \
        --out vitviz/data/captions --features runs/captions

A linear map leads from the ViT's class token into the space of all-MiniLM-L6-v2, whose vectors of
class names, their synonyms and their definitions stand for captions; neither Transformer is
changed. The loss is CLIP's (Radford et al. 2021, arXiv
2103.00020). A hundred classes are held out: neither their photos nor their names are trained on.
The photos' tokens are computed once; the same command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from timm.data import ImageNetInfo
from torch import Tensor, nn
from torchvision.transforms import v2

import vitviz
from models.crops import SMALL
from models.evaluate import top_k
from models.photos import MEAN, STD, decode, eval_transform, read_table
from vitviz.models.labels import imagenet_names
from vitviz.models.weights import weights_hash
from vitviz.text.captions import REPORT, VIT, WEIGHTS, new_bridge
from vitviz.text.contrastive import contrast_pairs
from vitviz.text.record import text_vectors

CLASSES, HELD_OUT = 1000, 100
SIDE, PART = 224, 128  # px; photos that are saved at once
LEAST_AREA = 0.35  # of a photo, in a random crop


@dataclass(frozen=True)
class View:
    """A photo of a table by its row, whole or, from number 1 on, as a random crop."""

    row: int
    number: int


def views(table: pd.DataFrame, least: int, most: int) -> list[View]:
    """What is shown to the ViT: the sharp photos of each class, at most `most`, and random crops of
    them until there are `least`; then its thumbnails. All classes' first views come first, so that
    a run that is interrupted knows all classes."""
    sharp = np.array([min(Image.open(io.BytesIO(data)).size) > SMALL for data in table.image])
    order = pd.DataFrame({"row": range(len(table)), "label": table.label, "sharp": sharp})
    found: list[tuple[int, View]] = []
    for _, group in order.sample(frac=1, random_state=0).groupby("label"):
        rows = group.row[group.sharp].tolist()[:most]
        shown = [View(row, 0) for row in rows]
        crops = range(len(rows), least) if rows else ()
        shown += [View(rows[n % len(rows)], n // len(rows)) for n in crops]
        shown += [View(row, 0) for row in group.row[~group.sharp].tolist()[: most - len(shown)]]
        found += enumerate(shown)
    return [view for _, view in sorted(found, key=lambda place: place[0])]


def pixels(data: bytes, view: View) -> Tensor:
    """The ViT's input, (3, SIDE, SIDE)."""
    if not view.number:
        return eval_transform(SIDE)(decode(data))
    torch.manual_seed(1000 * view.row + view.number)
    crop = [v2.RandomResizedCrop(SIDE, (LEAST_AREA, 1)), v2.RandomHorizontalFlip()]
    end = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    return v2.Compose([*crop, *end])(decode(data))


@torch.inference_mode()
def tokens(table: pd.DataFrame, shown: Sequence[View], folder: Path) -> Tensor:
    """The class token after the last norm, float32 (views, width). What is in the folder is not
    computed again."""
    folder.mkdir(parents=True, exist_ok=True)
    vit: Any = vitviz.load_model()
    found = []
    for start in range(0, len(shown), PART):
        file = folder / f"{start:06}.pt"
        if not file.exists():
            part = [pixels(table.image.iloc[v.row], v) for v in shown[start : start + PART]]
            last = [vit.anatomy.last_tokens(x)[:, 0] for x in torch.stack(part).split(16)]
            unfinished = file.with_suffix(".tmp")
            torch.save(torch.cat(last), unfinished)
            unfinished.replace(file)
            print(f"{start + len(part)} of {len(shown)} photos", flush=True)
        found.append(torch.load(file, weights_only=True))
    return torch.cat(found)[: len(shown)]


def captions() -> list[list[str]]:
    """What each class is called, and how WordNet defines it: a list of texts a class."""
    info, found = ImageNetInfo("imagenet-1k"), []
    for index in range(CLASSES):
        names = info.index_to_description(index).split(", ")
        definition = info.index_to_description(index, detailed=True).partition(": ")[2]
        found.append([*(f"a photo of a {name}" for name in names), definition])
    return found


def held_out_classes(val: pd.DataFrame, count: int, seed: int = 0) -> list[int]:
    """So many classes, at random but always the same ones, that have two photos to try or more."""
    photos = val.label.value_counts()
    classes = np.sort(photos[photos > 1].index.to_numpy())
    return sorted(np.random.default_rng(seed).permutation(classes)[:count].tolist())


@dataclass(frozen=True)
class Examples:
    """Class tokens of photos (photos, width), their classes (photos,)."""

    tokens: Tensor
    classes: Tensor

    def of(self, classes: Sequence[int], *, others: bool = False) -> Examples:
        """Those of some classes, or of all others."""
        which = torch.isin(self.classes, torch.tensor(classes)) ^ others
        return Examples(self.tokens[which], self.classes[which])


def one_of_each(groups: Tensor, count: int) -> Tensor:
    """A member of each group, drawn at random: its place in the list, (count,); those of groups
    without a member mean nothing.

    Args:
        groups: of each member, (members,), from 0 to count - 1.
    """
    order = torch.randperm(len(groups))
    return torch.zeros(count, dtype=torch.long).index_copy_(0, groups[order], order)


def fit(examples: Examples, texts: Sequence[Tensor], args: argparse.Namespace) -> nn.Linear:
    """A bridge fitted to batches in which each class occurs once, by a photo and one of its texts
    drawn at random, so that no pair is taken for a wrong one."""
    torch.manual_seed(0)
    bridge = new_bridge()
    mean, std = examples.tokens.mean(dim=0), examples.tokens.std(dim=0)
    inputs = (examples.tokens - mean) / std
    vectors, sizes = torch.cat(list(texts)), torch.tensor([len(group) for group in texts])
    classes_of_vectors = torch.arange(CLASSES).repeat_interleave(sizes)
    known = examples.classes.unique()
    optimizer = torch.optim.AdamW(bridge.parameters(), args.rate, weight_decay=args.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.rate, args.steps)
    for _ in range(args.steps):
        batch = known[torch.randperm(len(known))[: args.batch]]
        photos = inputs[one_of_each(examples.classes, CLASSES)[batch]]
        target = vectors[one_of_each(classes_of_vectors, CLASSES)[batch]]
        found = bridge(F.dropout(photos, args.dropout))
        loss = contrast_pairs(found, target, args.temperature).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    bridge.requires_grad_(False)
    bridge.weight.div_(std)
    bridge.bias.sub_(bridge.weight @ mean)
    return bridge


def zero_shot(bridge: nn.Linear, examples: Examples, names: Tensor, among: Sequence[int]) -> Tensor:
    """Whether the right class's name comes first, and is among the first five: boolean (photos, 2).

    Args:
        names: a vector for each of the 1,000 classes, (classes, width).
        among: the classes whose names are offered.
    """
    cosines = F.normalize(bridge(examples.tokens), dim=-1) @ names[list(among)].T
    right = torch.tensor([list(among).index(int(c)) for c in examples.classes])
    return torch.stack([top_k(cosines, right, k) for k in (1, 5)], dim=1)


def measured(
    bridge: nn.Linear, tried: Examples, texts: Sequence[Tensor], held: Sequence[int]
) -> dict[str, Any]:
    """Zero-shot accuracy on photos of the held-out classes, and of the others: shares of top-1 and
    top-5. A class's vector is the mean of those of its names, without the definition."""
    names = torch.stack([F.normalize(group[:-1].mean(dim=0), dim=0) for group in texts])
    new, everything = tried.of(held), range(CLASSES)
    others = tried.of(held, others=True)

    def shares(examples: Examples, among: Sequence[int]) -> list[float]:
        right = zero_shot(bridge, examples, names, among).double().mean(dim=0)
        return [round(share, 4) for share in right.tolist()]

    return {
        "classes": [imagenet_names()[c] for c in held],
        "photos": len(new.classes),
        "among_held_out": shares(new, held),
        "among_all": shares(new, everything),
        "all_classes": CLASSES,
        "others": {"photos": len(others.classes), "among_all": shares(others, everything)},
    }


def save(bridge: nn.Linear, report: Mapping[str, Any], folder: Path) -> None:
    """The bridge in float16 and what was measured."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: part.half().contiguous() for name, part in bridge.state_dict().items()}
    save_file(state, folder / WEIGHTS, {VIT: weights_hash(vitviz.load_model().module)})
    (folder / REPORT).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("train", type=Path, nargs="+", help=".parquet files or ImageFolders")
    add("--val", type=Path, required=True, help="photos to measure with")
    add("--features", type=Path, required=True, help="where the photos' tokens are kept")
    add("--out", type=Path, required=True)
    add("--least", type=int, default=6, help="views of each class, with random crops")
    add("--most", type=int, default=24, help="views of each class")
    add("--steps", type=int, default=600)
    add("--batch", type=int, default=256, help="classes")
    add("--rate", type=float, default=1e-3)
    add("--decay", type=float, default=0.1)
    add("--dropout", type=float, default=0.3)
    add("--temperature", type=float, default=0.1)
    add("--choose", action="store_true", help="measure on other classes, and save nothing")
    args = parser.parse_args()
    torch.set_num_threads(1)
    val = read_table(args.val)
    held = held_out_classes(val, HELD_OUT)
    table = pd.concat([read_table(path) for path in args.train], ignore_index=True)
    table = table[(table.label >= 0) & ~table.label.isin(held)].reset_index(drop=True)
    shown = views(table, args.least, args.most)
    tried = Examples(
        tokens(val, [View(row, 0) for row in range(len(val))], args.features / "val"),
        torch.tensor(val.label.to_numpy()),
    )
    labels = torch.tensor(table.label.to_numpy())[[view.row for view in shown]]
    found = Examples(tokens(table, shown, args.features / "train"), labels)
    model = vitviz.load_text_model()
    texts = [text_vectors(model, group) for group in captions()]
    if args.choose:  # by a hundred other classes
        held = held_out_classes(val[~val.label.isin(held)], HELD_OUT, seed=1)
    bridge = fit(found.of(held, others=True), texts, args)
    report = measured(bridge, tried, texts, held)
    print(json.dumps(report, indent=1))
    if not args.choose:
        save(bridge, report, args.out)


if __name__ == "__main__":
    main()
