"""The options of all methods on the command line, as `METHODS` declares them."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from vitviz.methods.explain import METHODS
from vitviz.methods.method import Method, Option

__all__ = ["add_options", "chosen_options"]

READ = {"number": float, "whole number": int, "layer": int, "head": int, "choice": str}
METAVARS = {"number": "X", "whole number": "N", "layer": "N", "head": "N", "choice": "WORD"}
DEFAULTS: dict[tuple[str, Any], str] = {
    ("layer", -1): "the last",
    ("head", None): "the mean of all",
}


def add_options(command: argparse.ArgumentParser) -> None:
    """Add an argument for every option that a method has, and say which methods have it."""
    group = command.add_argument_group("options of the methods")
    for name, options in _options().items():
        option = next(iter(options.values()))
        of_each = defaultdict(list)
        for method, own in options.items():
            of_each[_help(own)].append(method)
        texts = [f"{text} ({', '.join(methods)})" for text, methods in of_each.items()]
        group.add_argument(
            f"--{name.replace('_', '-')}",
            metavar=METAVARS[option.kind],
            help="; ".join(texts).replace("%", "%%"),
        )


def chosen_options(
    methods: Sequence[Method], args: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """The options that were given, for each method by its id those that it has.

    Raises:
        MethodError: if no method has one of them.
    """
    given = {name: text for name in _options() if (text := getattr(args, name)) is not None}
    known = {name for method in methods for name in method.options}
    methods[0].check_names(given.keys() - known)
    return {
        method.id: {
            name: _value(option, given[name])
            for name, option in method.options.items()
            if name in given
        }
        for method in methods
    }


def _options() -> Mapping[str, Mapping[str, Option]]:
    """By their names, each by the methods that have it."""
    found: dict[str, dict[str, Option]] = defaultdict(dict)
    for method in METHODS.values():
        for name, option in method.options.items():
            found[name][method.id] = option
    return found


def _help(option: Option) -> str:
    """Title, what it may be, and what it is if not given."""
    words = option.title.lower()
    if option.kind == "choice":
        words += f": {', '.join(map(str, option.range or ()))}"
    elif option.range:
        words += " from {} to {}".format(*option.range)
    default = DEFAULTS.get((option.kind, option.default), str(option.default))
    return f"{words}, default {default}"


def _value(option: Option, text: str) -> Any:
    """The text as what the option takes; as it is, for the option to refuse, if it is no number."""
    with suppress(ValueError):
        return READ[option.kind](text)
    return text
