"""The whole at once: a photo on its way through the model, to play, to stop and to open."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from vitviz.errors import VitvizError
from vitviz.ui.controls.model_picker import is_here, page_head
from vitviz.ui.controls.photo_picker import choose_photo
from vitviz.ui.pages.downloads import journey_download
from vitviz.ui.parts.journey import show_journey
from vitviz.ui.visit.analyse import analyse
from vitviz.ui.visit.language import explained, t
from vitviz.ui.visit.markdown import as_code


def page() -> None:
    """The photo, and its journey; a sentence where the model has none to show."""
    model = page_head(t("journey.title"))
    photo = choose_photo()
    if not is_here(model):
        return
    try:
        session = analyse(photo, model.name)
    except VitvizError as error:
        st.error(f"{as_code(photo.name)}: {explained(error)}", icon=":material/error:")
        return
    try:
        show_journey(session)
        journey_download(session, Path(photo.name).stem)
    except VitvizError as error:
        st.warning(f"{explained(error)} {t('journey.instead')}", icon=":material/block:")
