"""torchvision's Vision Transformers, small."""

from __future__ import annotations

from functools import wraps
from typing import Any

import pytest
from torch import nn
from torchvision.models import vision_transformer


def are_small(patch: pytest.MonkeyPatch) -> None:
    """Until the patch is undone each has two blocks, and a sixteenth of its width."""
    make = vision_transformer._vision_transformer

    @wraps(make)
    def small(
        patch_size: int, num_layers: int, num_heads: int, hidden_dim: int, mlp_dim: int, **more: Any
    ) -> nn.Module:
        del num_layers
        return make(patch_size, 2, num_heads, hidden_dim // 16, mlp_dim // 16, **more)

    patch.setattr(vision_transformer, "_vision_transformer", small)
