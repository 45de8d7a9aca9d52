"""A stand-in for the bundled model on pages whose truth does not depend on what it has learned."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import pytest
import streamlit as st
import timm
import torch

import vitviz
from vitviz.inside import cost
from vitviz.measures import comparison
from vitviz.ui.course.widgets import for_all
from vitviz.ui.visit.shelf import Shelf
from vitviz.zoo.catalogue import BUNDLED


@cache
def light_model() -> vitviz.Vit:
    """As many layers, heads, patches and classes as the bundled model has, but an eighth of its
    width: a forward pass takes a tenth of the time. The weights are random."""
    bundled = vitviz.load_model()
    torch.manual_seed(0)
    module = timm.create_model(
        "vit_small_patch14_dinov2",
        img_size=224,
        dynamic_img_size=True,
        embed_dim=48,
        num_classes=len(bundled.labels),
    )
    for block in module.blocks:
        torch.nn.init.normal_(block.attn.qkv.weight, std=0.3)  # attention is far from uniform
    torch.nn.init.normal_(module.head.weight, std=0.5)
    return vitviz.from_module(module, bundled.labels, bundled.transform, bundled.name)


@contextmanager
def light_pages(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pages take this model for the bundled one, Compare measures two random orders instead of
    five, a time is measured once instead of three times; nothing that they cache is kept.

    The patch is the caller's: a test that replaces more with its own has both undone in turn.
    """
    take = Shelf.take

    def taken(shelf: Shelf, name: str) -> vitviz.Vit:
        return light_model() if name == BUNDLED else take(shelf, name)

    _forget()
    patch.setattr(Shelf, "take", taken)
    patch.setattr(comparison, "SEEDS", 2)
    patch.setattr(cost, "PASSES", 1)
    yield
    _forget()


def _forget() -> None:
    """What pages keep for all visitors."""
    st.cache_data.clear()
    for_all.clear()
