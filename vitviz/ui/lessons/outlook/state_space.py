"""A scan with a decaying memory instead of attention."""

from __future__ import annotations

import streamlit as st

from vitviz.heatmap import Heatmap
from vitviz.inside.state_space import SCANS, by_kernel, reach, scanned
from vitviz.inside.tokens import patch_means
from vitviz.ui.controls.choice import choice
from vitviz.ui.course.widgets import chosen_patch, pick_patch
from vitviz.ui.lessons.outlook.rounding import largest_difference
from vitviz.ui.parts.browser import URL
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import t
from vitviz.ui.visit.session import Session

DECAYS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)


def state(session: Session) -> None:
    """What is left of each patch when a scan has come to the chosen one."""
    rec = session.rec
    decay = st.select_slider(t("outlook.state.decay"), DECAYS, 0.9, key=keys.DECAY, bind=URL)
    scan = choice(
        st.segmented_control,
        t("outlook.state.scan"),
        SCANS,
        SCANS[0],
        keys.SCAN,
        lambda name: t(f"outlook.state.{name}"),
        required=True,
    )
    row, col = chosen_patch(session)
    left = reach(rec.grid, (row, col), decay, scan)
    photo, numbers = st.columns(2)
    with photo:
        heat = Heatmap(left.float().numpy(), rec.box, "state")
        pick_patch(session, heat, t("outlook.state.left"), scale=(0.0, 1.0))
    with numbers:
        if col:
            st.metric(t("outlook.state.beside"), f"{left[row, col - 1]:.1%}")
        if row:
            st.metric(t("outlook.state.above"), f"{left[row - 1, col]:.1%}")
        means = patch_means(rec).flatten()
        apart = largest_difference(scanned(means, decay), by_kernel(means, decay))
        st.caption(t("outlook.state.same", count=len(means), apart=apart))
