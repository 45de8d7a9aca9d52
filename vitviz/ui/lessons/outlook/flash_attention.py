"""The same attention computed some keys at a time."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from vitviz.inside.blocked_softmax import blocked_attention, memory_traffic
from vitviz.ui.course.widgets import chosen_patch, followed, followed_steps
from vitviz.ui.lessons.outlook.rounding import largest_difference
from vitviz.ui.parts.browser import URL
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import t
from vitviz.ui.visit.session import Session

BLOCKS = (64, 128, 257)  # tokens read together; the last are all of the photo's
MEGABYTE = 1e6
LONGER = (257, 1025, 4097)  # tokens of inputs of 224, 448 and 896 pixels


def flash(session: Session) -> None:
    """The chosen patch's row, some keys at a time, and what moves through the memory."""
    block = st.select_slider(t("outlook.flash.block"), BLOCKS, 64, key=keys.BLOCK, bind=URL)
    steps = followed_steps(session)
    found = blocked_attention(steps.scores, steps.values, block)
    table = pd.DataFrame(
        {
            t("outlook.flash.keys"): [step.keys for step in found],
            "m": [step.largest for step in found],
            t("outlook.flash.shrunk"): [step.shrunk for step in found],
            "ℓ": [step.total for step in found],
            "o₀": [float(step.output[0]) for step in found],
        }
    )
    number = st.column_config.NumberColumn(format="%.4f")
    st.dataframe(table, hide_index=True, column_config=dict.fromkeys(table.columns[1:], number))
    apart = largest_difference(found[-1].output, steps.output)
    st.markdown(t("outlook.flash.same", plain=f"{steps.output[0]:.4f}", apart=apart))
    st.table(_memory_traffic(len(steps.query), block))
    layer, head = followed(session)
    place = chosen_patch(session)
    st.caption(t("outlook.flash.caption", row=place[0], col=place[1], layer=layer, head=head))


def _memory_traffic(dim: int, block: int) -> pd.DataFrame:
    """Megabytes that one head moves, plain and in blocks, by the number of tokens."""
    columns = [t(f"outlook.flash.{name}") for name in ("plain", "blocked", "saved")]
    rows = {}
    for n in LONGER:
        moved = memory_traffic(n, dim, block)
        numbers = (moved.plain / MEGABYTE, moved.blocked / MEGABYTE, moved.plain / moved.blocked)
        rows[f"{n:,}"] = [f"{number:,.1f}" for number in numbers]
    names = pd.Index(list(rows), name=t("cost.timing.tokens"))
    return pd.DataFrame(list(rows.values()), names, columns)
