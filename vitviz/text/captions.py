"""Photos in the space of words: CLIP in miniature.

A linear map, fitted by models/captions.py, takes the bundled ViT's class token to where
all-MiniLM-L6-v2 puts texts, so that a photo can be compared with any words by the cosine. Radford
et al. 2021, CLIP, arXiv 2103.00020.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from vitviz.errors import ModelError
from vitviz.heatmap import Heatmap
from vitviz.methods.relevance import relevance
from vitviz.models.weights import cached_weights_hash
from vitviz.recording.recording import Recording

__all__ = [
    "FOLDER",
    "HeldOut",
    "bridge_from",
    "held_out",
    "new_bridge",
    "patches_for_words",
    "photo_in_words",
]

FOLDER = Path(__file__).resolve().parents[1] / "data" / "captions"
WEIGHTS, REPORT, VIT = "bridge.safetensors", "held_out.json", "vit"
WIDTH = 384  # of the ViT's tokens, and of the texts' vectors


def new_bridge() -> nn.Linear:
    """From a class token to the vector of a text, not fitted to anything."""
    return nn.Linear(WIDTH, WIDTH)


@dataclass(frozen=True, eq=False)
class WordScore:
    """A text's vector times the photo's, t·(W x + b) without t·b, as a sum of the model's own
    logits: the classifier's rows span all directions that a class token x can have.

    Attributes:
        shares: of each class's logit in the sum, (classes,).
    """

    shares: Tensor

    def of(self, logits: Tensor) -> Tensor:
        """Logits (…, classes) → scores (…), up to a constant."""
        return logits @ self.shares


@dataclass(frozen=True)
class HeldOut:
    """How often the right name comes first, or among the first five, on photos of classes that the
    bridge was not fitted to.

    Attributes:
        classes: their names.
        photos: how many were tried.
        among_held_out, among_all: shares (top-1, top-5), where the names to choose from are those
            of the held-out classes, or of all.
        all_classes: how many those are.
    """

    classes: tuple[str, ...]
    photos: int
    among_held_out: tuple[float, float]
    among_all: tuple[float, float]
    all_classes: int


@cache
def held_out() -> HeldOut:
    """What models/captions.py measured when it fitted the bridge."""
    found: dict[str, Any] = json.loads((FOLDER / REPORT).read_text(encoding="utf-8"))
    return HeldOut(
        tuple(found["classes"]),
        found["photos"],
        tuple(found["among_held_out"]),
        tuple(found["among_all"]),
        found["all_classes"],
    )


@cache
def _bridge() -> tuple[nn.Linear, str]:
    """The bridge, and the hash of the ViT's weights that it belongs to."""
    bridge, file = new_bridge(), FOLDER / WEIGHTS
    bridge.load_state_dict({name: part.float() for name, part in load_file(file).items()})
    with safe_open(file, "pt") as opened:
        belongs_to: str = opened.metadata()[VIT]
    return bridge.eval().requires_grad_(False), belongs_to


def bridge_from(rec: Recording) -> nn.Linear:
    """The map from this recording's class token, (width,), to the vectors of texts.

    Raises:
        ModelError: if it was not the bundled ViT that was recorded.
    """
    bridge, belongs_to = _bridge()
    if cached_weights_hash(rec.vit.module) != belongs_to:
        raise ModelError(
            "no_bridge_to_words",
            "There is a bridge to words from the bundled model's tokens only, not from those of "
            "{model}; record the photo with load_model().",
            model=rec.vit.name,
        )
    return bridge


@torch.no_grad()
def photo_in_words(rec: Recording) -> Tensor:
    """The photo's vector in the space of texts, (width,), of length 1: its product with a text's
    vector is their cosine. One more forward pass.

    Raises:
        ModelError: if it was not the bundled ViT that was recorded.
    """
    bridge = bridge_from(rec)
    last = rec.vit.anatomy.last_tokens(rec.core_pixels)
    assert last is not None  # of this model it is known
    return F.normalize(bridge(last[0, 0]), dim=0)


def patches_for_words(rec: Recording, text: Tensor) -> Heatmap:
    """Which patches speak for a text: the relevance of the product of its vector and the photo's,
    as `relevance` computes it of a class. A forward and a backward pass.

    Args:
        rec: of the bundled ViT.
        text: vector, (width,); the difference of two asks what speaks for one rather than the
            other.

    Raises:
        ModelError: if it was not the bundled ViT that was recorded.
    """
    bridge, classifier = bridge_from(rec), rec.vit.anatomy.classifier
    assert isinstance(classifier, nn.Linear)  # of this model it is known
    direction = text @ bridge.weight
    shares = torch.linalg.lstsq(classifier.weight.detach().T, direction[:, None]).solution[:, 0]
    row = relevance(rec, "cls", WordScore(shares))
    return Heatmap(rec.patches(row).numpy().astype(np.float32), rec.box, "relevance")
