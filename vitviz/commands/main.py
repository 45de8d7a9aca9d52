"""The command line: `vitviz VERB …`, the same as `python -m vitviz VERB …`."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence

from vitviz.commands import app, coverage, evaluate, explain, fetch, finetune, methods, models
from vitviz.commands.answer import Answer, Interrupted, to_stderr
from vitviz.errors import VitvizError

__all__ = ["main"]

BAD_INPUT = 2
INTERRUPTED = 130
VERBS = (app, explain, evaluate, finetune, models, fetch, methods, coverage)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 for bad input, or 130 after Ctrl-C."""
    _print_any_character()
    args = _parser().parse_args(arguments)
    try:
        return _run(args)
    except KeyboardInterrupt:
        to_stderr(f"interrupted; {args.interrupted}.")
        return INTERRUPTED
    except VitvizError as error:
        to_stderr(error)
    except OSError as error:  # a full disk, a lost folder
        place = f"{error.filename}: " if error.filename else ""
        to_stderr(f"{place}{error.strerror or error}.")
    return BAD_INPUT


def _run(args: argparse.Namespace) -> int:
    try:
        answer = args.command(args)
    except Interrupted as interrupted:
        _print(interrupted.answer, args.json)
        raise
    _print(answer, args.json)
    return BAD_INPUT if answer[2] else 0


def _print(answer: Answer, as_json: bool) -> None:
    """The result on standard output; JSON has an escape of its own for what its encoding lacks."""
    data, text, _ = answer
    any_letter = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    text = json.dumps(data, indent=2, ensure_ascii=not any_letter) if as_json else text
    try:
        print(text, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still to print
        if not isinstance(error, BrokenPipeError):  # whoever read it has gone, such as head
            raise


def _print_any_character() -> None:
    """What an output's encoding lacks, or a file's name has of no encoding, is escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vitviz", description="See what a ViT looks at.")
    commands = parser.add_subparsers(required=True, metavar="VERB")
    for verb in VERBS:
        verb.add(commands)
    for command in commands.choices.values():
        command.add_argument("--json", action="store_true", help="JSON on standard output")
        if command.get_default("interrupted") is None:
            command.set_defaults(interrupted="nothing is written")
    return parser
