"""The matrix that joins the heads of an attention module."""

from __future__ import annotations

from torch import nn

__all__ = ["output_projection"]


def output_projection(attention: nn.Module, width: int) -> nn.Linear | None:
    """W_O, if it is all that follows attention @ values; None where a norm, a gate or anything else
    lies between.

    Args:
        attention: the module.
        width: of all heads' results together.
    """
    projection = getattr(attention, "proj", None)
    if (
        isinstance(projection, nn.Linear)
        and projection.in_features == width
        and isinstance(getattr(attention, "norm", nn.Identity()), nn.Identity)
        and getattr(attention, "gate", None) is None
    ):
        return projection
    return None
