"""How often both networks are right, on many photos."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from vitviz.inside.accuracies import MEASURED, PUBLISHED
from vitviz.ui.lessons.cnn.counterpart import NETWORKS
from vitviz.ui.visit.language import t
from vitviz.ui.visit.session import Session


def accuracy(session: Session) -> None:
    """How often both are right: measured here, and what is published of others."""
    del session
    networks = [t(f"cnn.{key}") for key in NETWORKS]
    here = pd.DataFrame(
        {
            t("cnn.accuracy.photos"): t(f"cnn.accuracy.{found.source}", photos=f"{found.photos:,}"),
            networks[0]: f"{found.vit:.1f}%",
            networks[1]: f"{found.cnn:.1f}%",
        }
        for found in MEASURED
    )
    published = pd.DataFrame(
        {
            t("cnn.network"): f"{found.model} · {t(f'cnn.{found.kind}')}",
            t("cnn.accuracy.data"): found.data,
            t("cnn.accuracy.right"): f"{found.top1:.1f}%",
            t("cnn.accuracy.source"): found.source,
        }
        for found in PUBLISHED
    )
    for key, table in (("here", here), ("published", published)):
        st.markdown(f"**{t(f'cnn.accuracy.{key}')}**")
        st.table(table.set_index(table.columns[0]))
