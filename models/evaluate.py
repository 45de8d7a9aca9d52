"""Accuracy by source of a bundled model folder, beside a linear probe on the frozen encoder.

    python models/evaluate.py models/vit_small_patch14_photos246 val.parquet \
        --probe encoder.safetensors --train train.parquet
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd
import timm
import torch
from photos import Photos, eval_transform, read_table
from safetensors.torch import load_file
from torch.utils.data import DataLoader

Report = dict[str, dict[str, float]]


@torch.inference_mode()
def outputs(model: torch.nn.Module, data: Photos) -> torch.Tensor:
    """What the model returns for every photo, float32, (photos, classes or width)."""
    was_training = model.training
    model.eval()
    batches = [model(images) for images, _ in DataLoader(data, 32)]
    model.train(was_training)
    return torch.cat(batches)


def top_k_by_source(logits: torch.Tensor, targets: torch.Tensor, sources: pd.Series) -> Report:
    """Top-1 and top-5 accuracy in per cent, by source."""
    ranked = logits.topk(5).indices == targets[:, None]
    table = pd.DataFrame({
        "source": sources.to_numpy(),
        "top1": ranked[:, 0].float() * 100,
        "top5": ranked.any(1).float() * 100,
    })
    grouped = table.groupby("source")
    report = grouped.mean().round(1).assign(photos=grouped.size())
    return report.to_dict("index")


def accuracy_by_source(model: torch.nn.Module, table: pd.DataFrame, classes: list[int], size: int) -> Report:
    """Float32 accuracy on every photo of the table, at `size` px."""
    data = Photos(table, classes, eval_transform(size))
    return top_k_by_source(outputs(model, data), torch.tensor(data.targets), table.source)
