"""`vitviz finetune`: a model for one's own classes."""

from __future__ import annotations

import argparse
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from vitviz.commands.answer import GOES_ON, Answer, in_one_line, to_stderr
from vitviz.commands.bar import share_bar
from vitviz.commands.lock import locked
from vitviz.files import make_folder
from vitviz.finetuning.finetune import finetune
from vitviz.finetuning.settings import FinetuneSettings
from vitviz.training.augmentation import AUGMENTATIONS
from vitviz.zoo.catalogue import BUNDLED

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the verb to a parser's commands."""
    usual = FinetuneSettings()
    tuning = commands.add_parser(
        "finetune",
        help="train a model on your own classes",
        description="Train a model on a folder of photos that has one sub-folder a class, and "
        "write it with a report. The same command goes on where an interrupted one stopped.",
    )
    tuning.add_argument("folder", type=Path, metavar="FOLDER", help="one sub-folder a class")
    tuning.add_argument("--base", metavar="MODEL", help=f"to begin with (default {BUNDLED})")
    tuning.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    for name, kind, metavar, text in (
        ("train", _trained, "head|K|all", "the head, also the last K blocks, or all"),
        ("size", int, "PX", "input of the model; a smaller one is faster"),
        ("epochs", int, "N", "how often each photo is seen, at most"),
        ("batch", int, "N", "photos a step"),
        ("rate", float, "R", "highest learning rate"),
        ("layer_decay", float, "D", "rate of a block, as a share of the next one's"),
        ("entropy", float, "L", "weight of the attention entropy in the loss"),
        ("hold_out", float, "SHARE", "of each class, not trained on but measured"),
        ("patience", int, "N", "epochs without progress before the end"),
        ("seed", int, "N", "of the split, the order and the views"),
    ):
        default = getattr(usual, name)
        shown = "by what is trained" if name == "rate" else "the model's own"
        tuning.add_argument(
            f"--{name.replace('_', '-')}",
            type=kind,
            default=default,
            metavar=metavar,
            help=f"{text} (default {shown if default is None else default})",
        )
    tuning.add_argument(
        "--augment",
        nargs="+",
        default=[],
        metavar="KIND",
        help=f"random views of the photos: any of {', '.join(AUGMENTATIONS)} (default none)",
    )
    tuning.set_defaults(command=_finetune, interrupted=GOES_ON)


def _trained(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _finetune(args: argparse.Namespace) -> Answer:
    """Train; skipped files are named on standard error."""
    args.augment = tuple(args.augment)
    names = [setting.name for setting in fields(FinetuneSettings)]
    settings = FinetuneSettings(**{name: getattr(args, name) for name in names})
    make_folder(args.out.parent)
    lock = args.out.parent / f".{args.out.name}.lock"
    with locked(lock, args.out), share_bar() as bar:

        def show(stage: str, share: float) -> None:
            if not bar.desc.startswith(stage):
                bar.reset()
                bar.set_description(stage)
            bar.update(share - bar.n)

        done = finetune(args.folder, args.out, settings, base=args.base, progress=show)
    for skipped in done.skipped:
        to_stderr(f"skipped {skipped.file}: {skipped.error}")
    result = asdict(done) | {
        "out": str(done.out),
        "report": str(done.report),
        "held_out": done.held_out,
        "accuracy": done.accuracy,
        "class_accuracy": done.class_accuracy,
    }
    text = f"{done.out}: {done.accuracy:.1%} of {done.held_out} held-out photos → {done.report}"
    return result, in_one_line(text), False
