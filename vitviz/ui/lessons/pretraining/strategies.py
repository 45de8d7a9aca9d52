"""In words: four ways of pretraining, and what to train of a pretrained model."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from vitviz.ui.visit.language import t
from vitviz.ui.visit.session import Session

WAYS = ("supervised", "dino", "mae", "clip")
ASPECTS = ("predicts", "needs", "loss", "attention")
CASES = ("few", "alike", "many", "other")


def four(session: Session) -> None:
    """Four ways of pretraining beside each other."""
    del session
    table = pd.DataFrame(
        {t("pretraining.four.way"): t(f"pretraining.four.{way}.name")}
        | {
            t(f"pretraining.four.{aspect}"): t(f"pretraining.four.{way}.{aspect}")
            for aspect in ASPECTS
        }
        for way in WAYS
    )
    st.table(table.set_index(t("pretraining.four.way")))


def freeze(session: Session) -> None:
    """What to train, by how many photos there are and how new they are."""
    del session
    table = pd.DataFrame(
        {
            t("pretraining.freeze.when"): t(f"pretraining.freeze.{case}.when"),
            t("pretraining.freeze.what"): t(f"pretraining.freeze.{case}.what"),
            t("pretraining.freeze.why"): t(f"pretraining.freeze.{case}.why"),
        }
        for case in CASES
    )
    st.table(table.set_index(t("pretraining.freeze.when")))
