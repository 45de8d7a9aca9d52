"""What each explanation costs, beside a plain forward pass.

    python -m benchmarks.methods

On the bundled model at 224 px. “First” is the first map of a class on a new recording, with its
forward and backward pass; “after another” is a map of a class whose gradients another method has
already asked for. Times are medians of interleaved runs, in milliseconds and as a ratio to the
plain forward of the same run.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

import vitviz
from benchmarks.recording import interleaved
from vitviz.recording.recording import Recording


def first(rec: Recording, method: str) -> vitviz.Heatmap:
    """A map of a recording from which nothing was derived yet."""
    return vitviz.explain(dataclasses.replace(rec), method)


def table(rounds: int) -> str:
    """One row a method."""
    vit = vitviz.load_model()
    rec = vitviz.record(vit, vitviz.load_image(vitviz.samples()[0].path))

    @torch.no_grad()
    def plain() -> Tensor:
        logits: Tensor = vit.module(rec.pixels[None])
        return logits

    methods = [id for id, method in vitviz.METHODS.items() if not method.needs_pool]
    tasks: dict[str, Callable[[], object]] = {"plain": plain}
    for method in methods:
        tasks[f"{method} first"] = partial(first, rec, method)
        tasks[f"{method} again"] = partial(vitviz.explain, rec, method)
    seconds = interleaved(tasks, rounds)
    forward = seconds["plain"]

    def cell(task: str) -> str:
        return f"{seconds[task] * 1000:.0f} ms ({seconds[task] / forward:.2f} ×)"

    rows = ["| method | first | after another |", "|---|---|---|"]
    rows += [f"| plain forward | {forward * 1000:.0f} ms | |"]
    rows += [f"| {m} | {cell(f'{m} first')} | {cell(f'{m} again')} |" for m in methods]
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    print(table(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
