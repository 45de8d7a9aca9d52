"""Both networks on the photo shuffled, hidden in part, and shifted."""

from __future__ import annotations

import altair as alt
import pandas as pd
import streamlit as st
from torch import Generator

from vitviz.interventions.squares import (
    MARGIN,
    SIDE,
    cut_square,
    hide_pieces,
    predict_square,
    shuffle_pieces,
    wide_square,
)
from vitviz.ui.course.widgets import draw_again, hidden_share, run_once
from vitviz.ui.lessons.cnn.counterpart import NETWORKS
from vitviz.ui.lessons.cnn.squares import (
    compare_predictions,
    measured_shares,
    predict_unchanged,
    square_of,
)
from vitviz.ui.parts.browser import URL
from vitviz.ui.parts.chart import draw_chart, lines_by
from vitviz.ui.visit import keys
from vitviz.ui.visit.analyse import model
from vitviz.ui.visit.language import label, t
from vitviz.ui.visit.session import Session
from vitviz.zoo.catalogue import COUNTERPART

PIECES = (112, 56, 28, 14)  # px
SHARES = (0.0, 0.25, 0.5, 0.75, 0.9)
MOVES = range(0, MARGIN + 1, 2)  # px


def shuffle(session: Session) -> None:
    """The pieces of the photo in another order."""
    left, right = st.columns(2, vertical_alignment="bottom")
    with left:
        piece = st.select_slider(t("cnn.piece"), PIECES, PIECES[-1], key=keys.PIECE, bind=URL)
    with right:
        seed = draw_again()
    square = shuffle_pieces(square_of(session), piece, Generator().manual_seed(seed))
    compare_predictions(session, ("shuffled", piece, seed), square)
    measured_shares("shuffled")


def hide(session: Session) -> None:
    """Some of the patches behind the mean colour."""
    share = hidden_share(SHARES, 0.5, keys.HIDDEN)
    square = hide_pieces(square_of(session), PIECES[-1], share, Generator().manual_seed(0))
    compare_predictions(session, ("hidden", share), square)
    measured_shares("hidden")


def shift(session: Session) -> None:
    """The probability of each network's first answer, on squares cut out further to the right."""
    shares = run_once(session.results, "shifted", None, lambda: _shifted_probabilities(session))
    table = pd.DataFrame(
        {"moved": moved, "network": t(f"cnn.{key}"), "probability": share}
        for key, found in zip(NETWORKS, shares, strict=True)
        for moved, share in zip(MOVES, found, strict=True)
    )
    lines = alt.Chart(table).mark_line(point=True)
    draw_chart(
        lines.encode(
            x=alt.X("moved", title=t("cnn.shift.moved")),
            y=alt.Y(
                "probability", title=t("compare.probability"), scale=alt.Scale(domain=[0, 1])
            ).axis(format="%"),
            **lines_by(
                "network",
                [t(f"cnn.{key}") for key in NETWORKS],
                title=None,
                legend=alt.Legend(orient="top"),
            ),
            tooltip=[
                alt.Tooltip("network", title=t("cnn.network")),
                alt.Tooltip("moved", title=t("cnn.shift.moved")),
                alt.Tooltip("probability", title=t("compare.probability"), format=".1%"),
            ],
        ),
        height=320,
    )
    names = [label(found[0].label) for found in predict_unchanged(session)]
    st.caption(t("cnn.shift.caption", vit=names[0], cnn=names[1]))
    measured_shares("shifted")


def task(session: Session) -> None:
    """All three changes at once."""
    first, second, third = st.columns(3)
    whole = (SIDE, *PIECES)
    with first:
        piece = st.select_slider(t("cnn.piece"), whole, SIDE, key=keys.TASK_PIECE, bind=URL)
    with second:
        share = hidden_share(SHARES, 0.0, keys.TASK_HIDDEN)
    with third:
        moved = st.slider(t("cnn.shift.moved"), 0, MARGIN, 0, key=keys.TASK_MOVED, bind=URL)
    square = shuffle_pieces(square_of(session, moved), piece, Generator().manual_seed(0))
    square = hide_pieces(square, PIECES[-1], share, Generator().manual_seed(0))
    compare_predictions(session, ("task", piece, share, moved), square)


def _shifted_probabilities(session: Session) -> list[list[float]]:
    """How probable the first answer stays, for both networks and every move."""
    wide = wide_square(session.preview)
    found = []
    for vit in (session.rec.vit, model(COUNTERPART)):
        first = predict_square(vit, cut_square(wide))[0].index
        moved = (predict_square(vit, cut_square(wide, right)) for right in MOVES)
        found.append([next(p.value for p in answer if p.index == first) for answer in moved])
    return found
