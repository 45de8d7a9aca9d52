"""Every error and other phrase that Vitviz can say, read from its sources."""

from __future__ import annotations

import ast
import string
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import vitviz
from vitviz import errors

SOURCES = Path(vitviz.__file__).parent
MAKERS = {
    name
    for name, made in vars(errors).items()
    if isinstance(made, type) and issubclass(made, errors.Phrase)
}


@dataclass(frozen=True)
class Said:
    """One place in the sources where a phrase is made; a text is None if it is not written out."""

    where: str
    id: str | None
    english: str | None
    given: frozenset[str | None]


@cache
def phrases() -> tuple[Said, ...]:
    """All of them, by file and line."""
    return tuple(
        Said(
            f"{file.relative_to(SOURCES)}:{node.lineno}",
            *((*map(_text, node.args), None, None)[:2]),
            frozenset(keyword.arg for keyword in node.keywords),
        )
        for file in sorted(SOURCES.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in MAKERS
        # What another process said is made again from what it was made of.
        if not any(isinstance(part, ast.Starred) for part in node.args)
    )


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def places(text: str) -> list[tuple[str, str | None, str]]:
    """What stands in braces, in order of the names: each name with its format and conversion."""
    parts = string.Formatter().parse(text)
    return sorted(
        (name, form, conversion or "") for _, name, form, conversion in parts if name is not None
    )
