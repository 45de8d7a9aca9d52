"""Opening photos: a stranger's in a process that can be ended, a sample's right here."""

from __future__ import annotations

import streamlit as st
from PIL import Image

from vitviz.errors import ImageError
from vitviz.photos.decoders import Decoders
from vitviz.photos.load import load_image
from vitviz.ui.visit.allowance import Allowance
from vitviz.ui.visit.metrics import WORK, refusals
from vitviz.ui.visit.session import Photo
from vitviz.ui.visit.state import held_by_all, visit
from vitviz.ui.visit.streamlit_private import browser, still_here

__all__ = ["allowance", "decoders", "open_file", "opened", "wait_until_opened"]

PULSE = 0.2  # s between two looks whether somebody still waits
MOST_HELD = 96 * 2**20  # bytes of one visitor's photos
MOST_HELD_BY_ALL = 2**30  # the same of all visitors


@st.cache_resource(show_spinner=False)
def decoders() -> Decoders:
    """What decodes the photos of all visitors."""
    return Decoders()


@st.cache_resource(show_spinner=False)
def allowance() -> Allowance:
    """How much each visitor may have opened."""
    return Allowance()


def open_file(data: bytes) -> Image.Image:
    """A file that the visitor brought, decoded.

    Raises:
        ImageError: if it is no usable photo, or the visitor or all visitors have brought so much
            that it must wait.
    """
    with refusals():
        _check_room(len(data))
        with allowance().opening(browser(), len(data)), WORK.labels("open").time():
            return decoders().load_image(data)


def opened(photo: Photo) -> Image.Image:
    """The photo, decoded again. Not to be called in a turn, which a stranger's file would hold.

    Raises:
        ImageError: if it now takes too much time or memory.
    """
    if photo.sample:
        return load_image(photo.data)
    with allowance().opening(photo.key, 0):  # its bytes were counted; a download knows no visitor
        return decoders().load_image(photo.data)


def wait_until_opened() -> None:
    """Until all that the visitor brought is open. While a callback opens files, Streamlit begins
    the run for the visitor's next click beside it: that one shall show them, for the callback's own
    run is ended then."""
    while not visit().opening.acquire(timeout=PULSE):
        still_here()
    visit().opening.release()


def _check_room(size: int) -> None:
    if visit().held + size > MOST_HELD:
        raise ImageError(
            "photos_full",
            "Your photos take up the {size} MB that a visitor has here; remove some of them.",
            size=MOST_HELD >> 20,
        )
    if held_by_all() + size > MOST_HELD_BY_ALL:
        raise ImageError(
            "server_photos_full",
            "The photos of all visitors take up what this server has for them; try again in some "
            "minutes, or use a sample.",
        )
