"""The token learns its place."""

from __future__ import annotations

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray

from vitviz.inside.positions import (
    position_embedding,
    position_similarity,
    swapped,
    with_patches,
    without_positions,
)
from vitviz.inside.tokens import patch_vectors
from vitviz.methods.explain import explain
from vitviz.recording.recording import Recording
from vitviz.ui.course.lesson import Lesson, Step
from vitviz.ui.course.widgets import (
    CLASSES,
    captioned,
    chosen_patch,
    colours,
    draw_again,
    pick_patch,
    run_once,
    under_attention,
)
from vitviz.ui.parts.prediction_bars import prediction_bars
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import t
from vitviz.ui.visit.session import Session

NUMBERS = 64  # of a vector that are shown
CELL = 6  # pixels a number of the small maps


def added(session: Session) -> None:
    """The patch's vector, the place's vector, and their sum."""
    photo, vectors = st.columns(2)
    with photo:
        patch = pick_patch(session)
    content, place = patch_vectors(session.rec)[patch], position_embedding(session.rec)[patch]
    with vectors:
        for key, vector in (("content", content), ("place", place), ("sum", content + place)):
            scale = float(vector.abs().quantile(0.98))
            bars = colours(vector[:NUMBERS].reshape(4, -1).numpy(), scale, 16)
            text = t(
                f"positions.added.{key}",
                shown=NUMBERS,
                first=f"{vector[0]:.4f}",
                length=f"{vector.norm():.2f}",
            )
            captioned(bars, text)


def alike(session: Session) -> None:
    """How alike every place's vector is to that of the chosen place."""
    photo, picture = st.columns(2)
    with photo:
        row, col = pick_patch(session)
    found = _similarity(session)[row, col]
    with picture:
        text = t("positions.alike.caption", row=row, col=col)
        captioned(colours(found, 1.0, 16), text)
        above = found[row - 1 if row else row + 1, col]
        first, second = st.columns(2)
        first.metric(t("positions.alike.neighbour"), f"{above:.3f}")
        second.metric(t("positions.alike.corner"), f"{found[0, 0]:.3f}")


def grid(session: Session) -> None:
    """The map of every place, each where its place is; every second one if there are many."""
    found = _similarity(session)
    step = 1 + (len(found) - 1) // 12
    chosen = found[::step, ::step]
    gaps = np.pad(chosen, ((0, 0), (0, 0), (1, 1), (1, 1)))
    sheet = gaps.transpose(0, 2, 1, 3).reshape(gaps.shape[0] * gaps.shape[2], -1)
    text = t("positions.grid.caption", rows=chosen.shape[0], cols=chosen.shape[1])
    captioned(colours(sheet, 1.0, CELL), text)


def swap(session: Session) -> None:
    """Two patches change places: the photo to choose one of them is the picture before."""
    rec = session.rec
    rows, cols = rec.grid
    left, right = st.columns(2)
    row = left.slider(t("positions.swap.row"), 0, rows - 1, 0, key=keys.OTHER_ROW)
    col = right.slider(t("positions.swap.col"), 0, cols - 1, 0, key=keys.OTHER_COL)
    st.caption(t("positions.swap.how"))
    before, after = st.columns(2)
    with before:
        one = pick_patch(session, explain(rec, "attention"), marks=[[row, col]])
    order = swapped(rec, one, (row, col))
    changed = run_once(session.own, "swap", (one, row, col), lambda: with_patches(rec, order))
    with after:
        under_attention(changed, t("positions.swapped"))
    for column, run in zip(st.columns(2), (rec, changed), strict=True):
        with column:
            prediction_bars(run.predictions[:CLASSES])


def shuffle(session: Session) -> None:
    """All patches in another order; the place vectors stay where they are."""
    seed = draw_again()
    changed = run_once(
        session.own,
        "shuffle",
        seed,
        lambda: with_patches(session.rec, _order(session, seed)),
    )
    _before_and_after(session.rec, changed, "shuffled")


def off(session: Session) -> None:
    """The same photo, but no patch knows its place."""
    _before_and_after(session.rec, _bare(session), "without")


def both(session: Session) -> None:
    """Without places, the order of the patches changes nothing."""
    bare = _bare(session)
    left, right = st.columns(2)
    with left:
        seed = draw_again()
    changed = run_once(
        session.own, "bare shuffle", seed, lambda: with_patches(bare, _order(session, seed))
    )
    difference = float((changed.logits - bare.logits).abs().max())
    right.metric(t("positions.both.difference"), f"{difference:.6f}")
    _before_and_after(bare, changed, "shuffled_without", "without")


def task(session: Session) -> None:
    """The place most alike to the chosen one, its neighbours left out."""
    row, col = chosen_patch(session)
    found = _similarity(session)[row, col].copy()
    near = tuple(slice(max(at - 1, 0), at + 2) for at in (row, col))
    found[near] = -1
    y, x = divmod(int(found.argmax()), found.shape[1])
    pick_patch(session, marks=[[y, x]])
    st.markdown(t("positions.task", row=y, col=x, alike=f"{found[y, x]:.3f}"))


def _similarity(session: Session) -> NDArray[np.float32]:
    found: NDArray[np.float32] = run_once(
        session.own, "similarity", None, lambda: position_similarity(session.rec).numpy()
    )
    return found


def _bare(session: Session) -> Recording:
    return run_once(session.own, "bare", None, lambda: without_positions(session.rec))


def _order(session: Session, seed: int) -> torch.Tensor:
    rows, cols = session.rec.grid
    return torch.randperm(rows * cols, generator=torch.Generator().manual_seed(seed))


def _before_and_after(
    before: Recording, after: Recording, name: str, name_before: str = "unchanged"
) -> None:
    runs = {name_before: before, name: after}
    for column, (title, run) in zip(st.columns(2), runs.items(), strict=True):
        with column:
            under_attention(run, t(f"positions.{title}"))
    for column, run in zip(st.columns(2), runs.values(), strict=True):
        with column:
            prediction_bars(run.predictions[:CLASSES])


LESSON = Lesson(
    "positions",
    (
        Step("added", added, formula=r"x_i = W p_i + b + e_i"),
        Step("alike", alike, formula=r"\cos = \dfrac{e_i \cdot e_j}{|e_i|\,|e_j|}"),
        Step("grid", grid),
        Step("swap", swap, guess=True),
        Step("shuffle", shuffle),
        Step("off", off),
        Step("both", both, guess=True),
    ),
    task,
    {
        "Dosovitskiy et al. 2020: An image is worth 16x16 words": "https://arxiv.org/abs/2010.11929",
        "Vaswani et al. 2017: Attention is all you need": "https://arxiv.org/abs/1706.03762",
        "Naseer et al. 2021: Intriguing properties of Vision Transformers": "https://arxiv.org/abs/2105.10497",
    },
)
