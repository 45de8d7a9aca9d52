"""What a command gives to be printed, whole or until Ctrl-C."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["GOES_ON", "Answer", "Interrupted", "in_one_line", "to_stderr"]

GOES_ON = "the same command goes on"

Answer = tuple[Any, str, bool]
"""What a command found: as data, as text, and whether something in its input was bad."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with what the command had found until then."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


def in_one_line(text: object) -> str:
    """Text for one line of output; the name of a file or a class may have a line break."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in str(text))


def to_stderr(text: object) -> None:
    """One line on standard error."""
    print(f"vitviz: {in_one_line(text)}", file=sys.stderr)
