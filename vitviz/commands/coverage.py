"""`vitviz coverage`: which of timm's models can be shown."""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vitviz.commands.answer import Answer
from vitviz.coverage.check import cover_family
from vitviz.coverage.families import FAMILIES
from vitviz.coverage.table import report
from vitviz.errors import VitvizError
from vitviz.files import whole_file

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the verb to a parser's commands."""
    covering = commands.add_parser("coverage", help="check which of timm's models can be shown")
    covering.add_argument("--families", nargs="+", metavar="TITLE", help="default all")
    covering.add_argument("--out", type=Path, metavar="FILE.md")
    covering.set_defaults(command=_coverage)


def _coverage(args: argparse.Namespace) -> Answer:
    """Check the representative of each family; all of timm takes several minutes."""
    titles = [family.title for family in FAMILIES]
    for name in args.families or ():
        if name not in titles:
            raise VitvizError(
                "unknown_family",
                "There is no family “{name}”; choose from: {families}.",
                name=name,
                families="; ".join(titles),
            )
    chosen = [f for f in FAMILIES if args.families is None or f.title in args.families]
    out = nullcontext() if args.out is None else whole_file(args.out)
    with out as file:  # opened before the minutes that it takes
        bar = tqdm(chosen, unit="family", file=sys.stderr)
        covered = [(family, cover_family(family)) for family in bar]
        text = report(covered)
        if file is not None:
            file.write(text.encode())
    rows = [{"family": family.title, **asdict(found)} for family, found in covered]
    return rows, text, False
