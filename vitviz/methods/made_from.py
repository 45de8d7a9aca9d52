"""What a heatmap says of its own making."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakValueDictionary

from vitviz.heatmap import MadeFrom
from vitviz.methods.gradients import Score
from vitviz.models.weights import cached_weights_hash
from vitviz.recording.query import Query
from vitviz.recording.recording import Recording

__all__ = ["made_from", "recording_of", "same_recording"]

Source = tuple[str, str, tuple[str, ...]]  # the hashes of weights and input, and the edits
_recordings: WeakValueDictionary[Source, Recording] = WeakValueDictionary()


def made_from(
    rec: Recording,
    method: str,
    options: Mapping[str, Any],
    query: Query | None,
    score: Score | None = None,
) -> MadeFrom:
    """What `explain` makes a map from.

    Args:
        rec: the recording.
        method: the id.
        options: every option with its checked value.
        query: None where the method has none.
        score: None where the map is the same for every class.
    """
    labels = {p.index: p.label for p in rec.predictions} if score else {}
    target, versus = (score.target, score.versus) if score else (None, None)
    weights, pixels, edits = source = _source(rec)
    _recordings[source] = rec
    return MadeFrom(
        method,
        dict(options),
        (int(query[0]), int(query[1])) if isinstance(query, tuple) else query,
        target,
        None if target is None else labels[target],
        versus,
        None if versus is None else labels[versus],
        rec.vit.name,
        weights,
        pixels,
        edits,
    )


def recording_of(made: MadeFrom) -> Recording | None:
    """What a map was made from, as long as somebody holds it."""
    return _recordings.get((made.weights, made.input, made.edits))


def same_recording(rec: Recording, made: MadeFrom) -> bool:
    """Whether a map was made from this model, as it is now, this input and the same edits."""
    return _source(rec) == (made.weights, made.input, made.edits)


def _source(rec: Recording) -> Source:
    return cached_weights_hash(rec.vit.module), rec.input_hash, tuple(map(str, rec.edits))
