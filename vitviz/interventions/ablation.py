"""Heads without a result of their own.

Michel, Levy & Neubig 2019, arXiv 1905.10650, set a head's result to zero; Wang et al. 2022,
arXiv 2211.00593, to a mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from vitviz.arguments import checked
from vitviz.errors import Phrase, VitvizError
from vitviz.interventions.addresses import Head, by_layer, chosen_heads, whole_map
from vitviz.interventions.maps import values_of, with_map
from vitviz.recording.changes import CallChange
from vitviz.recording.layout import Call
from vitviz.recording.recording import Recording

__all__ = ["HeadAblation", "Replacement", "ablate_heads", "switch_off"]

Replacement = Literal["zero", "mean"]
MEAN = Phrase("mean_ablation", "mean ablation")


@dataclass(frozen=True)
class HeadAblation:
    """What `ablate_heads` declares."""

    heads: tuple[Head, ...]
    to: Replacement

    def __str__(self) -> str:
        return f"ablate_heads({list(self.heads)}, to={self.to!r})"

    def changes(self, rec: Recording) -> list[CallChange]:
        """As `Edit`."""
        found = []
        for layer, heads in by_layer(rec, self.heads).items():
            chosen = chosen_heads(rec, layer, heads)
            module = rec.layers[layer].module
            if self.to == "zero":
                found.append(switch_off(module, chosen))
            else:
                whole_map(rec, layer, MEAN)
                found.append(_averaged(module, chosen))
        return found


@checked
def ablate_heads(heads: Sequence[Head], to: Replacement = "zero") -> HeadAblation:
    """Some heads do without a result of their own, before the heads are joined; for the `edits` of
    `record`.

    A head's result is its attention @ values, a vector for each token. “zero” puts 0 in its place,
    so that the head adds nothing; its map stays what it was. “mean” puts the mean over all tokens
    of this photo there, which each token then gets alike: what the head adds on the whole stays,
    and what it tells tokens apart by goes. Its map is then the mean of its rows, in all rows. (The
    mean over many photos, which others take, is another one.)

    Args:
        heads: as (layer, head), both from 0; none changes nothing.
        to: “zero” or “mean”.

    Raises:
        VitvizError: for arguments of another kind; where it is recorded, if the model has no such
            head, or if the mean is asked of a layer whose tokens look in windows.

    Examples:
        >>> without = record(vit, photo, edits=[ablate_heads([(6, 0), (6, 3)])])
        >>> without.attention(6).equal(rec.attention(6))
        True
        >>> without.logits.equal(rec.logits)
        False
        >>> mean = record(vit, photo, edits=[ablate_heads([(6, 0)], to="mean")])
        >>> rows = mean.attention(6)[0]
        >>> bool((rows == rows[0]).all())
        True
    """
    if to not in ("zero", "mean"):
        raise VitvizError(
            "no_such_replacement",
            "A head's result is set to “zero” or “mean”, not “{to}”.",
            to=to,
        )
    return HeadAblation(tuple((int(layer), int(head)) for layer, head in heads), to)


def switch_off(module: str, off: Tensor) -> CallChange:
    """Heads of a module that attends, without a result: their values count as 0.

    Args:
        module: its name.
        off: which heads, boolean (1, heads, 1, 1), or of each photo of a batch.
    """

    def change(call: Call, result: Tensor) -> tuple[Call, Tensor]:
        return (
            replace(call, value=values_of(call).masked_fill(off, 0)),
            result.masked_fill(off, 0),
        )

    return CallChange(module, change)


def _averaged(module: str, heads: Tensor) -> CallChange:
    def change(call: Call, result: Tensor) -> tuple[Call, Tensor]:
        mean = call.rows(slice(None)).mean(dim=2, keepdim=True)
        return with_map(call, result, heads, mean)

    return CallChange(module, change)
