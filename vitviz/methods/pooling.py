"""The attention of a pooling head, which reads the patches for the classifier."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from vitviz.errors import MethodError
from vitviz.methods.attention import chosen_head
from vitviz.methods.method import (
    HeadOption,
    Method,
)
from vitviz.recording.recording import Recording

__all__ = ["METHOD", "pooling"]


def pooling(rec: Recording, *, head: int | None) -> Tensor:
    """The pooling head's attention from its learned query, or the mean over its heads: (tokens,).

    Where the head leaves out the prefix tokens, they get 0. Several queries are averaged. Lee et
    al. 2019, arXiv 1810.00825.

    Args:
        rec: from `record`.
        head: from 0; None is the mean of all.

    Raises:
        MethodError: if the model has no attention-pooling head, or no such head in it.

    Examples:
        >>> import timm
        >>> siglip = timm.create_model("vit_base_patch16_siglip_224", depth=1)  # random weights
        >>> pooling(record(from_module(siglip), photo), head=None).shape
        torch.Size([196])
    """
    if rec.pool is None:
        raise MethodError(
            "no_pooling_head",
            "{model} has no attention-pooling head; use attention or rollout.",
            model=rec.vit.name,
        )
    heads = rec.pool.rows(slice(None))[0].mean(dim=1)  # (heads, keys)
    looked = chosen_head(heads, head)
    return F.pad(looked, (rec.num_tokens - len(looked), 0))


METHOD = Method(
    "pooling",
    2,
    "Pooling attention",
    "Which patches does the attention-pooling head read?",
    pooling,
    "Lee et al. 2019, arXiv 1810.00825; Zhai et al. 2022, arXiv 2106.04560",
    {"head": HeadOption("Head")},
    has_query=False,
    applies_to="Models with an attention-pooling head, such as SigLIP.",
    needs_pool=True,
)
