"""Every explanation method, one function each, in one registry."""

from __future__ import annotations

from typing import Any

import numpy as np

from vitviz.errors import MethodError
from vitviz.heatmap import Heatmap
from vitviz.methods.attention import attention
from vitviz.methods.option import Choice, Head, Layer, Method, Number
from vitviz.methods.rollout import rollout
from vitviz.methods.value_rollout import value_rollout
from vitviz.recording import Query, Recording

__all__ = ["METHODS", "explain"]

RESIDUAL = Number("Residual weight", 0.5, 0.0, 0.95)
START = Layer("First layer", 0)

METHODS = {
    method.id: method
    for method in (
        Method(
            "attention",
            "Attention",
            "Where does this head look, in this layer?",
            attention,
            "Vaswani et al. 2017, arXiv 1706.03762; Dosovitskiy et al. 2021, arXiv 2010.11929",
            {"layer": Layer("Layer", -1), "head": Head("Head")},
        ),
        Method(
            "rollout",
            "Attention rollout",
            "From which patches does information reach the query, through all layers?",
            rollout,
            "Abnar & Zuidema 2020, arXiv 2005.00928",
            {
                "fusion": Choice("Heads fused by", "mean", ("mean", "max", "min")),
                "discard": Number("Discard ratio", 0.0, 0.0, 0.95),
                "start": START,
                "residual": RESIDUAL,
            },
        ),
        Method(
            "value_rollout",
            "Value-weighted rollout",
            "The same, counting how much each token really adds.",
            value_rollout,
            "Kobayashi et al. 2020, arXiv 2004.10102",
            {"start": START, "residual": RESIDUAL},
        ),
    )
}


def explain(
    rec: Recording, method: str, query: Query = "cls", target: int | None = None, **options: Any
) -> Heatmap:
    """Explain one recorded forward pass.

    Args:
        rec: from `record`.
        method: an id in `METHODS`.
        query: "cls" or a patch as (row, column).
        target: class index; None is the top prediction. Only class-specific methods take one.
        options: of the method, see `METHODS[method].options`.

    Raises:
        MethodError: for an unknown method or option, a value out of range, a target where the
            method has none, or a method that does not apply to this model.
    """
    if method not in METHODS:
        raise MethodError(f"There is no method “{method}”; choose one of {', '.join(METHODS)}.")
    chosen = METHODS[method]
    if target is not None and not chosen.class_specific:
        raise MethodError(f"{chosen.title} is the same for every class; leave the target out.")
    values = chosen.function(rec, query, **chosen.check(rec, options))
    return Heatmap(rec.patches(values).numpy().astype(np.float32), rec.box, method)
