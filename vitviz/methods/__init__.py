"""Every explanation method, one function each, in one registry."""

from __future__ import annotations

from typing import Any

import numpy as np

from vitviz.errors import MethodError
from vitviz.gradients import Score
from vitviz.heatmap import Heatmap
from vitviz.methods.attention import attention, pooling
from vitviz.methods.baseline import random
from vitviz.methods.gradient import gradcam, gradient_rollout, legrad, relevance, transition
from vitviz.methods.occlusion import occlusion
from vitviz.methods.option import Choice, Head, Layer, Method, Number, Whole
from vitviz.methods.rollout import rollout
from vitviz.methods.value_rollout import value_rollout
from vitviz.progress import Progress
from vitviz.recording import Query, Recording
from vitviz.target import check_class, target_class

__all__ = ["METHODS", "explain"]

DISCARD = Number("Discard ratio", 0.0, 0.0, 0.95)
RESIDUAL = Number("Residual weight", 0.5, 0.0, 0.95)
START = Layer("First layer", 0)
CLASSIFIERS = "Models with a classifier."

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
            plain_only=False,
        ),
        Method(
            "pooling",
            "Pooling attention",
            "Which patches does the attention-pooling head read?",
            pooling,
            "Lee et al. 2019, arXiv 1810.00825; Zhai et al. 2022, arXiv 2106.04560",
            {"head": Head("Head")},
            has_query=False,
            applies_to="Models with an attention-pooling head, such as SigLIP.",
            needs_pool=True,
        ),
        Method(
            "rollout",
            "Attention rollout",
            "From which patches does information reach the query, through all layers?",
            rollout,
            "Abnar & Zuidema 2020, arXiv 2005.00928",
            {
                "fusion": Choice("Heads fused by", "mean", ("mean", "max", "min")),
                "discard": DISCARD,
                "artefacts": Choice("Artefact tokens", "keep", ("keep", "mask")),
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
            applies_to="Models that join their heads by one linear projection.",
        ),
        Method(
            "gradient_rollout",
            "Gradient rollout",
            "From which patches does information for this class flow, through all layers?",
            gradient_rollout,
            "Gildenblat 2020, github.com/jacobgil/vit-explain",
            {"discard": DISCARD, "start": START, "residual": RESIDUAL},
            needs_gradient=True,
            class_specific=True,
            applies_to=CLASSIFIERS,
        ),
        Method(
            "relevance",
            "Relevance",
            "Which patches raised this class's score?",
            relevance,
            "Chefer, Gur & Wolf 2021, arXiv 2103.15679",
            needs_gradient=True,
            class_specific=True,
            contrastive=True,
            applies_to=CLASSIFIERS,
        ),
        Method(
            "transition",
            "Transition attention map",
            "Which patches feed the last layer where this class is decided?",
            transition,
            "Yuan et al. 2021, Explaining Information Flow Inside Vision Transformers Using "
            "Markov Chain",
            needs_gradient=True,
            class_specific=True,
            has_query=False,
            slow=True,
            applies_to=CLASSIFIERS,
        ),
        Method(
            "legrad",
            "LeGrad",
            "Which patches would each layer have to look at more to raise this class?",
            legrad,
            "Bousselham et al. 2024, arXiv 2404.03214",
            needs_gradient=True,
            class_specific=True,
            has_query=False,
            applies_to="Models whose classifier is a final norm and a head after the last block.",
        ),
        Method(
            "gradcam",
            "Grad-CAM",
            "Which patches hold the features that speak for this class?",
            gradcam,
            "Selvaraju et al. 2017, arXiv 1610.02391",
            needs_gradient=True,
            class_specific=True,
            contrastive=True,
            has_query=False,
            applies_to=CLASSIFIERS,
        ),
        Method(
            "occlusion",
            "Occlusion",
            "How much less probable is this class when a part of the photo is hidden?",
            occlusion,
            "Zeiler & Fergus 2014, arXiv 1311.2901",
            {"window": Whole("Window", 3, 1, 8), "stride": Whole("Stride", 2, 1, 8)},
            class_specific=True,
            has_query=False,
            slow=True,
            applies_to=CLASSIFIERS,
            plain_only=False,
        ),
        Method(
            "random",
            "Random",
            "How good is a map that knows nothing?",
            random,
            "Baseline, see Adebayo et al. 2018, arXiv 1810.03292",
            {"seed": Whole("Seed", 0, 0, 9999)},
            has_query=False,
            plain_only=False,
        ),
    )
}


def explain(
    rec: Recording,
    method: str,
    query: Query = "cls",
    target: int | None = None,
    *,
    versus: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Heatmap:
    """Explain one recorded forward pass.

    Args:
        rec: from `record`.
        method: an id in `METHODS`.
        query: "cls" or a patch as (row, column). Only methods that have a query take a patch.
        target: class index; None is the top prediction. Only class-specific methods take one.
        versus: explain why `target` rather than this class. Only contrastive methods take one.
        progress: called by slow methods now and then with the finished share, 0 to 1; whatever it
            raises ends the computation and is passed on.
        options: of the method, see `METHODS[method].options`.

    Raises:
        MethodError: for an unknown method or option, a value out of range, a query, target or
            versus where the method has none, or a method that does not apply to this model.
    """
    if method not in METHODS:
        raise MethodError(f"There is no method “{method}”; choose one of {', '.join(METHODS)}.")
    chosen = METHODS[method]
    if chosen.plain_only:
        rec.require_plain(chosen.title)
    given = chosen.check(rec, options)
    if chosen.has_query:
        given["query"] = query
    elif query != "cls":
        raise MethodError(f"{chosen.title} does not start from a patch; leave the query at “cls”.")
    if chosen.class_specific:
        given["score"] = _score(rec, chosen, target, versus)
    elif target is not None or versus is not None:
        raise MethodError(f"{chosen.title} is the same for every class; leave the target out.")
    if chosen.slow:
        given["progress"] = progress or (lambda _: None)
    values = chosen.function(rec, **given)
    return Heatmap(
        rec.patches(values, given.get("layer")).numpy().astype(np.float32), rec.box, method
    )


def _score(rec: Recording, method: Method, target: int | None, versus: int | None) -> Score:
    """What a class-specific method explains."""
    others = ", ".join(m.id for m in METHODS.values() if not m.class_specific and m.suits(rec))
    target = target_class(rec, target, method.title, f"use one of {others}")
    if versus is None:
        return Score(target)
    if not method.contrastive:
        pairs = " or ".join(m.id for m in METHODS.values() if m.contrastive)
        raise MethodError(f"{method.title} explains one class, not a pair; use {pairs}.")
    versus = check_class(rec, versus)
    if versus == target:
        raise MethodError("A class cannot be explained against itself; choose two classes.")
    return Score(target, versus)
