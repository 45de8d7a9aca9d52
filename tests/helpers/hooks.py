"""Hooks on a model."""

from __future__ import annotations

from torch import nn

from vitviz.models.hooks import WATCHER


def is_left_alone(module: nn.Module) -> bool:
    """Whether nobody watches and each part has its own two hooks once, and no others."""
    hooks = {len(m._forward_hooks) for m in module.modules()}
    before = {len(m._forward_pre_hooks) for m in module.modules()}
    return WATCHER.get() is None and hooks == before == {1}
