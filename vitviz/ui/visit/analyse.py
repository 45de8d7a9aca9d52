"""From a photo to its recording: one shared model, a recording of the visitor's own."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st
from PIL import Image, ImageOps

from vitviz.recording.record import record
from vitviz.ui.visit.kept import Kept
from vitviz.ui.visit.language import t
from vitviz.ui.visit.opening import opened
from vitviz.ui.visit.session import Photo, Session
from vitviz.ui.visit.shared_samples import shared_samples
from vitviz.ui.visit.shelf import Shelf
from vitviz.ui.visit.state import Side, visit
from vitviz.ui.visit.turns import turn
from vitviz.zoo.catalogue import Offer, offer
from vitviz.zoo.load import Vit

PREVIEW_SIDES = (448, 1024)  # px of the longer side, at least and at most


@st.cache_resource(show_spinner=False)
def shelf() -> Shelf:
    """The models in memory."""
    return Shelf()


def model(name: str) -> Vit:
    """The model that is offered under this name, loaded once and shared by all visitors."""
    return shelf().take(name)


def analyse(photo: Photo, model_name: str, side: Side = "main", *, whole: bool = False) -> Session:
    """The visitor's recording of this photo: the model runs only when photo or model changed.

    Args:
        photo: what the page shows.
        model_name: of a model that is offered.
        side: where the visit keeps it; a page that shows two photos has two.
        whole: show a model that takes any size the whole photo.

    Raises:
        VitvizError: if the file is not a usable photo or the model cannot be loaded.
    """
    offered, recorded = offer(model_name), visit().recorded
    held = recorded.get(side)
    if held and (held.model, held.photo.key, held.whole) == (offered, photo.key, whole):
        return woken(held)
    if held and held.model != offered:
        # It keeps another model in memory, and so do this page's downloads.
        del recorded[side], held
        st.rerun()
    with st.spinner(t("photo.loading")):
        vit = model(model_name)
    shared = shared_samples() if photo.sample else None
    found = shared.find(vit, photo.key, whole) if shared else None
    if found is None:
        with st.spinner(t("photo.looking")):
            decoded = _decoded(photo)
            with turn():
                found = _seen(vit, offered, photo, decoded, whole)
        found = shared.keep(found) if shared else found
    recorded[side] = found
    return found


def woken(session: Session) -> Session:
    """The session, with its recording in memory: where that was let go, the model runs in a turn
    before the page asks for it."""
    if not session.kept.is_whole:
        with st.spinner(t("photo.looking")), turn():
            session.kept.get()
    return session


def see_sample(photo: Photo, model_name: str) -> Session:
    """A sample as all visitors share it, recorded in a turn of its own if nobody saw it before; on
    nobody's page."""
    vit = model(model_name)
    if found := shared_samples().find(vit, photo.key, whole=False):
        return found
    decoded = opened(photo)
    with turn():
        return shared_samples().keep(_seen(vit, offer(model_name), photo, decoded, whole=False))


def _seen(vit: Vit, offered: Offer, photo: Photo, decoded: Image.Image, whole: bool) -> Session:
    """The photo recorded, and its preview."""
    rec = record(vit, decoded, whole=whole and vit.anatomy.any_size_patch is not None)
    least, most = PREVIEW_SIDES
    longer = min(max(*decoded.size, least), most)
    preview = ImageOps.contain(decoded, (longer, longer), Image.Resampling.LANCZOS)
    rec = replace(rec, photo=None)  # as its file it is smaller
    kept = Kept(rec, rests=not photo.sample)
    return Session(offered, photo, whole, preview, longer / max(decoded.size), kept)


def _decoded(photo: Photo) -> Image.Image:
    """A photo that was just taken was decoded for its thumbnail; any other is decoded now."""
    held = visit().decoded
    if held is None or held[0] != photo.key:
        return opened(photo)
    visit().decoded = None
    return held[1]
