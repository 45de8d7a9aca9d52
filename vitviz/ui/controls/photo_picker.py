"""Choosing a photo: a sample, or one's own from a file, the camera, the clipboard or an address."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from dataclasses import replace
from pathlib import PurePosixPath

import streamlit as st
from PIL import Image
from urllib3.util import parse_url

from vitviz.errors import ImageError
from vitviz.photos.depth import STRETCHED
from vitviz.photos.load import MAX_BYTES, REDUCED, load_image, too_large
from vitviz.photos.samples import samples
from vitviz.photos.web import fetch_image
from vitviz.ui.parts.browser import component, thumbnail
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import ENGLISH, LANG, explained, library_text, t
from vitviz.ui.visit.markdown import as_code
from vitviz.ui.visit.opening import open_file
from vitviz.ui.visit.session import Photo
from vitviz.ui.visit.state import visit, without_frames
from vitviz.ui.visit.streamlit_private import forget_upload
from vitviz.zoo.catalogue import BUNDLED

FILES = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "heic", "heif"]
THUMB = 112  # px
OWN = "own"
SOURCES = FILE, CAMERA, ADDRESS = "file", "camera", "address"
_component = component("photo_gallery")


def sample_photos() -> dict[str, tuple[str, Photo]]:
    """The samples by id, with their titles."""
    return {
        key: (
            library_text(f"samples.{key}.title", title),
            replace(photo, alt=library_text(f"samples.{key}.alt", photo.alt)),
        )
        for key, (title, photo) in opened_samples().items()
    }


@st.cache_resource(show_spinner=False)
def opened_samples() -> dict[str, tuple[str, Photo]]:
    """The samples in English, shared by all visitors."""
    found = {}
    for sample in samples():
        data = sample.path.read_bytes()
        photo = _photo(data, load_image(data), sample.id)
        photo = replace(photo, alt=sample.alt, classes=sample.classes, sample=True)
        found[sample.id] = sample.title, photo
    return found


def _photo(data: bytes, decoded: Image.Image, name: str) -> Photo:
    """The photo in a file that was decoded."""
    return Photo(
        hashlib.sha256(data).hexdigest(),
        data,
        name,
        "",
        thumbnail(decoded, THUMB),
        stretched=decoded.info.get(STRETCHED),
        reduced=decoded.info.get(REDUCED, 1),
    )


def choose_photo(first: str | None = None) -> Photo:
    """The gallery with its menu for one's own photo, and what is chosen in it.

    The address says which sample it is; without one it is the visitor's own photo.

    Args:
        first: the sample that is shown where nothing was chosen; None for the first of all.
    """
    offered = sample_photos()
    own = visit().own
    if "main" in visit().arrived:
        visit().arrived.remove("main")
        pick(OWN)
    chosen = st.query_params.get("sample")
    visit().sample = chosen if chosen in offered else None
    if chosen not in offered:
        chosen = OWN if own else first or next(iter(offered))
    photos = [{"id": key, "title": title, "thumb": p.thumb} for key, (title, p) in offered.items()]
    if own:
        photos.insert(0, {"id": OWN, "title": t("photo.yours"), "thumb": own.thumb})
    with st.container(horizontal=True, vertical_alignment="center", key="photos"):
        own_photo_menu(own)
        _component(
            data={"photos": photos, "chosen": chosen, "max_bytes": MAX_BYTES},
            key=keys.GALLERY,
            on_picked_change=lambda: pick(st.session_state[keys.GALLERY].picked),
            on_brought_change=take_brought,
        )
    if refused := visit().refused:
        name, error = refused
        st.error(f"{as_code(name)}: {explained(error)}", icon=":material/broken_image:")
    if own and chosen == OWN:
        if own.stretched:
            low, high = own.stretched
            st.caption(t("photo.stretched", low=f"{low:.6g}", high=f"{high:.6g}"))
        if own.reduced > 1:
            st.caption(t("photo.reduced", part=own.reduced))
        return replace(own, alt=t("photo.yours_alt"))
    return offered[chosen][1]


def keep_link(page: str) -> None:
    """Put sample, model and language into the address again after a move to another page, which
    drops them."""
    last = visit()
    shown = {"sample": (last.sample, None), "model": (last.model, BUNDLED)}
    shown[LANG] = last.language, ENGLISH
    if last.page not in (None, page):
        for key, (held, usual) in shown.items():
            if held and held != usual and key not in st.query_params:
                st.query_params[key] = held
    last.page = page


def own_photo_menu(own: Photo | None) -> None:
    """File, camera or web address. A file that was brought closes the menu and empties it."""
    taken = visit().taken
    with st.popover(
        t("photo.own"),
        icon=":material/add_a_photo:",
        key=keys.PHOTO_MENU.format(taken),
        on_change="rerun",
    ):
        source = st.segmented_control(
            t("photo.from"),
            SOURCES,
            default=FILE,
            required=True,
            format_func=lambda source: t(f"photo.{source}"),
            label_visibility="collapsed",
            key=keys.PHOTO_SOURCE,
        )
        if source == FILE:
            key = keys.UPLOAD.format(taken)
            st.file_uploader(t("photo.upload"), FILES, key=key, on_change=take_file, args=[key])
        elif source == CAMERA:
            key = keys.CAMERA.format(taken)
            st.camera_input(t("photo.take"), key=key, on_change=take_file, args=[key])
        else:
            take_from_address()
        st.caption(t("photo.promise"))
        if own:
            st.button(t("photo.remove"), icon=":material/delete:", on_click=visit().forget_photo)


def take_file(key: str) -> None:
    """The uploaded file, or the camera's picture."""
    if file := st.session_state[key]:
        take(file.getvalue(), file.name)
        forget_upload(file)


def take_brought() -> None:
    """What was pasted or dropped on the page."""
    file = st.session_state[keys.GALLERY].brought
    if file["data"] is None:
        visit().refused = file["name"], too_large()
    else:
        take(b64decode(file["data"]), file["name"])


def take_from_address() -> None:
    with st.form(keys.ADDRESS_FORM, border=False):
        url = st.text_input(t("photo.where"), placeholder="https://", key=keys.PHOTO_ADDRESS)
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
    state = visit()
    with state.opening:
        state.taken += 1  # also then: what is said about it stands behind the open menu
        try:
            state.own = open_photo(data, name)
        except ImageError as error:
            state.refused = name, without_frames(error)
        else:
            state.refused = None
            state.arrived.add("main")


def open_photo(data: bytes, name: str) -> Photo:
    """A photo of the visitor's; what was decoded waits for its first recording.

    Raises:
        ImageError: if the file is no usable photo.
    """
    decoded = open_file(data)
    photo = _photo(data, decoded, name)
    visit().decoded = photo.key, decoded
    return photo


def pick(photo: str) -> None:
    """Choose a photo of the gallery; a sample goes into the link, one's own photo cannot."""
    visit().refused = None
    if photo == OWN:
        st.query_params.pop("sample", None)
    else:
        st.query_params["sample"] = photo
