"""Hooks on a model."""

from __future__ import annotations

from torch import nn


def count_hooks(module: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules())
