"""`vitviz models`: those here, some worth a look, or a search in all of timm."""

from __future__ import annotations

import argparse
from typing import Any

from vitviz.commands.answer import Answer, in_one_line, to_stderr
from vitviz.zoo.catalogue import BUNDLED, Offer, broken_models, offer, offers, search

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the verb to a parser's commands."""
    models = commands.add_parser("models", help="list models: those here and some worth a look")
    models.add_argument("search", nargs="*", metavar="WORD", help="search all of timm instead")
    models.set_defaults(command=_models)


def _models(args: argparse.Namespace) -> Answer:
    found = [offer(name) for name in search(" ".join(args.search))] if args.search else offers()
    for name, reason in broken_models().items():
        to_stderr(f"skipped {name}: {reason}")
    rows = [
        {
            "name": o.name,
            "default": o.name == BUNDLED,
            "here": o.here,
            "parameters": o.parameters,
            "licence": o.licence,
            "attention": o.note,
        }
        for o in found
    ]
    nothing = f"No pretrained model of timm has “{' '.join(args.search)}” in its name."
    return rows, "\n".join(map(_offered, found)) or nothing, False


def _offered(o: Offer) -> str:
    """One line of the list."""
    size = f"{o.parameters / 1e6:.0f} M parameters" if o.parameters else ""
    place = "default" if o.name == BUNDLED else "here" if o.here else ""
    facts = ", ".join(filter(None, (place, size, o.licence or "licence not stated")))
    lines = [f"{o.name}  ({facts})", *([o.note] if o.note else [])]
    return "\n    ".join(map(in_one_line, lines))
