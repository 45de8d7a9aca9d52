"""How large activations become before any training."""

from __future__ import annotations

import altair as alt
import pandas as pd
import streamlit as st

from vitviz.training.initialisation import KINDS, activation_sizes
from vitviz.ui.course.widgets import UPRIGHT
from vitviz.ui.parts.browser import URL
from vitviz.ui.parts.chart import beside, draw_chart, lines_by
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import t
from vitviz.ui.visit.session import Session

LAYERS, WIDTH = 12, 384


def initial(session: Session) -> None:
    """How large activations become through the layers, before any training."""
    del session
    residual = st.toggle(t("pretraining.initial.residual"), False, key=keys.RESIDUAL, bind=URL)
    names = [t(f"pretraining.initial.{kind}") for kind in KINDS]
    table = pd.DataFrame(
        {"layer": layer, "kind": name, "size": size}
        for kind, name in zip(KINDS, names, strict=True)
        for layer, size in enumerate(activation_sizes(kind, LAYERS, WIDTH, residual=residual))
    )
    lines = alt.Chart(table).mark_line(point=True)
    draw_chart(
        lines.encode(
            x=alt.X("layer:O", title=t("pretraining.initial.layer"), axis=UPRIGHT),
            y=alt.Y(
                "size",
                title=t("pretraining.initial.size"),
                scale=alt.Scale(type="log"),
                axis=alt.Axis(format="~g", tickCount=6),
            ),
            **lines_by(
                "kind", names, title=None, legend=alt.Legend(orient="top", columns=beside(2))
            ),
            tooltip=[
                alt.Tooltip("kind", title=t("pretraining.initial.kind")),
                alt.Tooltip("layer", title=t("pretraining.initial.layer")),
                alt.Tooltip("size", title=t("pretraining.initial.size"), format=".3g"),
            ],
        ),
        height=380,
    )
    st.caption(t("pretraining.initial.caption", width=WIDTH))
