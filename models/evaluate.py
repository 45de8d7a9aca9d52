"""Accuracy by source of a bundled model folder, beside a linear probe on the frozen encoder.

    python -m models.evaluate vitviz/data/models/vit_small_patch14_photos246 val.parquet \
        --probe encoder.safetensors --train train.parquet
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd
import timm
import torch
from models.photos import Photos, eval_transform, read_table
from safetensors.torch import load_file
from torch.utils.data import DataLoader

Report = dict[str, dict[str, float]]


@torch.inference_mode()
def outputs(model: torch.nn.Module, data: Photos) -> torch.Tensor:
    """What the model returns for every photo, float32, (photos, classes or width)."""
    was_training = model.training
    model.eval()
    batches = [model(images) for images, *_ in DataLoader(data, 32)]
    model.train(was_training)
    return torch.cat(batches)


def top_k_by_source(logits: torch.Tensor, targets: torch.Tensor, sources: pd.Series) -> Report:
    """Top-1 and top-5 accuracy in per cent, by source."""
    ranked = logits.topk(min(5, logits.shape[1])).indices == targets[:, None]
    table = pd.DataFrame(
        {
            "source": sources.to_numpy(),
            "top1": ranked[:, 0].float() * 100,
            "top5": ranked.any(1).float() * 100,
        }
    )
    grouped = table.groupby("source")
    report = grouped.mean().round(1).assign(photos=grouped.size())
    return {str(source): dict(row) for source, row in report.iterrows()}


def accuracy_by_source(
    model: torch.nn.Module, table: pd.DataFrame, classes: list[int], size: int
) -> Report:
    """Float32 accuracy on every photo of the table, at `size` px."""
    data = Photos(table, classes, eval_transform(size))
    return top_k_by_source(outputs(model, data), torch.tensor(data.targets), table.source)


def linear_probe(encoder: Path, train: pd.DataFrame, test: pd.DataFrame, size: int) -> Report:
    """Accuracy of a linear classifier on the class token of the frozen encoder."""
    classes = sorted(int(c) for c in train.label.unique())
    model = timm.create_model("vit_small_patch14_dinov2", num_classes=0)
    model.load_state_dict(load_file(encoder))
    model.set_input_size(img_size=size)
    data = [Photos(table, classes, eval_transform(size)) for table in (train, test)]
    known, unknown = (outputs(model, photos) for photos in data)
    mean, std = known.mean(0), known.std(0)
    head = torch.nn.Linear(known.shape[1], len(classes))
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=200, line_search_fn="strong_wolfe")
    features, targets = (known - mean) / std, torch.tensor(data[0].targets)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(head(features), targets)
        value = value + 1e-3 * head.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    with torch.inference_mode():
        logits = head((unknown - mean) / std)
    return top_k_by_source(logits, torch.tensor(data[1].targets), test.source)


def per_class(table: pd.DataFrame, photos: int) -> pd.DataFrame:
    """At most so many photos of each class, chosen at random but always the same ones."""
    shuffled = table.sample(frac=1, random_state=0)
    return shuffled[shuffled.groupby("label").cumcount() < photos]


def print_report(title: str, report: Report) -> None:
    for source, row in report.items():
        print(
            f"| {title} | {source} | {row['photos']:.0f} | {row['top1']:.1f} | {row['top5']:.1f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="a folder made by export.py")
    parser.add_argument("val", type=Path, help="a .parquet file or an ImageFolder")
    parser.add_argument("--probe", type=Path, help="the frozen encoder to compare with")
    parser.add_argument("--train", type=Path, help="what the probe learns from")
    parser.add_argument("--per-class", type=int, default=40, help="photos a class for the probe")
    args = parser.parse_args()
    val = read_table(args.val)
    config = json.loads((args.model / "config.json").read_text())
    size = config["pretrained_cfg"]["input_size"][-1]
    model = timm.create_model(f"local-dir:{args.model}", pretrained=True)
    print("| model | source | photos | top-1 % | top-5 % |\n|---|---|---|---|---|")
    print_report(args.model.name, accuracy_by_source(model, val, config["class_ids"], size))
    if args.probe:
        train = per_class(read_table(args.train), args.per_class)
        print_report("linear probe", linear_probe(args.probe, train, val, size))


if __name__ == "__main__":
    main()
