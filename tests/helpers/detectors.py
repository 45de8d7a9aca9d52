"""Small random detectors of transformers."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import transformers
from torch import nn

import vitviz

SIZE = {"height": 128, "width": 160}  # of the input: 4 × 5 cells of 32 px
SIZES = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "num_queries": 6,
}


def small_detector(kind: str, **settings: Any) -> nn.Module:
    """One for object detection, of three classes; attention is far from uniform."""
    stages = ["stage2", "stage3", "stage4"] if kind == "DeformableDetr" else ["stage4"]
    backbone = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1] * 4, out_features=stages
    )
    config = getattr(transformers, f"{kind}Config")(
        **{**SIZES, "hidden_size": 32} if kind == "DabDetr" else SIZES,
        backbone_config=backbone,
        id2label={0: "cat", 1: "cup", 2: "mountain"},
        **settings,
    )
    torch.manual_seed(0)
    module = getattr(transformers, f"{kind}ForObjectDetection")(config).eval()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim > 1 and "backbone" not in name:
                parameter.normal_(std=0.3)
    return module


@cache
def detector(kind: str = "Detr") -> vitviz.Vit:
    """The same, ready to be asked; made once, as it is never changed."""
    processor = transformers.DetrImageProcessor(size=SIZE)
    return vitviz.from_module(small_detector(kind), transform=processor)
