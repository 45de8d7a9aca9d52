"""`vitviz fetch`: a timm model's weights in a folder, for this machine or another."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vitviz.commands.answer import Answer, in_one_line
from vitviz.commands.model_choice import fetching
from vitviz.zoo.catalogue import offer
from vitviz.zoo.load import save_pretrained
from vitviz.zoo.settings import own_models

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the verb to a parser's commands."""
    command = commands.add_parser("fetch", help="fetch a timm model's weights into a folder")
    command.add_argument("model", metavar="MODEL")
    command.add_argument(
        "--out", type=Path, metavar="DIR", help="default VITVIZ_MODELS, without it models/ here"
    )
    command.set_defaults(command=_fetch)


def _fetch(args: argparse.Namespace) -> Answer:
    """Write a model's folder, for this machine or another."""
    offered = offer(args.model)
    if offered.folder:
        text = in_one_line(f"It is here: {offered.folder}")
        return {"folder": str(offered.folder)}, text, False
    with fetching(args.model) as progress:
        folder = save_pretrained(args.model, args.out or own_models(), progress)
    text = in_one_line(f"{folder}; on another machine, copy this folder to models/.")
    return {"folder": str(folder)}, text, False
