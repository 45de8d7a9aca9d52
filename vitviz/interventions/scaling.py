"""What a block's parts add to the residual stream, weakened, strengthened or left out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from vitviz.arguments import checked
from vitviz.errors import ModelError, VitvizError
from vitviz.recording.changes import Scaling
from vitviz.recording.query import check_layer
from vitviz.recording.recording import Recording

__all__ = ["Part", "ScaleLayer", "scale_layer"]

Part = Literal["both", "attention", "mlp"]


@dataclass(frozen=True)
class ScaleLayer:
    """What `scale_layer` declares."""

    layer: int
    factor: float
    part: Part

    def __str__(self) -> str:
        return f"scale_layer({self.layer}, {self.factor}, part={self.part!r})"

    def changes(self, rec: Recording) -> list[Scaling]:
        """As `Edit`."""
        check_layer(self.layer, rec.num_layers)
        anatomy, layer = rec.vit.anatomy, self.layer % rec.num_layers
        if not (anatomy.has_plain_blocks and rec.is_plain):
            raise ModelError(
                "blocks_not_sequential",
                "The blocks of {model} do not add attention and MLP one after the other; "
                "choose a plain Vision Transformer (ViT, DeiT, DINO).",
                model=rec.vit.name,
            )
        parts = {"attention": rec.layers[layer].module, "mlp": f"{anatomy.blocks[layer]}.mlp"}
        asked = parts.values() if self.part == "both" else [parts[self.part]]
        return [Scaling(module, self.factor) for module in asked if self.factor != 1]


@checked
def scale_layer(layer: int, factor: float, part: Part = "both") -> ScaleLayer:
    """What a block adds to the residual stream counts so many times; for the `edits` of `record`.

    A block adds to each token what its attention gives and then what its MLP gives. 0 leaves it
    out, 1 changes nothing, to the last bit.

    Args:
        layer: of the block, from 0; negative ones count from the last.
        factor: any finite number.
        part: “attention”, “mlp” or “both”: with 0 the tokens pass the block unchanged.

    Raises:
        VitvizError: for arguments of another kind, or no such part; where it is recorded, if there
            is no such layer, or the model's blocks do not add attention and MLP one after the
            other.

    Examples:
        >>> without = record(vit, photo, edits=[scale_layer(11, 0, part="mlp")])
        >>> same = record(vit, photo, edits=[scale_layer(11, 1)])
        >>> same.logits.equal(rec.logits)
        True
    """
    if part not in ("both", "attention", "mlp"):
        raise VitvizError(
            "no_such_part",
            "The part of a layer is “attention”, “mlp” or “both”, not “{part}”.",
            part=part,
        )
    if not math.isfinite(factor):
        raise VitvizError(
            "factor_not_finite",
            "A layer is scaled by a finite number, not {factor}.",
            factor=factor,
        )
    return ScaleLayer(layer, float(factor), part)
