"""What a method is, and the options it may have: enough for any surface to offer them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, ClassVar

from torch import Tensor

from vitviz.errors import MethodError
from vitviz.recording.recording import Recording

__all__ = [
    "CLASSIFIERS",
    "ChoiceOption",
    "Estimate",
    "HeadOption",
    "LayerOption",
    "Method",
    "NumberOption",
    "Option",
    "WholeOption",
]

CLASSIFIERS = "Models with a classifier."


@dataclass(frozen=True, eq=False)
class Estimate:
    """What a method that draws samples finds.

    Attributes:
        values: of all tokens, (tokens,).
        errors: their standard errors, (tokens,).
    """

    values: Tensor
    errors: Tensor


@dataclass(frozen=True)
class NumberOption:
    """A number from `low` to `high`."""

    title: str
    default: float
    low: float
    high: float
    kind: ClassVar[str] = "number"

    @property
    def range(self) -> tuple[float, float]:
        """What it may be: smallest and largest."""
        return self.low, self.high

    def check(self, rec: Recording, value: Any) -> float:
        del rec
        if (
            isinstance(value, Real)  # NumPy's scalars too
            and not isinstance(value, bool)
            and self.low <= float(value) <= self.high
        ):
            return float(value)
        raise MethodError(
            "number_out_of_range",
            "{option} must be from {low} to {high}, not {value!r}.",
            option=self.title,
            low=self.low,
            high=self.high,
            value=value,
        )


@dataclass(frozen=True)
class WholeOption:
    """A whole number from `low` to `high`."""

    title: str
    default: int
    low: int
    high: int
    kind: ClassVar[str] = "whole number"

    @property
    def range(self) -> tuple[int, int]:
        """What it may be: smallest and largest."""
        return self.low, self.high

    def check(self, rec: Recording, value: Any) -> int:
        del rec
        if _is_whole(value) and self.low <= value <= self.high:
            return int(value)
        raise MethodError(
            "whole_number_out_of_range",
            "{option} must be a whole number from {low} to {high}, not {value!r}.",
            option=self.title,
            low=self.low,
            high=self.high,
            value=value,
        )


@dataclass(frozen=True)
class ChoiceOption:
    """One of a few words."""

    title: str
    default: str
    choices: tuple[str, ...]
    kind: ClassVar[str] = "choice"

    @property
    def range(self) -> tuple[str, ...]:
        """What it may be."""
        return self.choices

    def check(self, rec: Recording, value: Any) -> str:
        del rec
        if isinstance(value, str) and value in self.choices:
            return value
        raise MethodError(
            "no_such_choice",
            "{option} must be {choices}, not {value!r}.",
            option=self.title,
            choices=", ".join(self.choices),
            value=value,
        )


@dataclass(frozen=True)
class LayerOption:
    """A layer from 0 to the last, or -1 for the last."""

    title: str
    default: int
    kind: ClassVar[str] = "layer"
    range: ClassVar[None] = None
    """The model says how many layers there are."""

    def check(self, rec: Recording, value: Any) -> int:
        if _is_whole(value) and -rec.num_layers <= value < rec.num_layers:
            return int(value) % rec.num_layers
        raise MethodError(
            "layer_out_of_range",
            "{option} must be from 0 to {last}, not {value!r}.",
            option=self.title,
            last=rec.num_layers - 1,
            value=value,
        )


@dataclass(frozen=True)
class HeadOption:
    """A head from 0 to the last, or None for the mean of all heads."""

    title: str
    default: None = None
    kind: ClassVar[str] = "head"
    range: ClassVar[None] = None
    """The model says how many heads there are."""

    def check(self, rec: Recording, value: Any) -> int | None:
        heads = max(rec.num_heads(layer) for layer in range(rec.num_layers))
        if value is None:
            return None
        if _is_whole(value) and 0 <= value < heads:
            return int(value)
        raise MethodError(
            "head_option_out_of_range",
            "{option} must be from 0 to {last} or None, not {value!r}.",
            option=self.title,
            last=heads - 1,
            value=value,
        )


def _is_whole(value: Any) -> bool:
    """Whether it is a whole number, NumPy's too."""
    return isinstance(value, Integral) and not isinstance(value, bool)


Option = NumberOption | WholeOption | ChoiceOption | LayerOption | HeadOption


@dataclass(frozen=True)
class Method:
    """An explanation method.

    Attributes:
        id: its name in `METHODS`, in links and on the command line.
        number: its place among the methods.
        title: its name on screen.
        question: the one question it answers.
        function: (recording, **arguments) → values of all tokens, (tokens,), or an `Estimate` of
            them. The arguments are `query` if it has one, `score` if it is class-specific,
            `progress` if it is slow, and its options.
        reference: the paper.
        options: its options by name.
        needs_gradient: whether it differentiates the model.
        class_specific: whether the map depends on a class.
        contrastive: whether it can explain one class against another.
        has_query: whether a patch can be the one that looks; otherwise only "cls" is taken.
        slow: whether it runs the model many times, and so reports its progress.
        applies_to: the models it can be used on.
        plain_only: whether it needs one map over all tokens in each layer.
        needs_pool: whether it is about an attention-pooling head.
        raw_attention: whether it shows the recorded attention itself, one map a layer and head: all
            of them are at hand, and so are the rows of all patches.
        baseline: whether it knows nothing of the photo: what others are measured against.
        quick: options with which it takes the least time, where that differs.
        of_many: (recordings, scores, **options) → None: computes in one pass what the function asks
            of each, and keeps it with the recordings.
    """

    id: str
    number: int
    title: str
    question: str
    function: Callable[..., Tensor | Estimate]
    reference: str
    options: Mapping[str, Option] = field(default_factory=dict)
    needs_gradient: bool = False
    class_specific: bool = False
    contrastive: bool = False
    has_query: bool = True
    slow: bool = False
    applies_to: str = "Every model that can be recorded."
    plain_only: bool = True
    needs_pool: bool = False
    raw_attention: bool = False
    baseline: bool = False
    quick: Mapping[str, Any] = field(default_factory=dict)
    of_many: Callable[..., None] | None = None

    def suits(self, rec: Recording) -> bool:
        """Whether the model's attention is of the kind that the method is about."""
        return (rec.is_plain or not self.plain_only) and (
            rec.pool is not None or not self.needs_pool
        )

    @property
    def defaults(self) -> dict[str, Any]:
        """Every option with its default value; the layer -1 is the last, the head None all."""
        return {name: option.default for name, option in self.options.items()}

    def check_names(self, names: Iterable[str]) -> None:
        """MethodError if the method has no option of one of these names."""
        if unknown := set(names) - self.options.keys():
            has = ", ".join(self.options) or "none"
            raise MethodError(
                "no_such_option",
                "{method} has no option {option}; its options: {options}.",
                method=self.title,
                option=min(unknown),
                options=has,
            )

    def check(self, rec: Recording, values: Mapping[str, Any]) -> dict[str, Any]:
        """Every option with its given or default value; MethodError if one does not fit."""
        self.check_names(values)
        return {
            name: option.check(rec, values.get(name, option.default))
            for name, option in self.options.items()
        }
