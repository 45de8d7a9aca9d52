"""Arguments of the wrong kind are refused with a sentence, by the annotations of what is called."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache, wraps
from numbers import Integral, Real
from typing import Any, BinaryIO, Literal, ParamSpec, TypeVar, Union, cast, get_args, get_origin
from typing import get_type_hints as hints_of

import numpy as np

from vitviz.errors import VitvizError

__all__ = ["check_argument", "check_fields", "checked"]

P = ParamSpec("P")
R = TypeVar("R")
NUMBERS = {int: Integral, float: Real}  # NumPy's count as numbers too


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """The function, which now refuses arguments that are not of the kinds it is annotated with.

    Lists count as tuples, NumPy's numbers as numbers; a truth value is no number. Ranges are the
    function's own to check.

    Raises:
        VitvizError: naming the argument, the kinds that it may be, and what it is.

    Examples:
        >>> explain("dog.jpg", "rollout")
        Traceback (most recent call last):
        vitviz.errors.VitvizError: rec of explain must be Recording, not str.
    """
    signature = inspect.signature(function)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
                for option, given in value.items():
                    check_argument(function, name, given, option)
            elif signature.parameters[name].kind is not inspect.Parameter.VAR_POSITIONAL:
                check_argument(function, name, value)
        return function(*args, **kwargs)

    return call


def check_fields(made: Any) -> None:
    """The same for the fields of a dataclass, in its `__post_init__`."""
    kind = cast(Callable[..., Any], type(made))
    for name in _fields(kind):
        check_argument(kind, name, getattr(made, name))


@cache
def _fields(made: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(made).parameters)


@cache
def _hints(called: Callable[..., Any]) -> dict[str, Any]:
    return hints_of(called)


def check_argument(
    called: Callable[..., Any], name: str, value: Any, shown: str | None = None
) -> None:
    """The same for one argument by its name, of a function that has sentences of its own for
    others.

    Args:
        called: what is annotated.
        name: of the argument there.
        value: what was given.
        shown: what the argument is called in the sentence; None for its name.
    """
    hint = _hints(called).get(name, Any)
    if not _fits(value, hint):
        raise VitvizError(
            "wrong_kind",
            "{argument} of {function} must be {expected}, not {given}.",
            argument=shown or name,
            function=called.__name__,
            expected=" or ".join(dict.fromkeys(_words(hint))),
            given="None" if value is None else type(value).__name__,
        )


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of an annotated kind."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any or isinstance(hint, TypeVar):
        return True
    if hint in (None, types.NoneType):
        return value is None
    if origin in (Union, types.UnionType):
        return any(_fits(value, kind) for kind in inner)
    if origin is Literal:  # words are the function's own to check, and what stands beside them
        return True
    if origin is tuple:
        return _is_list(value) and (
            all(_fits(one, inner[0]) for one in value)
            if inner[1:] == (...,)
            else len(value) == len(inner) and all(map(_fits, value, inner))
        )
    if origin is Sequence:
        return _is_list(value) and all(_fits(one, inner[0]) for one in value)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(
            _fits(key, inner[0]) and _fits(one, inner[1]) for key, one in value.items()
        )
    if hint is bool:
        return isinstance(value, bool | np.bool_)
    if hint in NUMBERS:
        return isinstance(value, NUMBERS[hint]) and not isinstance(value, bool | np.bool_)
    if hint is BinaryIO:
        return callable(getattr(value, "read", None))
    return isinstance(value, origin or hint)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, str | bytes)


NAMES: dict[Any, str] = {
    Callable: "a function",
    Iterable: "several",
    Iterator: "several",
    Collection: "several",
    Mapping: "a dict",
    BinaryIO: "a binary file",
    np.ndarray: "an array",
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "True or False",
    types.NoneType: "None",
}


def _words(hint: Any) -> Iterator[str]:
    """An annotated kind in words; a class by its name."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        for kind in inner:
            yield from _words(kind)
    elif origin in (tuple, Sequence):
        words = (word for kind in inner if kind is not ... for word in _words(kind))
        of = " or ".join(dict.fromkeys(words))
        if origin is Sequence or inner[1:] == (...,):
            yield f"a list of {of}"
        else:
            yield f"a tuple of {len(inner)} values, each {of}"
    else:
        yield NAMES.get(origin or hint, getattr(hint, "__name__", str(hint)))
