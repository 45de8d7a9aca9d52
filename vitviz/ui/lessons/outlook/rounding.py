"""How far two ways to the same numbers end apart."""

from __future__ import annotations

from torch import Tensor

SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def largest_difference(one: Tensor, other: Tensor) -> str:
    """Of tensors of one shape: one digit with its power of ten, such as 8·10⁻⁷."""
    apart = (one - other).abs().max()
    digit, power = f"{apart:.0e}".split("e")
    return f"{digit}·10{str(int(power)).translate(SUPERSCRIPT)}" if apart else "0"
