"""The choice of a model, and its weights on their way."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tqdm import tqdm

from vitviz.commands.answer import to_stderr
from vitviz.errors import ModelError
from vitviz.progress import Progress
from vitviz.zoo.catalogue import BUNDLED, offer
from vitviz.zoo.load import Vit, load_model

__all__ = ["add_model_argument", "chosen_model", "fetching"]


def add_model_argument(command: argparse.ArgumentParser) -> None:
    """Add the choice of a model to a command."""
    command.add_argument(
        "--model",
        help=f"name in the list, timm name, folder or file of weights (default {BUNDLED})",
    )
    command.add_argument(
        "--architecture", help="of a file of weights: timm name or torchvision/vit_b_16"
    )
    command.add_argument(
        "--device",
        default="cpu",
        help="where it runs: cpu, cuda, mps … or auto, the best of this machine (default cpu)",
    )
    command.add_argument("--dtype", help="what it runs in: float32, bfloat16 or float16")


def chosen_model(args: argparse.Namespace) -> Vit:
    """The chosen model; weights that are not here are fetched, after their licence was shown."""
    with fetching(args.model) as progress:
        return load_model(args.model, args.architecture, progress, args.device, args.dtype)


@contextmanager
def fetching(name: str | None) -> Iterator[Progress]:
    """What shows how much of the weights has arrived; first it shows their licence."""
    with suppress(ModelError):  # a path, or a name that whoever loads it will refuse
        if name and not (offered := offer(name)).here:
            licence = offered.licence or "not stated"
            to_stderr(f"fetching {name}; its licence: {licence}")
    with tqdm(total=1.0, bar_format="{l_bar}{bar}| {elapsed}", file=sys.stderr, delay=0.5) as bar:
        yield lambda share: bar.update(share - bar.n)
