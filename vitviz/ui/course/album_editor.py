"""Photos to train on, class by class: a visitor's own, or crops of the samples."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import streamlit as st
from PIL import Image

from vitviz.errors import ImageError
from vitviz.photos.load import load_image
from vitviz.photos.samples import samples
from vitviz.training.augmentation import random_crops
from vitviz.ui.controls.photo_picker import FILES
from vitviz.ui.visit import keys
from vitviz.ui.visit.album import MOST_CLASSES, Album, ClassName
from vitviz.ui.visit.language import explained, t
from vitviz.ui.visit.markdown import as_code, as_words
from vitviz.ui.visit.opening import open_file
from vitviz.ui.visit.state import visit, without_frames
from vitviz.ui.visit.streamlit_private import forget_upload

MOST_PHOTOS, LEAST_PHOTOS = 20, 3
KEPT_SIDE = 640  # px of the longer side of a training photo that is kept
READY_MADE = ("cat", "coffee", "tower")


def class_title(name: ClassName) -> str:
    """A class's name in the visitor's language."""
    if typed := name.typed.strip():
        return typed
    return t(f"training.run.{name.ready or 'unnamed'}", number=name.number)


def edit_album(album: Album) -> None:
    """One class at a time: its name and its photos."""
    names = [class_title(name) for name in album.names]  # of this run, also after it
    index = st.segmented_control(
        t("training.run.class"),
        range(MOST_CLASSES),
        default=0,
        required=True,
        format_func=[as_words(name) for name in names].__getitem__,
        key=keys.EDITED_CLASS,
    )
    st.text_input(
        t("training.run.name"),
        album.names[index].typed,
        max_chars=30,
        placeholder=names[index],
        key=keys.CLASS_NAME.format(index, album.emptied),
        on_change=_take_name,
        args=(index, keys.CLASS_NAME.format(index, album.emptied)),
    )
    _upload_field(album, index)
    list_album(album)
    if album.photos[index]:
        st.button(
            t("training.run.remove"),
            icon=":material/delete:",
            type="tertiary",
            key=keys.REMOVE_PHOTOS,
            on_click=album.photos[index].clear,
        )


def _upload_field(album: Album, index: int) -> None:
    """Where a class's photos are dropped, and what could not be used of the last ones."""
    key = keys.CLASS_PHOTOS.format(index, album.emptied)
    st.file_uploader(
        t("training.run.photos", least=LEAST_PHOTOS, most=MOST_PHOTOS),
        FILES,
        accept_multiple_files=True,
        key=key,
        on_change=_take_files,
        args=(index, key),
    )
    for name, error in album.refused:
        st.warning(f"{as_code(name)}: {explained(error)}", icon=":material/broken_image:")
    if album.overfull:
        st.warning(t("training.run.too_many", most=MOST_PHOTOS), icon=":material/info:")


def _take_name(index: int, key: str) -> None:
    names = visit().album.names
    names[index] = replace(names[index], typed=st.session_state[key])


def _take_files(index: int, key: str) -> None:
    """Keep what can be used of the uploaded files, and say why the others cannot."""
    state, files = visit(), st.session_state[key]
    with state.opening:
        album = state.album
        album.refused, album.overfull = [], False
        for file in files:
            if len(album.photos[index]) == MOST_PHOTOS:
                album.overfull = True
                break
            try:
                photo = open_file(file.getvalue())
            except ImageError as error:
                album.refused.append((file.name, without_frames(error)))
            else:
                album.photos[index].append(_small_file(photo))
        for file in files:
            forget_upload(file)
        album.emptied += 1


def _small_file(photo: Image.Image) -> bytes:
    photo.thumbnail((KEPT_SIDE, KEPT_SIDE), Image.Resampling.LANCZOS)
    file = BytesIO()
    photo.save(file, "PNG", compress_level=1)
    return file.getvalue()


def take_samples() -> None:
    """Crops of three samples as three classes."""
    state = visit()
    with state.opening:
        album = Album(emptied=state.album.emptied + 1)
        found = {sample.id: sample for sample in samples()}
        for index, name in enumerate(READY_MADE):
            album.names[index] = ClassName(index + 1, name)
            crops = random_crops(load_image(found[name].path), 5, seed=index)
            album.photos[index] = [_small_file(crop) for crop in crops]
        state.album = album


def list_album(album: Album) -> None:
    """How many photos each class has."""
    counts = [f"{as_code(class_title(album.names[i]))} {len(album.photos[i])}" for i in album.used]
    st.caption(" · ".join(counts) or t("training.run.empty"))


def is_enough(album: Album) -> bool:
    """Whether the photos are enough to train on; says what is missing."""
    poor = [index for index in album.used if len(album.photos[index]) < LEAST_PHOTOS]
    if len(album.used) < 2:
        st.warning(t("training.run.one_class"), icon=":material/info:")
    elif poor:
        few = as_code(class_title(album.names[poor[0]]))
        st.warning(t("training.run.too_few", name=few, least=LEAST_PHOTOS), icon=":material/info:")
    return len(album.used) > 1 and not poor
