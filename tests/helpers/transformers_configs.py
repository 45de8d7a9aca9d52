"""Configurations of small models of transformers."""

from __future__ import annotations

from typing import Any, TypeVar

SIDE = 64  # px
Config = TypeVar("Config")


def small(kind: type[Config], **settings: Any) -> Config:
    """Two blocks of three heads over 4 × 4 patches of 16 px, but for what the settings say."""
    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3}
    return kind(**{"image_size": SIDE, "patch_size": 16, **sizes, **settings})
