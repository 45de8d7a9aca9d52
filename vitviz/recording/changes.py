"""What is done otherwise in one forward pass that is watched; the model itself stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from vitviz.recording.layout import Call

__all__ = ["CallChange", "Change", "OutputChange", "Scaling", "without_result"]


@dataclass(frozen=True, eq=False)
class CallChange:
    """Another attention call, or another result of it.

    Attributes:
        module: name of the module that attends; None for every one.
        change: the call and its result, (batch, heads, queries, dim) → those that take their place.
            The call is what is recorded, and the result is what the model goes on with.
    """

    module: str | None
    change: Callable[[Call, Tensor], tuple[Call, Tensor]]


@dataclass(frozen=True, eq=False)
class OutputChange:
    """Another output of a submodule.

    Attributes:
        module: its name.
        change: the tensor that it gives, the first of several → the one that takes its place.
    """

    module: str
    change: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Scaling:
    """What a submodule gives, so many times.

    Attributes:
        module: its name.
        factor: any finite number.
    """

    module: str
    factor: float

    def change(self, output: Tensor) -> Tensor:
        """As `OutputChange.change`."""
        return output * self.factor


Change = CallChange | OutputChange | Scaling


def without_result(module: str | None = None) -> CallChange:
    """Attention whose result is 0, of one module or of every one; its calls stay what they are."""
    return CallChange(module, lambda call, result: (call, result * 0))
