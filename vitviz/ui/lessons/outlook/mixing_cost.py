"""What a layer pays for letting tokens look at each other, in three ways."""

from __future__ import annotations

import altair as alt
import pandas as pd
import streamlit as st

from vitviz.inside.cost import (
    Looking,
    Mixing,
    attention_width,
    block_operations,
    block_weights,
    mixing_cost,
)
from vitviz.inside.tokens import token_count
from vitviz.recording.recording import Recording
from vitviz.ui.parts.browser import URL
from vitviz.ui.parts.chart import beside, draw_chart, lines_by
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import t
from vitviz.ui.visit.session import Session

WINDOW = 49  # tokens of a window in Swin, 7 × 7
SIDES = tuple(range(224, 3585, 224))
LOOKING: tuple[Looking, ...] = ("full", "windowed", "linear")
CHART = 220  # px, above a table
FEW, FEW_MILLIONS = alt.Axis(tickCount=4, format="~s"), alt.Axis(tickCount=4, format=",")
MEGABYTE, MILLION = 1e6, 1e6


def budget(session: Session) -> None:
    """Multiplications and memory of a layer against the size of the input."""
    rec = session.rec
    side = st.select_slider(t("outlook.budget.side"), SIDES, 896, key=keys.BUDGET_SIDE, bind=URL)
    tokens = token_count(int(side), rec.patch_size[0])
    _operations_by_tokens(rec, tokens)
    costs = _mixing_costs(rec, tokens)
    rows = [
        (
            f"{cost.operations / MILLION:,.0f}",
            f"{cost.memory / MEGABYTE:,.1f}" if cost.memory else "–",
        )
        for cost in costs.values()
    ]
    columns = [t("outlook.budget.operations"), t("outlook.budget.memory")]
    st.table(pd.DataFrame(rows, [t(f"outlook.budget.{way}") for way in costs], columns))
    st.caption(t("outlook.budget.caption", tokens=f"{tokens:,}", window=WINDOW))


def _operations_by_tokens(rec: Recording, chosen: int) -> None:
    """A line for each way to look, and a rule at the chosen number of tokens."""
    counts = sorted({chosen, *(token_count(side, rec.patch_size[0]) for side in SIDES)})
    table = pd.DataFrame(
        {"tokens": n, "way": t(f"outlook.budget.{way}"), "millions": cost.operations / MILLION}
        for n in counts
        for way, cost in _mixing_costs(rec, n).items()
    )
    rule = alt.Chart(pd.DataFrame({"tokens": [chosen]})).mark_rule(strokeDash=[4, 4])
    names = [t(f"outlook.budget.{way}") for way in _mixing_costs(rec, chosen)]
    x = alt.X("tokens", title=t("cost.timing.tokens"), scale=alt.Scale(type="log"), axis=FEW)
    lines = alt.Chart(table).mark_line()
    draw_chart(
        lines.encode(
            x=x,
            y=alt.Y(
                "millions",
                title=t("outlook.budget.operations"),
                scale=alt.Scale(type="log"),
                axis=FEW_MILLIONS,
            ),
            **lines_by(
                "way", names, title=None, legend=alt.Legend(orient="top", columns=beside(4))
            ),
            tooltip=[
                alt.Tooltip("tokens", title=t("cost.timing.tokens"), format=","),
                alt.Tooltip("way", title=t("lesson.part")),
                alt.Tooltip("millions", title=t("outlook.budget.operations"), format=",.0f"),
            ],
        )
        + rule.encode(x=x),
        height=CHART,
    )


def _mixing_costs(rec: Recording, tokens: int) -> dict[str, Mixing]:
    """What one layer of this model would pay for each way to look; and its matrices."""
    heads, width = rec.num_heads(0), attention_width(rec)
    found: dict[str, Mixing] = {
        way: mixing_cost(way, tokens, width, heads, WINDOW) for way in LOOKING
    }
    matrices = block_operations(tokens, width, block_weights(rec)).matrices
    return {**found, "matrices": Mixing(matrices, 0)}
