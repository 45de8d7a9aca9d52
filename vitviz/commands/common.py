"""What several commands share: the choice of a model and progress bars."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from tqdm import tqdm

from vitviz.errors import ModelError, VitvizError, not_written
from vitviz.progress import Progress
from vitviz.zoo.catalogue import BUNDLED, offer
from vitviz.zoo.load import Vit, load_model

__all__ = [
    "BAR",
    "GOES_ON",
    "Answer",
    "Interrupted",
    "add_model_argument",
    "chosen_model",
    "locked",
    "make_folder",
]
GOES_ON = "the same command goes on"
BAR = "{l_bar}{bar}| {elapsed}<{remaining}"

Answer = tuple[Any, str, bool]
"""What a command found: as data, as text, and whether something in its input was bad."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with what the command had found until then."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


def make_folder(folder: Path) -> None:
    """Make a folder and those that it lies in, if they are not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VitvizError(
            "folder_not_made",
            "The folder {folder} cannot be made: {reason}.",
            folder=folder,
            reason=error.strerror,
        ) from error


@contextmanager
def locked(file: Path, out: Path) -> Iterator[None]:
    """Only this process writes to `out` meanwhile. The file that says so stays: to remove it would
    let two others in.

    Raises:
        VitvizError: if another process writes there, or the file cannot be made.
    """
    try:
        lock = FileLock(file).acquire(timeout=0)
    except Timeout as error:
        raise VitvizError(
            "out_in_use",
            "Another run writes to {out} just now; wait for its end, or name another place.",
            out=out,
        ) from error
    except OSError as error:
        raise not_written(out, error) from error
    with lock:
        yield


def add_model_argument(command: argparse.ArgumentParser) -> None:
    """Add the choice of a model to a command."""
    command.add_argument(
        "--model",
        help=f"name in the list, timm name, folder or file of weights (default {BUNDLED})",
    )
    command.add_argument(
        "--architecture", help="of a file of weights: timm name or torchvision/vit_b_16"
    )


def chosen_model(args: argparse.Namespace) -> Vit:
    """The chosen model; weights that are not here are fetched, after their licence was shown."""
    with fetching(args.model) as progress:
        return load_model(args.model, args.architecture, progress)


@contextmanager
def fetching(name: str | None) -> Iterator[Progress]:
    """What shows how much of the weights has arrived; first it shows their licence."""
    with suppress(ModelError):  # a path, or a name that whoever loads it will refuse
        if name and not (offered := offer(name)).here:
            licence = offered.licence or "not stated"
            print(f"vitviz: fetching {name}; its licence: {licence}", file=sys.stderr)
    with tqdm(total=1.0, bar_format="{l_bar}{bar}| {elapsed}", file=sys.stderr, delay=0.5) as bar:
        yield lambda share: bar.update(share - bar.n)
