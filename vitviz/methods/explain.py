"""Every explanation method by its id, and the one way to ask it."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitviz import methods
from vitviz.arguments import checked
from vitviz.errors import MethodError, Phrase
from vitviz.heatmap import Heatmap
from vitviz.methods.gradients import Score
from vitviz.methods.made_from import made_from
from vitviz.methods.method import Estimate, Method
from vitviz.methods.target import Target, check_class, target_class
from vitviz.progress import Progress
from vitviz.recording.query import Query, as_query
from vitviz.recording.recording import Recording

__all__ = ["BASELINE", "METHODS", "explain", "method_called", "question"]

ABOUT_ALL = {"explain", "many"}  # the modules that hold no method


def _methods() -> list[Method]:
    """What each file of this package declares as METHOD, in the order of their numbers."""
    names = [module.name for module in iter_modules(methods.__path__)]
    modules = [import_module(f"vitviz.methods.{name}") for name in names if name not in ABOUT_ALL]
    found = [module.METHOD for module in modules if hasattr(module, "METHOD")]
    return sorted(found, key=lambda method: method.number)


METHODS = {method.id: method for method in _methods()}
"""Every method by its id: its title, question, options, paper, and what it needs."""
BASELINE = next(method.id for method in METHODS.values() if method.baseline)


@checked
def explain(
    rec: Recording,
    method: str,
    query: Query = "cls",
    target: Target | None = None,
    *,
    versus: Target | None = None,
    progress: Progress | None = None,
    **options: str | float | bool | None,
) -> Heatmap:
    """Explain one recorded forward pass.

    Args:
        rec: from `record`.
        method: an id in `METHODS`.
        query: "cls" or a patch as (row, column). Only methods that have a query take a patch.
        target: class index or name; None is the top prediction. Only class-specific methods take
            one.
        versus: explain why `target` rather than this class. Only contrastive methods take one.
        progress: called by slow methods now and then with the finished share, 0 to 1; whatever it
            raises ends the computation and is passed on.
        options: of the method, see `METHODS[method].options`.

    Raises:
        VitvizError: for an argument of another kind.
        MethodError: for an unknown method or option, a value out of range, a query, target or
            versus where the method has none, a method that does not apply to this model, or values
            that are not finite.

    Examples:
        >>> heat = explain(rec, "rollout", fusion="max", discard=0.5)
        >>> heat.values.shape
        (16, 16)
        >>> explain(rec, "relevance", target=rec.predictions[1].index).method
        'relevance'
    """
    chosen, query = method_called(method), as_query(query)
    if chosen.plain_only:
        rec.require_plain(chosen.title)
    complete = chosen.check(rec, options)
    given = question(rec, chosen, query, target, versus)
    if chosen.slow:
        given["progress"] = progress or (lambda _: None)
    with torch.autocast("cpu", enabled=False):  # the caller's may be on, and maps are in float32
        found = chosen.function(rec, **given, **complete)
    values, errors = (found.values, found.errors) if isinstance(found, Estimate) else (found, None)
    layer = complete.get("layer")
    patches = _on_photo(rec, values, layer)
    if not np.isfinite(patches).all():
        raise MethodError(
            "map_not_finite",
            "{method} gives numbers that are not finite here; choose another method.",
            method=chosen.title,
        )
    made = made_from(rec, method, complete, given.get("query"), given.get("score"))
    uncertain = None if errors is None else _on_photo(rec, errors, layer)
    return Heatmap(patches, rec.box, method, made, rec.fingerprint, uncertain)


def _on_photo(rec: Recording, tokens: Tensor, layer: int | None) -> NDArray[np.float32]:
    """Those of the patches, (rows, cols)."""
    return rec.patches(tokens, layer).numpy().astype(np.float32)


def method_called(id: str) -> Method:
    """The method of an id; MethodError if there is none."""
    if id not in METHODS:
        raise MethodError(
            "no_such_method",
            "There is no method “{method}”; choose one of {methods}.",
            method=id,
            methods=", ".join(METHODS),
        )
    return METHODS[id]


def question(
    rec: Recording,
    method: Method,
    query: Query,
    target: Target | None,
    versus: Target | None,
) -> dict[str, Any]:
    """The query and the class as the method's function takes them, if it does.

    Raises:
        MethodError: for one that it does not take.
    """
    given: dict[str, Any] = {}
    if method.has_query:
        given["query"] = query
    elif not (isinstance(query, str) and query == "cls"):
        raise MethodError(
            "no_query",
            "{method} does not start from a patch; leave the query at “cls”.",
            method=method.title,
        )
    if method.class_specific:
        given["score"] = _score(rec, method, target, versus)
    elif target is not None or versus is not None:
        raise MethodError(
            "no_target",
            "{method} is the same for every class; leave the target out.",
            method=method.title,
        )
    return given


def _score(rec: Recording, method: Method, target: Target | None, versus: Target | None) -> Score:
    """What a class-specific method explains."""
    others = ", ".join(m.id for m in METHODS.values() if not m.class_specific and m.suits(rec))
    target = target_class(
        rec, target, method.title, Phrase("use_one_of", "use one of {methods}", methods=others)
    )
    if versus is None:
        return Score(target)
    if not method.contrastive:
        pairs = ", ".join(m.id for m in METHODS.values() if m.contrastive)
        raise MethodError(
            "not_contrastive",
            "{method} explains one class, not a pair; use one of {methods}.",
            method=method.title,
            methods=pairs,
        )
    versus = check_class(rec, versus)
    if versus == target:
        raise MethodError(
            "class_against_itself",
            "A class cannot be explained against itself; choose two classes.",
        )
    return Score(target, versus)
