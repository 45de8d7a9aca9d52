"""Codes of classes: to be dictated, and not to be guessed."""

from __future__ import annotations

import secrets
import unicodedata

__all__ = ["ALPHABET", "new_code", "read_code"]

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # no 0, O, 1, I
LENGTH = 8  # 10¹² codes: a million guesses a second, at a thousand classes, hit one in 20 minutes


def new_code() -> str:
    """A code that nobody can foresee, such as "K7PM-3XQA"."""
    letters = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
    return f"{letters[: LENGTH // 2]}-{letters[LENGTH // 2 :]}"


def read_code(text: str) -> str | None:
    """The code that somebody typed, in any case and with or without its hyphen; None if it is none.

    Example:
        >>> read_code(" k7pm3xqa ")
        'K7PM-3XQA'
    """
    plain = unicodedata.normalize("NFKC", text).upper()  # a Chinese keyboard's letters are wide
    letters = [letter for letter in plain if not letter.isspace() and letter not in "-–—"]
    if len(letters) != LENGTH or not set(letters) <= set(ALPHABET):
        return None
    return "".join(letters[: LENGTH // 2]) + "-" + "".join(letters[LENGTH // 2 :])
