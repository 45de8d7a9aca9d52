"""Photos to train on, class by class: a visitor's own, or crops of the samples."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, replace
from io import BytesIO

import streamlit as st
from PIL import Image

from vitviz.errors import ImageError
from vitviz.photos.load import load_image
from vitviz.photos.samples import samples
from vitviz.training.augmentation import random_crops
from vitviz.ui.controls.photo_picker import FILES, as_code
from vitviz.ui.visit.language import explained, t
from vitviz.ui.visit.turns import turn

MOST_PHOTOS, LEAST_PHOTOS, MOST_CLASSES = 20, 3, 5
KEPT_SIDE = 640  # px of the longer side of a training photo that is kept
READY_MADE = ("cat", "coffee", "flower")


@dataclass(frozen=True)
class ClassName:
    """What a class is called: as the visitor typed it; else, in the language of the moment, as the
    ready-made class or by its number."""

    number: int
    ready: str = ""
    typed: str = ""

    def __str__(self) -> str:
        if typed := self.typed.strip():
            return typed
        key = self.ready or "unnamed"
        return t(f"training.run.{key}", number=self.number)


@dataclass
class Album:
    """The visitor's classes: their names and their photos' files, in memory only."""

    names: list[ClassName] = field(
        default_factory=lambda: [ClassName(index + 1) for index in range(MOST_CLASSES)]
    )
    photos: list[list[bytes]] = field(default_factory=lambda: [[] for _ in range(MOST_CLASSES)])
    emptied: int = 0  # how often the upload field was emptied: part of its key
    refused: list[tuple[str, ImageError]] = field(default_factory=list)  # files of the last upload
    overfull: bool = False  # whether that upload had more photos than a class takes

    def name(self, index: int) -> str:
        """A class's name in the visitor's language."""
        return str(self.names[index])

    @property
    def used(self) -> list[int]:
        """The classes that have photos."""
        return [index for index, photos in enumerate(self.photos) if photos]


def own_album() -> Album:
    """This visitor's."""
    return st.session_state.setdefault("album", Album())


def edit_album(album: Album) -> None:
    """One class at a time: its name and its photos."""
    names = [album.name(index) for index in range(MOST_CLASSES)]  # of this run, also after it
    index = st.segmented_control(
        t("training.run.class"),
        range(MOST_CLASSES),
        default=0,
        required=True,
        format_func=names.__getitem__,
        key="edited",
    )
    st.text_input(
        t("training.run.name"),
        album.names[index].typed,
        max_chars=30,
        placeholder=names[index],
        key=f"name{index}.{album.emptied}",
        on_change=_take_name,
        args=(index, f"name{index}.{album.emptied}"),
    )
    key = f"photos{index}.{album.emptied}"
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
    list_album(album)
    if album.photos[index]:
        st.button(
            t("training.run.remove"),
            icon=":material/delete:",
            type="tertiary",
            key="remove",
            on_click=album.photos[index].clear,
        )


def _take_name(index: int, key: str) -> None:
    names = own_album().names
    names[index] = replace(names[index], typed=st.session_state[key])


def _take_files(index: int, key: str) -> None:
    """Keep what can be used of the uploaded files, and say why the others cannot."""
    album = own_album()
    album.refused, album.overfull = [], False
    for file in st.session_state[key]:
        if len(album.photos[index]) == MOST_PHOTOS:
            album.overfull = True
            break
        try:
            with turn():
                album.photos[index].append(_small_file(load_image(file.getvalue())))
        except ImageError as error:
            album.refused.append((file.name, copy(error)))  # its traceback holds the file
    album.emptied += 1


def _small_file(photo: Image.Image) -> bytes:
    photo.thumbnail((KEPT_SIDE, KEPT_SIDE), Image.Resampling.LANCZOS)
    file = BytesIO()
    photo.save(file, "PNG", compress_level=1)
    return file.getvalue()


def take_samples() -> None:
    """Crops of three samples as three classes."""
    album = Album(emptied=own_album().emptied + 1)
    found = {sample.id: sample for sample in samples()}
    with turn():
        for index, name in enumerate(READY_MADE):
            album.names[index] = ClassName(index + 1, name)
            crops = random_crops(load_image(found[name].path), 5, seed=index)
            album.photos[index] = [_small_file(crop) for crop in crops]
    st.session_state["album"] = album


def list_album(album: Album) -> None:
    """How many photos each class has."""
    counts = [f"{as_code(album.name(i))} {len(album.photos[i])}" for i in album.used]
    st.caption(" · ".join(counts) or t("training.run.empty"))


def is_enough(album: Album) -> bool:
    """Whether the photos are enough to train on; says what is missing."""
    poor = [index for index in album.used if len(album.photos[index]) < LEAST_PHOTOS]
    if len(album.used) < 2:
        st.warning(t("training.run.one_class"), icon=":material/info:")
    elif poor:
        few = as_code(album.name(poor[0]))
        st.warning(t("training.run.too_few", name=few, least=LEAST_PHOTOS), icon=":material/info:")
    return len(album.used) > 1 and not poor
