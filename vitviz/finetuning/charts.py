"""The charts of a fine-tuning report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vitviz.pictures.letters import families
from vitviz.training.run import Epoch
from vitviz.training.training import Moment

__all__ = ["confusion_chart", "curve_charts"]

TRAINING, HELD_OUT, FAINT = "#0f766e", "#c2410c", "#99cdc8"
SIZE = (4.2, 2.7)  # inches
NUMBERED, NAMED = 20, 40  # classes of a matrix whose cells show numbers, and whose rows have names
NAME = 24  # characters of a class's name


def curve_charts(
    moments: Sequence[Moment], epochs: Sequence[Epoch], best: int
) -> dict[str, Figure]:
    """Loss, accuracy, learning rate and, if it was in the loss, attention entropy, by title.

    Args:
        moments: one a step.
        epochs: one a pass; all have as many steps.
        best: the epoch whose weights were kept, from 0.
    """
    steps = np.arange(1, len(moments) + 1) * len(epochs) / len(moments)
    charts = {}

    def axes(title: str, label: str) -> Axes:
        figure = Figure(SIZE, layout="constrained")
        charts[title] = figure
        found: Axes = figure.subplots()
        found.set_xlabel("epoch", fontsize=9)
        found.set_ylabel(label, fontsize=9)
        found.tick_params(labelsize=8)
        found.xaxis.set_major_locator(MaxNLocator(integer=True))
        found.spines[["top", "right"]].set_visible(False)
        found.grid(alpha=0.25)
        return found

    passes = np.arange(1, len(epochs) + 1)
    loss = axes("Loss", "cross-entropy, nats")
    loss.plot(steps, [m.cross_entropy for m in moments], color=FAINT, lw=0.7)
    for chart, what in ((loss, "loss"), (axes("Accuracy", "share that is right"), "accuracy")):
        for name, colour, prefix in (
            ("training", TRAINING, ""),
            ("held out", HELD_OUT, "held_out_"),
        ):
            values = [getattr(epoch, prefix + what) for epoch in epochs]
            chart.plot(passes, values, "o-", color=colour, label=name, ms=3.5, lw=1.5)
        chart.axvline(best + 1, color="#555", lw=0.8, ls=":", label="kept")
        chart.legend(fontsize=8, frameon=False)
    rate = axes("Learning rate of the head", "rate")
    rate.plot(steps, [m.rate for m in moments], color=TRAINING, lw=1.5)
    rate.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))
    rate.yaxis.get_offset_text().set_fontsize(8)
    spread = [m.entropy for m in moments if m.entropy is not None]
    if spread:
        entropy = axes("Attention entropy of the class token", "share of the largest")
        entropy.plot(steps, spread, color=TRAINING, lw=1)
    return charts


def confusion_chart(confusion: Sequence[Sequence[int]], labels: Sequence[str]) -> Figure:
    """Held-out photos of each class (row) by the class they were given (column); the colour is the
    share of the row."""
    counts = np.array(confusion)
    classes = len(counts)
    shares = counts / counts.sum(axis=1, keepdims=True)
    side = min(max(4.2, 0.3 * classes + 1.6), 11.0)
    figure = Figure((side, side), layout="constrained")
    axes: Axes = figure.subplots()
    axes.imshow(shares, cmap="BuGn", vmin=0, vmax=1)
    axes.set_xlabel("given class", fontsize=9)
    axes.set_ylabel("true class", fontsize=9)
    if classes <= NAMED:
        names = [name if len(name) <= NAME else name[: NAME - 1] + "…" for name in labels]
        style: dict[str, Any] = {"fontsize": 8, "fontfamily": families(), "parse_math": False}
        axes.set_xticks(range(classes), names, rotation=90, **style)
        axes.set_yticks(range(classes), names, **style)
    if classes <= NUMBERED:
        for row, col in np.argwhere(counts):
            colour = "white" if shares[row, col] > 0.5 else "black"
            axes.text(
                col, row, str(counts[row, col]), ha="center", va="center", fontsize=8, color=colour
            )
    return figure
