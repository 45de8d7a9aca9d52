"""What a command gives to be printed, whole or until Ctrl-C."""

from __future__ import annotations

from typing import Any

__all__ = ["GOES_ON", "Answer", "Interrupted"]

GOES_ON = "the same command goes on"

Answer = tuple[Any, str, bool]
"""What a command found: as data, as text, and whether something in its input was bad."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with what the command had found until then."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer
