"""Attention without a softmax, and so without a map."""

from __future__ import annotations

import streamlit as st
import torch
from torch import Tensor

from vitviz.inside.attention_steps import entropy
from vitviz.inside.linear_attention import linear_output, linear_weights
from vitviz.pictures.overlay import overlay
from vitviz.ui.course.widgets import (
    attention_heat,
    captioned,
    chosen_patch,
    layer_and_head,
    pick_patch,
)
from vitviz.ui.lessons.outlook.rounding import largest_difference
from vitviz.ui.visit.language import t
from vitviz.ui.visit.session import Session


def linear(session: Session) -> None:
    """The same queries and keys with a softmax and with φ."""
    rec = session.rec
    layer, head = layer_and_head(session)
    queries, offered, values = (given[0, head].float() for given in rec.layers[layer].given)
    own = rec.token(chosen_patch(session))
    soft, flat = rec.attention(layer)[head], linear_weights(queries, offered)
    most = float(rec.patches(torch.stack([soft[own], flat[own]])).max())
    left, right = st.columns(2)
    with left:
        heat = attention_heat(session, soft[own])
        pick_patch(session, heat, t("outlook.weight"), scale=(0.0, most))
        st.caption(t("outlook.linear.softmax", **_spread(soft[own])))
    with right:
        text = t("outlook.linear.linear", **_spread(flat[own]))
        heat = attention_heat(session, flat[own]).scaled(session.factor)
        picture = overlay(session.preview, heat, alpha=0.6, scale=(0.0, most))
        captioned(picture, text)
    n, dim = queries.shape
    apart = largest_difference(flat @ values, linear_output(queries, offered, values))
    st.markdown(
        t(
            "outlook.linear.orders",
            first=f"{2 * n * n * dim:,}",
            second=f"{2 * n * dim * dim:,}",
            apart=apart,
        )
    )


def _spread(weights: Tensor) -> dict[str, str]:
    """The largest weight of a row, and how widely it is spread."""
    return {"largest": f"{weights.max():.1%}", "entropy": f"{entropy(weights):.2f}"}
