"""Where the object queries of a detector look, and what each of them found.

Carion et al. 2020, DETR, arXiv 2005.12872: learned vectors that belong to no place look at the
photo's features by cross-attention, layer by layer, and each answers with one box and class, or
“nothing”. How transformers (5.24) calls the parts of DETR and of what is built like it is known in
this file alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vitviz.arguments import checked
from vitviz.errors import MethodError, ModelError
from vitviz.heatmap import Box, Fingerprint, Heatmap
from vitviz.models.libraries import transformers_labels
from vitviz.models.vit import Vit
from vitviz.photos.given import PhotoLike
from vitviz.pictures.boxes import draw_boxes
from vitviz.pictures.overlay import overlay
from vitviz.recording.query import check_layer
from vitviz.recording.record import Given, given_to
from vitviz.recording.recorder import Recorder

__all__ = ["ObjectQuery", "object_queries"]

DETECTOR = "model"  # in what `from_module` wraps around it
CROSS_ATTENTION = {"encoder_attn", "cross_attn"}
COLOUR = "#00d0c0"  # of a box, seen on every colour map that is offered first


@dataclass(frozen=True, eq=False)
class ObjectQuery:
    """One object query: what it found on a photo, and where it looked.

    Attributes:
        number: which of the model's queries it is.
        label, index: the class that it gives the highest probability, “nothing” apart.
        probability: of that class.
        box: (left, top, right, bottom) of what it found, in the photo's pixels.
        cross_attention: of each decoder layer and head, over the grid of the features that the
            encoder gives, float32 (layers, heads, rows, cols); each head's sums to 1.
        seen: the part of the photo that the grid covers.
        fingerprint: what tells the photo from another one; None without a photo.

    Examples:
        >>> best = object_queries(detector, photo)[0]
        >>> best.cross_attention.shape
        torch.Size([2, 2, 4, 5])
        >>> best.picture(photo).size == photo.size
        True
    """

    number: int
    label: str
    index: int
    probability: float
    box: Box
    cross_attention: Tensor = field(repr=False)
    seen: Box
    fingerprint: Fingerprint | None = field(repr=False)

    def looks(self, layer: int = -1, head: int | None = None) -> Heatmap:
        """Where it looks in a decoder layer.

        Args:
            layer: from 0; -1 is the last.
            head: from 0; None is the mean of all.

        Raises:
            VitvizError: if there is no such layer or head.
        """
        layers, heads = self.cross_attention.shape[:2]
        check_layer(layer, layers)
        if head is not None and not 0 <= head < heads:
            raise MethodError(
                "head_out_of_range",
                "Here the heads are 0 to {last}, and there is no {head}.",
                last=heads - 1,
                head=head,
            )
        maps = self.cross_attention[layer]
        chosen = maps.mean(dim=0) if head is None else maps[head]
        values = chosen.numpy().astype(np.float32)
        return Heatmap(values, self.seen, "cross-attention", fingerprint=self.fingerprint)

    def picture(self, photo: PhotoLike, layer: int = -1, head: int | None = None) -> Image.Image:
        """The photo with where it looks over it, and the outline of its box.

        Raises:
            VitvizError: as `looks`.
            ImageError: if the photo is not readable.
        """
        return draw_boxes(overlay(photo, self.looks(layer, head)), [(self.box, COLOUR)])


@checked
@torch.no_grad()
def object_queries(vit: Vit, photo: PhotoLike | Tensor) -> list[ObjectQuery]:
    """What each object query of a detector found on a photo, and where it looked; the surest first.

    For DETR, Conditional DETR, DAB-DETR and Table Transformer of transformers, as a model for
    object detection. Probabilities are the model's own: a softmax with “nothing” as the last class,
    or a sigmoid of each class where it has no such class. The cells of the grid cover the input
    evenly, as they do in the model's own positions.

    Args:
        vit: from `from_module(model, transform=processor)`.
        photo: as for `record`.

    Raises:
        ModelError: if the model has no such queries, or as `record`.
        ImageError: if the photo is not readable.
        VitvizError: for an argument of another kind.

    Examples:
        >>> found = object_queries(detector, photo)
        >>> len(found), found[0].probability >= found[1].probability
        (6, True)
        >>> heat = found[0].looks(layer=0, head=1)
        >>> heat.values.shape
        (4, 5)
    """
    given = given_to(vit, photo)
    with Recorder(vit.running, [DETECTOR]) as recorder:
        vit.run(given.pixels[None].to(vit.anatomy.float_type))
    said = recorder.outputs.get(DETECTOR)
    boxes, logits = (getattr(said, name, None) for name in ("pred_boxes", "logits"))
    maps = [
        call.rows(slice(None))
        for call in recorder.calls
        if CROSS_ATTENTION & set(call.module.split("."))
    ]
    grid = _grid(given.pixels.shape[-2:], maps[0].shape[-1]) if maps else None
    if grid is None or boxes is None or logits is None:
        raise ModelError(
            "no_object_queries",
            "{model} has no object queries with a map of attention over the photo: DETR, "
            "Conditional DETR, DAB-DETR and Table Transformer of transformers do, and the "
            "deformable kind looks at a few points instead.",
            model=vit.name,
        )
    looked = torch.cat(maps).unflatten(-1, grid)  # (layers, heads, queries, rows, cols)
    return _queries(vit, given, logits[0].float().cpu(), boxes[0].float().cpu(), looked)


def _grid(size: Sequence[int], cells: int) -> tuple[int, int] | None:
    """(rows, cols) of so many cells over an input of this (height, width): a convolution gives one
    for each of its strides that begins there. None if no stride gives so many."""
    height, width = size
    grids = ((-(-height // s), -(-width // s)) for s in range(1, max(size) + 1))
    return next((grid for grid in grids if math.prod(grid) == cells), None)


def _queries(
    vit: Vit, given: Given, logits: Tensor, boxes: Tensor, looked: Tensor
) -> list[ObjectQuery]:
    """Each query's answer; boxes are (middle x, middle y, width, height) in shares of the input."""
    detector: Any = vit.module.get_submodule(DETECTOR)
    classes = detector.config.num_labels
    has_nothing = logits.shape[1] > classes
    shares = logits.softmax(dim=-1)[:, :classes] if has_nothing else logits.sigmoid()
    names = transformers_labels(detector.config)
    seen = None if given.photo is None else Fingerprint.of(given.photo)
    found = []
    for number in shares.amax(dim=1).argsort(descending=True, stable=True).tolist():
        index = int(shares[number].argmax())
        found.append(
            ObjectQuery(
                number,
                names[index] if names else f"class {index}",
                index,
                float(shares[number, index]),
                _on_photo(boxes[number].tolist(), given.box),
                looked[:, :, number],
                given.box,
                seen,
            )
        )
    return found


def _on_photo(box: Sequence[float], seen: Box) -> Box:
    """A box in shares of the input as corners in the photo's pixels."""
    x, y, width, height = box
    left, top, right, bottom = seen
    return (
        left + (x - width / 2) * (right - left),
        top + (y - height / 2) * (bottom - top),
        left + (x + width / 2) * (right - left),
        top + (y + height / 2) * (bottom - top),
    )
