"""`vitviz methods`: what can be asked."""

from __future__ import annotations

import argparse
from typing import Any

from vitviz.commands.answer import Answer
from vitviz.methods.explain import METHODS
from vitviz.methods.method import Option

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the verb to a parser's commands."""
    methods = commands.add_parser("methods", help="list the explanation methods")
    methods.set_defaults(command=_methods)


def _methods(_: argparse.Namespace) -> Answer:
    rows = [
        {
            "id": method.id,
            "title": method.title,
            "question": method.question,
            "applies_to": method.applies_to,
            "class_specific": method.class_specific,
            "contrastive": method.contrastive,
            "has_query": method.has_query,
            "needs_gradient": method.needs_gradient,
            "slow": method.slow,
            "options": {name: _described(option) for name, option in method.options.items()},
            "reference": method.reference,
        }
        for method in METHODS.values()
    ]
    return rows, "\n".join(f"{r['id']:<17} {r['title']}: {r['question']}" for r in rows), False


def _described(option: Option) -> dict[str, Any]:
    """An option's title, kind and default, and what it may be: both ends or all choices, or null
    where the model says."""
    return {
        "title": option.title,
        "kind": option.kind,
        "default": option.default,
        "range": option.range,
    }
