"""What can go wrong, each with one sentence that says what to do.

The English sentence stands where the error is raised, with an id by which other languages find
theirs:

    raise MethodError("no_such_layer", "There is no layer {layer}; …", layer=layer)
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "FAILURES",
    "ClassError",
    "ImageError",
    "MethodError",
    "ModelError",
    "ModelUnavailable",
    "Phrase",
    "VitvizError",
    "VitvizWarning",
    "did_you_mean",
    "in_a_line",
]


FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a model or a transform of somebody else's raises on what it was not made for."""


class Phrase:
    """Words that can be said in other languages too; `str` says them in English.

    Args:
        id: by which another language finds its own words; one id has one English text.
        english: the words, with {places} as `str.format` knows them.
        values: what stands in the places, each a Phrase itself if it has to be translated.
    """

    def __init__(self, id: str, english: str, /, **values: object) -> None:
        self.id, self.english, self.values = id, english, values

    def __str__(self) -> str:
        return self.english.format(**self.values)


def in_a_line(error: BaseException) -> str:
    """What an error of somebody else's says, for a place in a sentence."""
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__


def did_you_mean(names: Iterable[str]) -> Phrase:
    """The hint after a name that is not known, for a sentence to end with."""
    return Phrase(
        "did_you_mean", "did you mean {names}?", names=", ".join(f"“{name}”" for name in names)
    )


class VitvizError(Phrase, Exception):
    """Base of every error that Vitviz raises on purpose, made as a Phrase is.

    A copy, by `copy` or `pickle`, keeps id and values, but nothing of where it was raised: neither
    traceback nor cause.
    """


class VitvizWarning(UserWarning):
    """A picture was drawn that shows less, or something else, than it seems to."""


class ClassError(VitvizError):
    """A live class that is not there, is full, or is not led by who tries to."""


class ImageError(VitvizError):
    """A file that cannot be used as a photo."""


class ModelError(VitvizError):
    """A model that cannot be loaded or mapped."""


class ModelUnavailable(ModelError):
    """Weights that are not on this machine and cannot be fetched."""


class MethodError(VitvizError):
    """A method or option that does not exist or does not apply to this model."""
