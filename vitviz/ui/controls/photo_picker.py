"""Choosing a photo: a sample, or one's own from a file, the camera, the clipboard or an address."""

from __future__ import annotations

from base64 import b64decode
from copy import copy
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import streamlit as st
from urllib3.util import parse_url

from vitviz.errors import ImageError
from vitviz.photos.load import MAX_BYTES, load_image, too_large
from vitviz.photos.samples import samples
from vitviz.photos.web import fetch_image
from vitviz.ui.parts.browser import component, thumbnail
from vitviz.ui.visit.language import ENGLISH, LANG, explained, library_text, t
from vitviz.ui.visit.turns import turn
from vitviz.zoo.catalogue import BUNDLED

FILES = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "heic", "heif"]
THUMB = 112  # px
OWN = "own"
SOURCES = FILE, CAMERA, ADDRESS = "file", "camera", "address"
_component = component("photo_gallery")


@dataclass(frozen=True)
class Photo:
    """The chosen photo: its file, its name, a description for those who do not see it, and of a
    sample ImageNet's classes that fit."""

    data: bytes
    name: str
    alt: str
    thumb: str
    classes: tuple[str, ...] | None = None


def sample_photos() -> dict[str, tuple[str, Photo]]:
    """The samples by id, with their titles."""
    return {
        key: (
            library_text(f"samples.{key}.title", title),
            replace(photo, alt=library_text(f"samples.{key}.alt", photo.alt)),
        )
        for key, (title, photo) in _opened_samples().items()
    }


@st.cache_data(show_spinner=False)
def _opened_samples() -> dict[str, tuple[str, Photo]]:
    return {
        sample.id: (
            sample.title,
            Photo(
                sample.path.read_bytes(),
                sample.id,
                sample.alt,
                thumbnail(load_image(sample.path), THUMB),
                sample.classes,
            ),
        )
        for sample in samples()
    }


def choose_photo() -> Photo:
    """The gallery with its menu for one's own photo, and what is chosen in it.

    The address says which sample it is; without one it is the visitor's own photo.
    """
    offered = sample_photos()
    own: Photo | None = st.session_state.get(OWN)
    chosen = st.query_params.get("sample")
    if chosen not in offered:
        chosen = OWN if own else next(iter(offered))
    st.session_state["sample"] = chosen
    photos = [{"id": key, "title": title, "thumb": p.thumb} for key, (title, p) in offered.items()]
    if own:
        photos.insert(0, {"id": OWN, "title": t("photo.yours"), "thumb": own.thumb})
    with st.container(horizontal=True, vertical_alignment="center", key="photos"):
        own_photo_menu(own)
        _component(
            data={"photos": photos, "chosen": chosen, "max_bytes": MAX_BYTES},
            key="gallery",
            on_picked_change=lambda: pick(st.session_state["gallery"].picked),
            on_brought_change=take_brought,
        )
    if refused := st.session_state.get("photo_error"):
        name, error = refused
        st.error(f"{as_code(name)}: {explained(error)}", icon=":material/broken_image:")
    if own and chosen == OWN:
        return replace(own, alt=t("photo.yours_alt"))
    return offered[chosen][1]


def keep_link(page: str) -> None:
    """Put sample, model and language into the address again after a move to another page, which
    drops them."""
    moved = st.session_state.get("page", page) != page
    for key, usual in (("sample", OWN), ("model", BUNDLED), (LANG, ENGLISH)):
        held = st.session_state.get(key, usual)
        if moved and held != usual and key not in st.query_params:
            st.query_params[key] = held
    st.session_state["page"] = page


def own_photo_menu(own: Photo | None) -> None:
    """File, camera or web address. A photo that was taken closes the menu and empties it."""
    taken = st.session_state.get("taken", 0)
    with st.popover(
        t("photo.own"), icon=":material/add_a_photo:", key=f"menu{taken}", on_change="rerun"
    ):
        source = st.segmented_control(
            t("photo.from"),
            SOURCES,
            default=FILE,
            required=True,
            format_func=lambda source: t(f"photo.{source}"),
            label_visibility="collapsed",
            key="source",
        )
        if source == FILE:
            key = f"upload{taken}"
            st.file_uploader(t("photo.upload"), FILES, key=key, on_change=take_file, args=[key])
        elif source == CAMERA:
            key = f"camera{taken}"
            st.camera_input(t("photo.take"), key=key, on_change=take_file, args=[key])
        else:
            take_from_address()
        st.caption(t("photo.promise"))
        if own:
            st.button(t("photo.remove"), icon=":material/delete:", on_click=forget)


def take_file(key: str) -> None:
    """The uploaded file, or the camera's picture."""
    st.session_state.pop("photo_error", None)
    if file := st.session_state[key]:
        take(file.getvalue(), file.name)


def take_brought() -> None:
    """What was pasted or dropped on the page."""
    file = st.session_state["gallery"].brought
    if file["data"] is None:
        st.session_state["photo_error"] = file["name"], too_large()
    else:
        take(b64decode(file["data"]), file["name"])


def take_from_address() -> None:
    with st.form("address", border=False):
        url = st.text_input(t("photo.where"), placeholder="https://", key="url")
        if not st.form_submit_button(t("photo.get"), icon=":material/download:"):
            return
    try:
        with st.spinner(t("photo.getting")):
            data = fetch_image(url)
    except ImageError as error:
        st.error(explained(error), icon=":material/link_off:")
        return
    take(data, PurePosixPath(parse_url(url).path or "").name or "photo")
    st.rerun()


def take(data: bytes, name: str) -> None:
    """Make these bytes the visitor's photo; a file that is none changes nothing but says so."""
    try:
        with turn():
            thumb = thumbnail(load_image(data), THUMB)
    except ImageError as error:
        st.session_state["photo_error"] = name, copy(error)  # its traceback holds the file
        return
    st.session_state[OWN] = Photo(data, name, "", thumb)
    st.session_state["taken"] = st.session_state.get("taken", 0) + 1
    pick(OWN)


def pick(photo: str) -> None:
    """Choose a photo of the gallery; a sample goes into the link, one's own photo cannot."""
    st.session_state.pop("photo_error", None)
    if photo == OWN:
        st.query_params.pop("sample", None)
    else:
        st.query_params["sample"] = photo


def forget() -> None:
    """Keep nothing of the visitor's own photo."""
    for key in (OWN, "photo_error", "session", "session beside"):
        st.session_state.pop(key, None)


def as_code(text: str) -> str:
    """A visitor's words shown as they are, on one line: no Markdown, no links."""
    return f"`{' '.join(text.replace('`', '’').split())[:80] or '…'}`"
