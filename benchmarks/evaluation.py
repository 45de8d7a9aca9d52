"""What an evaluation costs: forward passes of a photo, counted, and several processes, timed.

    python -m benchmarks.evaluation                    # all of it
    python -m benchmarks.evaluation --part passes

“Alone” is each map's every measure on a recording from which nothing was derived, as if nothing
were shared; “together” is `evaluate`. Passes are counted by a hook, on a small model of random
weights with 196 patches: they do not depend on the weights. Seconds are the bundled model's.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import timm
import torch

import vitviz
from benchmarks.machine import processor
from vitviz.measures.metrics import metrics_of
from vitviz.methods.explain import BASELINE

OF_PLAIN = [method for method in vitviz.METHODS if method != "pooling"]  # which needs its head
PLAIN = ("deletion", "insertion", "positive", "negative", "saco")
CHOICES: dict[str, tuple[Sequence[str], Sequence[str], int, int]] = {
    "one method, deletion": (["attention"], ["deletion"], 32, 5),
    "the same, 16 steps, 2 random maps": (["attention"], ["deletion"], 16, 2),
    "the same, 8 steps, 2 random maps": (["attention"], ["deletion"], 8, 2),
    "one method, deletion and insertion": (["attention"], ["deletion", "insertion"], 32, 5),
    "all methods, all five measures": (OF_PLAIN, PLAIN, 32, 5),
    "the same, 8 steps, 2 random maps ": (OF_PLAIN, PLAIN, 8, 2),
}


@contextmanager
def passes(vit: vitviz.Vit) -> Iterator[list[int]]:
    """How many photos the model is given, a batch a number."""
    sizes: list[int] = []
    hook = vit.module.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    yield sizes
    hook.remove()


def alone(
    vit: vitviz.Vit, photo: Path, methods: Sequence[str], metrics: Sequence[str], *numbers: int
) -> None:
    """Every measure of every map by itself."""
    steps, seeds = numbers
    rec = vitviz.record(vit, photo)
    maps = [vitviz.explain(rec, method) for method in methods if method != BASELINE]
    maps += [vitviz.explain(rec, BASELINE, seed=seed) for seed in range(seeds)]
    measures = metrics_of(steps)
    for heat in maps:
        for metric in metrics:
            measures[metric].measure(dataclasses.replace(rec), heat, None, None)


def together(
    vit: vitviz.Vit, photo: Path, methods: Sequence[str], metrics: Sequence[str], *numbers: int
) -> None:
    """The same by `evaluate`."""
    steps, seeds = numbers
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(photo, folder)
        vitviz.evaluate(vit, folder, methods=methods, metrics=metrics, steps=steps, seeds=seeds)


def passes_table() -> str:
    """A row a choice: passes of one photo, and processor seconds of those of one measure."""
    module = timm.create_model("vit_tiny_patch16_224", depth=4, num_classes=5)
    small, bundled = vitviz.from_module(module), vitviz.load_model()
    photo = vitviz.samples()[0].path
    rows = ["| measured | passes alone | together | seconds alone | together |", "|---" * 5 + "|"]
    for title, choice in CHOICES.items():
        cells = []
        for run in (alone, together):
            with passes(small) as sizes:
                run(small, photo, *choice)
            cells.append(str(sum(sizes)))
        for run in (alone, together):
            started = time.process_time()
            if len(choice[0]) == len(choice[1]) == 1:
                run(bundled, photo, *choice)
                cells.append(f"{time.process_time() - started:.1f}")
            else:
                cells.append("")
        rows.append(f"| {title.strip()} | {' | '.join(cells)} |")
    return "\n".join(rows)


def seconds(vit: vitviz.Vit, folder: Path, photos: int, workers: int) -> float:
    """How long the first photos of a folder take; 0 workers are this process."""
    started = time.perf_counter()
    vitviz.evaluate(
        vit,
        folder,
        methods=["attention"],
        metrics=["deletion"],
        steps=8,
        seeds=2,
        limit=photos,
        engine="ray" if workers else "process",
        workers=workers or None,
    )
    return time.perf_counter() - started


def cluster_table() -> str:
    """A row a number of processes, each with one thread: ten photos, of which two and the start are
    timed by themselves and taken off."""
    torch.set_num_threads(1)
    vit = vitviz.load_model()
    rows = ["| processes | start and 2 photos, s | 8 more, s | times as fast |", "|---" * 4 + "|"]
    with tempfile.TemporaryDirectory() as folder:
        for copy in range(2):
            for sample in vitviz.samples():
                shutil.copy(sample.path, Path(folder, f"{copy}-{sample.path.name}"))
        alone = 0.0
        for name, workers in {"this one": 0, "ray, 1 worker": 1, "ray, 2 workers": 2}.items():
            start = seconds(vit, Path(folder), 2, workers)
            more = seconds(vit, Path(folder), 10, workers) - start
            alone = alone or more
            rows.append(f"| {name} | {start:.1f} | {more:.1f} | {alone / more:.2f} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("passes", "cluster"), help="only this")
    part = parser.parse_args().part
    print(processor(), end="\n\n")
    if part != "cluster":
        print(passes_table(), end="\n\n")
    if part != "passes":
        print(cluster_table())


if __name__ == "__main__":
    main()
