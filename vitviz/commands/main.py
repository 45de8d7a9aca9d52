"""The command line: `vitviz VERB …`, the same as `python -m vitviz VERB …`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from vitviz.commands import coverage, evaluate, explain, fetch, finetune, methods, models
from vitviz.errors import VitvizError

__all__ = ["main"]

BAD_INPUT = 2
VERBS = (explain, evaluate, finetune, models, fetch, methods, coverage)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, or 2 for bad input."""
    args = _parser().parse_args(arguments)
    try:
        result, text, failed = args.command(args)
    except VitvizError as error:
        print(f"vitviz: {error}", file=sys.stderr)
        return BAD_INPUT
    print(json.dumps(result, indent=2, ensure_ascii=False) if args.json else text)
    return BAD_INPUT if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vitviz", description="See what a ViT looks at.")
    commands = parser.add_subparsers(required=True, metavar="VERB")
    for verb in VERBS:
        verb.add(commands)
    for command in commands.choices.values():
        command.add_argument("--json", action="store_true", help="JSON on standard output")
    return parser
