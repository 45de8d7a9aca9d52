"""How faithful each method's maps are, beside random maps.

    python -m benchmarks.faithfulness

On the built-in photos and the bundled model, each map explaining the model's top class with the
method's default options. A small deletion area, a large insertion area, a large SaCo, a low
positive and a high negative perturbation accuracy are good. Means over the photos, which are too
few to rank methods that are close. Takes some minutes a photo on two cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

import vitviz
from vitviz.faithfulness import deletion, insertion, perturbation, saco, versus_random
from vitviz.images import Sample
from vitviz.recording import Recording

HEADINGS = ("method", "deletion", "insertion", "SaCo", "positive", "negative")


def measures(rec: Recording) -> Callable[[vitviz.Heatmap], list[float]]:
    """What a map of this recording scores, in the order of the headings."""

    def measure(heat: vitviz.Heatmap) -> list[float]:
        return [
            deletion(rec, heat).area,
            insertion(rec, heat).area,
            saco(rec, heat),
            float(perturbation(rec, heat, positive=True).mean()),
            float(perturbation(rec, heat, positive=False).mean()),
        ]

    return measure


def scores(vit: vitviz.Vit, sample: Sample) -> dict[str, NDArray[np.float64]]:
    """Of every method on one photo; random ones are the mean over seeds."""
    rec = vitviz.record(vit, vitviz.load_image(sample.path))
    measure = measures(rec)
    methods = [method for method in vitviz.METHODS if method != "random"]
    found = {method: np.array(measure(vitviz.explain(rec, method))) for method in methods}
    return {**found, "random": versus_random(rec, measure)[0]}


def table(ids: list[str]) -> str:
    """One row a method."""
    vit = vitviz.load_model()
    photos = [scores(vit, sample) for sample in vitviz.samples() if sample.id in ids]
    rows = ["| " + " | ".join(HEADINGS) + " |", "|---" * len(HEADINGS) + "|"]
    for method in photos[0]:
        mean = np.mean([photo[method] for photo in photos], axis=0)
        rows.append(f"| {method} | " + " | ".join(f"{score:.3f}" for score in mean) + " |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ids = [sample.id for sample in vitviz.samples()]
    parser.add_argument("--samples", nargs="+", choices=ids, default=ids, metavar="ID")
    print(table(parser.parse_args().samples))


if __name__ == "__main__":
    main()
