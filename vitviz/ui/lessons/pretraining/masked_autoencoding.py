"""What an MAE is given, what it has to guess, and what guesses cost."""

from __future__ import annotations

import streamlit as st
import torch

from vitviz.inside.cost import attention_width, block_operations, block_weights
from vitviz.interventions.masking import mask_patches
from vitviz.pictures.input import input_picture
from vitviz.training.pretraining import hidden_patches, masked_loss, nearest_visible, patch_targets
from vitviz.ui.course.widgets import captioned, draw_again, hidden_share
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import t
from vitviz.ui.visit.session import Session

SHARES = (0.25, 0.5, 0.75, 0.9)


def mae(session: Session) -> None:
    """What the encoder is given when most patches are hidden, and what two guesses cost."""
    rec = session.rec
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    with left:
        share = hidden_share(SHARES, 0.75, keys.MASKED)
    with right:
        seed = draw_again()
    hidden, targets = hidden_patches(rec.grid, share, seed), patch_targets(rec)
    grey = torch.zeros(len(rec.pixels), 1, 1)
    given = mask_patches(rec, hidden[None], grey)[0]
    photo, numbers = st.columns([3, 2])
    with photo:
        text = t("pretraining.mae.given", count=int((~hidden).sum()))
        captioned(input_picture(rec.vit, given), text)
    near = targets.flatten(0, 1)[nearest_visible(hidden)]
    n = rec.num_prefix_tokens + int((~hidden).sum())
    width, weights = attention_width(rec), block_weights(rec)
    parts, all_of_it = (
        sum(vars(block_operations(tokens, width, weights)).values())
        for tokens in (n, rec.num_tokens)
    )
    with numbers:
        flat = masked_loss(targets, torch.zeros(1), hidden)
        st.metric(t("pretraining.mae.flat"), f"{flat:.2f}")
        st.metric(t("pretraining.mae.near"), f"{masked_loss(targets, near, hidden):.2f}")
        st.metric(t("pretraining.mae.cost", tokens=n), f"{parts / all_of_it:.0%}")
