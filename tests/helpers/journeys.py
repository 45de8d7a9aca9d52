"""Recordings of small random models for the journey's tests, and its numbers once more in numpy."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import timm
import torch
from families import FAMILIES, make_photo, random_classifier
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

import vitviz

KINDS = (*FAMILIES, "grouped")


class GroupedAttention(nn.Module):
    """Four query heads, two of which share a key head each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, **_: Any) -> Tensor:
        query = self.q(x).unflatten(-1, (4, -1)).transpose(1, 2)
        key, value = self.kv(x).unflatten(-1, (2, 2, -1)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, enable_gqa=True)
        return self.proj(mixed.transpose(1, 2).flatten(2))


def grouped_module() -> nn.Module:
    torch.manual_seed(0)
    sizes = {"img_size": 64, "embed_dim": 64, "num_heads": 4, "depth": 3, "num_classes": 5}
    module = timm.create_model("vit_tiny_patch16_224", **sizes).eval()
    for block in module.blocks:
        block.attn = GroupedAttention(64)
    return module


@cache
def recorded(kind: str) -> vitviz.Recording:
    """A model of a family, with three blocks."""
    module = grouped_module() if kind == "grouped" else random_classifier(kind)
    return vitviz.record(vitviz.from_module(module), make_photo())


@cache
def layered() -> vitviz.Recording:
    """Of a model with windows, whose four layers have finer and coarser grids."""
    torch.manual_seed(0)
    module = timm.create_model("swin_tiny_patch4_window7_224", depths=(1, 1, 1, 1), embed_dim=24)
    return vitviz.record(vitviz.from_module(module), make_photo())


@cache
def of_channels() -> vitviz.Recording:
    """Of a model in one of whose layers channels look at channels: it has no journey."""
    torch.manual_seed(0)
    vit = vitviz.from_module(timm.create_model("xcit_nano_12_p16_224", depth=1), name="<b>xcit</b>")
    return vitviz.record(vit, make_photo())


def rows_of(arrays: dict[str, NDArray[Any]], header: dict[str, Any], layer: int) -> NDArray[Any]:
    """A layer's attention (heads, tokens, tokens) from what the browser is given of it, in
    float64."""
    about = header["layers"][layer]
    if "dim" not in about:
        return arrays[f"map {layer}"] * (arrays[f"most {layer}"][..., None] / 255.0)
    query, key = (arrays[f"{name} {layer}"].astype(float) for name in ("query", "key"))
    key = np.repeat(key, about["group"], axis=0)
    scores = about["scale"] * np.einsum("hqd,hkd->hqk", query, key)
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def rounding_of(arrays: dict[str, NDArray[Any]], header: dict[str, Any], layer: int) -> float:
    """The largest relative error of those rows: float16 keeps 11 bits of a query and of a key, so a
    score is off by at most 2⁻¹⁰ · scale · Σ|q_d k_d|, in the numerator and in the sum."""
    about = header["layers"][layer]
    query, key = (np.abs(arrays[f"{name} {layer}"].astype(float)) for name in ("query", "key"))
    key = np.repeat(key, about["group"], axis=0)
    most = about["scale"] * np.einsum("hqd,hkd->hqk", query, key).max()
    return float(np.expm1(2 * 2.0**-10 * most)) + 1e-5
