"""The commands about models: `python -m vitviz models|fetch|finetune|coverage`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vitviz.augmentation import AUGMENTATIONS
from vitviz.catalogue import BUNDLED, MODELS_DIR, Offer, offer, offers, search
from vitviz.coverage import cover_family, report
from vitviz.errors import ModelError, VitvizError
from vitviz.families import FAMILIES
from vitviz.finetune import finetune
from vitviz.finetune_settings import FinetuneSettings
from vitviz.progress import Progress
from vitviz.settings import own_models
from vitviz.zoo import Vit, load_model, save_pretrained

__all__ = ["BAR", "Answer", "add_model_argument", "add_model_commands", "chosen_model"]

INTERRUPTED = 130
BAR = "{l_bar}{bar}| {elapsed}<{remaining}"

Answer = tuple[Any, str, bool]
"""What a command found: as data, as text, and whether something in its input was bad."""


def add_model_commands(commands: Any) -> None:
    """Add the commands about models to a parser's commands."""
    _add_finetune(commands)
    models = commands.add_parser("models", help="list models: those here and some worth a look")
    models.add_argument("search", nargs="*", metavar="WORD", help="search all of timm instead")
    models.set_defaults(command=_models)
    fetching = commands.add_parser("fetch", help="fetch a timm model's weights into a folder")
    fetching.add_argument("model", metavar="MODEL")
    fetching.add_argument(
        "--out", type=Path, metavar="DIR", help="default VITVIZ_MODELS, without it models/"
    )
    fetching.set_defaults(command=_fetch)
    _add_coverage(commands)


def add_model_argument(command: argparse.ArgumentParser) -> None:
    """Add the choice of a model to a command."""
    command.add_argument(
        "--model",
        help=f"name in the list, timm name, folder or file of weights (default {BUNDLED})",
    )
    command.add_argument(
        "--architecture", help="of a file of weights: timm name or torchvision/vit_b_16"
    )


def _add_finetune(commands: Any) -> None:
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
    tuning.set_defaults(command=_finetune)


def _trained(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _add_coverage(commands: Any) -> None:
    covering = commands.add_parser("coverage", help="check which of timm's models can be shown")
    covering.add_argument("--families", nargs="+", metavar="TITLE", help="default all")
    covering.add_argument("--out", type=Path, metavar="FILE.md")
    covering.set_defaults(command=_coverage)


def chosen_model(args: argparse.Namespace) -> Vit:
    """The chosen model; weights that are not here are fetched, after their licence was shown."""
    with _fetching(args.model) as progress:
        return load_model(args.model, args.architecture, progress)


@contextmanager
def _fetching(name: str | None) -> Iterator[Progress]:
    """What shows how much of the weights has arrived; first it shows their licence."""
    with suppress(ModelError):  # a path, or a name that whoever loads it will refuse
        if name and not (offered := offer(name)).here:
            licence = offered.licence or "not stated"
            print(f"vitviz: fetching {name}; its licence: {licence}", file=sys.stderr)
    with tqdm(total=1.0, bar_format="{l_bar}{bar}| {elapsed}", file=sys.stderr, delay=0.5) as bar:
        yield lambda share: bar.update(share - bar.n)


def _fetch(args: argparse.Namespace) -> Answer:
    """Write a model's folder, for this machine or another."""
    offered = offer(args.model)
    if offered.folder:
        return {"folder": str(offered.folder)}, f"It is here: {offered.folder}", False
    with _fetching(args.model) as progress:
        folder = save_pretrained(args.model, args.out or own_models() or MODELS_DIR, progress)
    text = f"{folder}; on another machine, copy this folder to models/."
    return {"folder": str(folder)}, text, False


def _models(args: argparse.Namespace) -> Answer:
    found = [offer(name) for name in search(" ".join(args.search))] if args.search else offers()
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
    return rows, "\n".join(map(_offered, found)), False


def _offered(o: Offer) -> str:
    """One line of the list."""
    size = f"{o.parameters / 1e6:.0f} M parameters" if o.parameters else ""
    place = "default" if o.name == BUNDLED else "here" if o.here else ""
    facts = ", ".join(filter(None, (place, size, o.licence or "licence not stated")))
    return f"{o.name}  ({facts})" + (f"\n    {o.note}" if o.note else "")


def _finetune(args: argparse.Namespace) -> Answer:
    """Train; skipped files are named on standard error."""
    args.augment = tuple(args.augment)
    names = [setting.name for setting in fields(FinetuneSettings)]
    settings = FinetuneSettings(**{name: getattr(args, name) for name in names})
    with tqdm(total=1.0, bar_format=BAR, file=sys.stderr) as bar:

        def show(stage: str, share: float) -> None:
            if not bar.desc.startswith(stage):
                bar.reset()
                bar.set_description(stage)
            bar.update(share - bar.n)

        try:
            done = finetune(args.folder, args.out, settings, base=args.base, progress=show)
        except KeyboardInterrupt:
            bar.write("vitviz: interrupted; the same command goes on.", file=sys.stderr)
            raise SystemExit(INTERRUPTED) from None
    for skipped in done.skipped:
        print(f"vitviz: skipped {skipped.file}: {skipped.error}", file=sys.stderr)
    result = asdict(done) | {
        "out": str(done.out),
        "report": str(done.report),
        "held_out": done.held_out,
        "accuracy": done.accuracy,
        "class_accuracy": done.class_accuracy,
    }
    text = f"{done.out}: {done.accuracy:.1%} of {done.held_out} held-out photos → {done.report}"
    return result, text, False


def _coverage(args: argparse.Namespace) -> Answer:
    """Check the representative of each family; all of timm takes several minutes."""
    chosen = [f for f in FAMILIES if args.families is None or f.title in args.families]
    if len(chosen) < len(args.families or ()):
        raise VitvizError(f"Choose families of {', '.join(f.title for f in FAMILIES)}.")
    bar = tqdm(chosen, unit="family", file=sys.stderr)
    covered = [(family, cover_family(family)) for family in bar]
    text = report(covered)
    if args.out is not None:
        args.out.write_text(text, encoding="utf-8")
    rows = [{"family": family.title, **asdict(found)} for family, found in covered]
    return rows, text, False
