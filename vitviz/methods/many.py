"""Many recordings, explained a batch at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from typing import Any

from vitviz.arguments import check_argument
from vitviz.errors import VitvizError
from vitviz.heatmap import Heatmap
from vitviz.methods.explain import explain, method_called, question
from vitviz.methods.method import Method
from vitviz.methods.target import Target
from vitviz.recording.many import check_batch_size
from vitviz.recording.query import Query
from vitviz.recording.recording import Recording

__all__ = ["explain_many"]


def explain_many(
    recs: Iterable[Recording],
    method: str,
    query: Query = "cls",
    target: Target | None = None,
    *,
    versus: Target | None = None,
    batch_size: int = 16,
    **options: str | float | bool | None,
) -> Iterator[Heatmap]:
    """Explain many recordings: one map after the other, in order.

    Each is what `explain` gives for the recording alone, within rounding. Relevance, gradient
    rollout and Grad-CAM differentiate the model for a batch at once; all other methods, models with
    windows and recordings with edits take one recording at a time. No more than a batch is held
    here.

    Args:
        recs: such as `record_many` gives them.
        method: an id in `METHODS`.
        query, target, versus, options: as of `explain`, the same for all. Without a target each
            recording's own top prediction is explained.
        batch_size: recordings in one forward and backward pass.

    Raises:
        MethodError: as `explain`, for a recording when its turn comes.
        VitvizError: if the batch size is not a number above 0.

    Examples:
        >>> recs = vitviz.record_many(vit, [photo, photo.rotate(90)])
        >>> [heat.values.shape for heat in explain_many(recs, "relevance")]
        [(16, 16), (16, 16)]
    """
    check_argument(explain_many, "batch_size", batch_size)
    check_batch_size(batch_size)
    chosen = method_called(method)
    return _maps(recs, chosen, batch_size, query, target, {"versus": versus, **options})


def _maps(
    recs: Iterable[Recording],
    method: Method,
    batch_size: int,
    query: Query,
    target: Target | None,
    given: dict[str, Any],
) -> Iterator[Heatmap]:
    rest = iter(recs)
    while batch := list(islice(rest, batch_size)):
        for _, group in groupby(
            batch, key=lambda rec: (id(rec.vit), rec.pixels.shape, bool(rec.edits))
        ):
            _prepare(same := list(group), method, query, target, **given)
            yield from (explain(rec, method.id, query, target, **given) for rec in same)


def _prepare(
    recs: list[Recording],
    method: Method,
    query: Query,
    target: Target | None,
    versus: Target | None,
    **options: Any,
) -> None:
    """Computes at once what the method asks of each, where that can be done."""
    if method.of_many is None or len(recs) == 1 or recs[0].edits:
        return
    try:
        scores = [question(rec, method, query, target, versus)["score"] for rec in recs]
        method.of_many(recs, scores, **method.check(recs[0], options))
    except VitvizError:  # it mixes them, or one of them cannot be explained, which `explain` says
        return
