"""Opening photos: a stranger's in a process that can be ended, a sample's right here."""

from __future__ import annotations

import streamlit as st
from PIL import Image

from vitviz.photos.decoders import Decoders
from vitviz.photos.load import load_image
from vitviz.ui.visit.session import Photo

__all__ = ["decoders", "opened"]


@st.cache_resource(show_spinner=False)
def decoders() -> Decoders:
    """What decodes the photos of all visitors."""
    return Decoders()


def opened(photo: Photo) -> Image.Image:
    """The photo, decoded. Not to be called in a turn, which a stranger's file would hold.

    Raises:
        ImageError: if it now takes too much time or memory.
    """
    return load_image(photo.data) if photo.sample else decoders().load_image(photo.data)
