"""What a visitor's session holds: one shared model, one recording of their own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import streamlit as st
from PIL import Image, ImageOps

from vitviz.photos.load import load_image
from vitviz.pictures.export import as_jpeg
from vitviz.recording.record import record
from vitviz.recording.recording import Recording
from vitviz.ui.visit.language import t
from vitviz.ui.visit.shelf import Shelf
from vitviz.ui.visit.turns import turn
from vitviz.zoo.catalogue import Offer, offer
from vitviz.zoo.load import Vit

PREVIEW_SIDES = (448, 1024)  # px of the longer side, at least and at most
SMALL_SIDE = 224  # px of a small map's longer side


@dataclass(frozen=True)
class Look:
    """How maps are drawn."""

    colormap: str
    alpha: float
    smooth: bool


@dataclass(frozen=True, eq=False)
class Session:
    """One visitor's photo and its recording. The photo is kept as its file: it is smaller."""

    model: Offer
    key: str  # of the photo
    data: bytes
    preview: Image.Image
    factor: float  # preview pixels per photo pixel
    rec: Recording
    kept: dict[Any, Any] = field(default_factory=dict)  # what pages derived and may show again

    @cached_property
    def small(self) -> Image.Image:
        """What the model saw of it, for small maps."""
        left, top, right, bottom = (round(self.factor * edge) for edge in self.rec.box)
        seen = self.preview.crop((left, top, right, bottom))
        return ImageOps.contain(seen, (SMALL_SIDE, SMALL_SIDE))

    @cached_property
    def jpeg(self) -> bytes:
        """The preview for the browser, encoded once."""
        return as_jpeg(self.preview)


@st.cache_resource(show_spinner=False)
def shelf() -> Shelf:
    """The models in memory."""
    return Shelf()


def model(name: str) -> Vit:
    """The model that is offered under this name, loaded once and shared by all visitors."""
    return shelf().take(name)


def analyse(
    data: bytes, model_name: str, place: str = "session", *, whole: bool = False
) -> Session:
    """The session's recording of this photo: the model runs only when photo or model changed.

    Args:
        data: the photo's file.
        model_name: of a model that is offered.
        place: where the session keeps it; a page that shows two photos has two.
        whole: show a model that takes any size the whole photo.

    Raises:
        VitvizError: if the file is not a usable photo or the model cannot be loaded.
    """
    offered, key = offer(model_name), f"{hashlib.sha256(data).hexdigest()}:{whole}"
    held = st.session_state.get(place)
    if isinstance(held, Session) and (held.model, held.key) == (offered, key):
        return held
    if isinstance(held, Session) and held.model != offered:
        # It keeps another model in memory, and so do this page's downloads.
        del st.session_state[place]
        st.rerun()
    with st.spinner(t("photo.loading")):
        vit = model(model_name)
    with st.spinner(t("photo.looking")), turn():
        photo = load_image(data)
        rec = record(vit, photo, whole=whole and vit.anatomy.any_size_patch is not None)
        least, most = PREVIEW_SIDES
        side = min(max(*photo.size, least), most)
        preview = ImageOps.contain(photo, (side, side), Image.Resampling.LANCZOS)
    session = Session(offered, key, data, preview, side / max(photo.size), rec)
    st.session_state[place] = session
    return session
