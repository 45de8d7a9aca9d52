"""The same tokens without a classifier."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, stack

from vitviz.errors import ImageError
from vitviz.heatmap import Heatmap
from vitviz.inside.classifier import class_score, image_features
from vitviz.inside.features import (
    clusters,
    contrast,
    foreground,
    patch_features,
    principal_components,
    similarity,
)
from vitviz.pictures.groups import number_groups
from vitviz.pictures.input import input_picture
from vitviz.ui.controls.choice import choice
from vitviz.ui.controls.photo_picker import FILES, OWN, open_photo, sample_photos
from vitviz.ui.course.gallery import gallery_titles
from vitviz.ui.course.lesson import Lesson, Step
from vitviz.ui.course.widgets import captioned, chosen_patch, pick_patch, run_once, still_map
from vitviz.ui.parts.browser import URL
from vitviz.ui.visit import keys
from vitviz.ui.visit.analyse import analyse, see_sample
from vitviz.ui.visit.language import explained, label, t
from vitviz.ui.visit.markdown import as_code
from vitviz.ui.visit.session import Photo, Session
from vitviz.ui.visit.state import visit, without_frames
from vitviz.ui.visit.streamlit_private import forget_upload
from vitviz.ui.visit.turns import turn
from vitviz.zoo.load import bundled_models

SIDE = 640  # px of a picture, at least as many as are shown
SHADE = (
    "background-color: rgb(20 160 140 / {:.0%})"  # by day and at night, under the theme's letters
)
GROUPS = matplotlib.colormaps["tab10"]


def colours(session: Session) -> None:
    """The three main components as red, green and blue."""
    positions, shares = principal_components(_features(session))
    low, high = positions.amin(dim=(0, 1)), positions.amax(dim=(0, 1))
    shown = ((positions - low) / (high - low).clamp(min=1e-9)).numpy()
    _next_to_input(session, shown, t("beyond.colours.caption", share=f"{shares.sum():.0%}"))


def front(session: Session) -> None:
    """The first component cuts the patches in two."""
    positions, shares = principal_components(_features(session), 1)
    chosen = foreground(positions[..., 0]).numpy()
    picture = np.asarray(input_picture(session.rec.vit, session.rec.pixels)) / 255
    mask = _enlarged(chosen[..., None].astype(float), picture.shape[:2])
    shown = picture * (0.15 + 0.85 * mask)
    share, count = f"{shares[0]:.0%}", int(chosen.sum())
    _next_to_input(session, shown, t("beyond.front.caption", share=share, count=count))


def groups(session: Session) -> None:
    """K-means of the patch tokens."""
    count = st.slider(t("beyond.groups.count"), 2, 6, 3, key=keys.GROUPS, bind=URL)
    found = clusters(_features(session), count)
    text = t("beyond.groups.caption", count=count)
    _next_to_input(session, GROUPS(found)[..., :3], text, numbers=found)


def match(session: Session) -> None:
    """The chosen patch's best match in another photo."""
    other, found = _matched(session)
    best = divmod(int(found.argmax()), found.shape[1])
    left, right = st.columns(2)
    with left:
        pick_patch(session)
    with right:
        heat = Heatmap(found.clamp(min=0).numpy(), other.rec.box, "similarity")
        text = t("beyond.match.caption", row=best[0], col=best[1], alike=f"{found.max():.3f}")
        meaning, key = t("beyond.match.cosine"), keys.LESSON_MAPS.format("match")
        still_map(other, heat, meaning, text, key, [list(best)])
        st.caption(text)


def texts(session: Session) -> None:
    """Samples against class vectors, as CLIP matches photos and captions."""
    del session
    temperature = st.select_slider(
        t("beyond.texts.temperature"),
        (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
        0.05,
        key=keys.TEMPERATURE,
        bind=URL,
    )
    images, rows, names = _samples(bundled_models()[0])
    labels = [label(name) for name in names]
    shares = contrast(images, rows, temperature)
    titles = gallery_titles()
    table = pd.DataFrame(shares.numpy(), index=titles, columns=labels)
    st.table(table.style.format("{:.0%}").map(lambda share: SHADE.format(0.6 * share)))
    right = int((shares.argmax(dim=-1).numpy() == np.arange(len(titles))).sum())
    st.caption(t("beyond.texts.caption", right=right, count=len(titles)))


def task(session: Session) -> None:
    """How alike the two photos' best match is."""
    match(session)


def _features(session: Session) -> Tensor:
    return run_once(session.own, "patch features", None, lambda: patch_features(session.rec))


def _matched(session: Session) -> tuple[Session, Tensor]:
    """Another photo's session, and how alike each of its patches is to the chosen one."""
    other = analyse(_other_photo(), bundled_models()[0], "second")
    patch = chosen_patch(session)
    return other, similarity(_features(session)[patch], _features(other))


def _other_photo() -> Photo:
    """A sample, or a second photo of the visitor's own."""
    offered = sample_photos()
    first = list(offered)[1]
    chooser, menu = st.columns([3, 2], vertical_alignment="bottom")
    with menu:
        _second_photo_menu()
    if second := visit().second:
        offered[OWN] = t("beyond.match.own"), second
    if "second" in visit().arrived:
        visit().arrived.remove("second")
        st.query_params[keys.OTHER_PHOTO] = OWN
    key: str = choice(
        chooser.selectbox,
        t("beyond.match.other"),
        list(offered),
        first,
        keys.OTHER_PHOTO,
        lambda key: offered[key][0],
    )
    return offered[key][1]


def _second_photo_menu() -> None:
    """Bring a second photo, or take it back. One that was taken closes the menu and empties it."""
    taken = visit().second_taken
    with st.popover(
        t("beyond.match.bring"), icon=":material/add_a_photo:", key=keys.SECOND_MENU.format(taken)
    ):
        key = keys.SECOND_UPLOAD.format(taken)
        st.file_uploader(t("photo.upload"), FILES, key=key, on_change=_take_second, args=[key])
        if refused := visit().second_refused:
            name, error = refused
            st.error(f"{as_code(name)}: {explained(error)}", icon=":material/broken_image:")
        st.caption(t("beyond.match.promise"))
        if visit().second:
            st.button(t("photo.remove"), icon=":material/delete:", on_click=visit().forget_second)


def _take_second(key: str) -> None:
    """Keep the file if it is a photo; otherwise say why it is none."""
    state, file = visit(), st.session_state[key]
    state.second_refused = None
    if file is None:
        return
    with state.opening:
        try:
            state.second = open_photo(file.getvalue(), file.name)
        except ImageError as error:
            state.second_refused = file.name, without_frames(error)
            return
        forget_upload(file)
        state.second_taken += 1
        state.arrived.add("second")


@st.cache_data(show_spinner=False)
def _samples(model_name: str) -> tuple[Tensor, Tensor, list[str]]:
    """The samples' image vectors, the classifier's vectors of their best classes, their labels."""
    images, rows, labels = [], [], []
    for _, photo in sample_photos().values():
        rec = see_sample(photo, model_name).rec
        with turn():
            images.append(image_features(rec))
        best = next(p for p in rec.predictions if p.label not in labels)
        rows.append(class_score(rec, images[-1], best.index).weights)
        labels.append(best.label)
    return stack(images), stack(rows), labels


def _next_to_input(
    session: Session,
    shown: NDArray[np.floating],
    caption: str,
    numbers: NDArray[np.integer] | None = None,
) -> None:
    """The model's input, and a picture over the same part of the photo.

    Args:
        shown: colours from 0 to 1, (rows, cols, 3).
        numbers: to write into the patches, from 0.
    """
    left, right = st.columns(2)
    picture = input_picture(session.rec.vit, session.rec.pixels)
    text = t("beyond.input")
    with left:
        captioned(picture, text)
    drawn = Image.fromarray((np.clip(shown, 0, 1) * 255).astype(np.uint8))
    size = (SIDE, SIDE * drawn.height // drawn.width)
    drawn = drawn.resize(size, Image.Resampling.NEAREST)
    if numbers is not None:
        drawn = number_groups(drawn, numbers)
    with right:
        captioned(drawn, caption)


def _enlarged(values: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.floating]:
    """(rows, cols, 1) → (height, width, 1), each value over its patch."""
    rows, cols, _ = values.shape
    y, x = np.arange(size[0]) * rows // size[0], np.arange(size[1]) * cols // size[1]
    return values[y][:, x]


LESSON = Lesson(
    "beyond",
    (
        Step("colours", colours),
        Step("front", front, guess=True, sample="photographer"),
        Step("groups", groups),
        Step("match", match, guess=True, formula=r"\frac{x_i \cdot y_j}{|x_i|\,|y_j|}"),
        Step(
            "texts",
            texts,
            formula=r"\frac{e^{\cos(I, T_k) / \tau}}{\sum_j e^{\cos(I, T_j) / \tau}}",
        ),
    ),
    task,
    {
        "Oquab et al. 2023: DINOv2": "https://arxiv.org/abs/2304.07193",
        "Amir et al. 2021: Deep ViT features as dense visual descriptors": "https://arxiv.org/abs/2112.05814",
        "Radford et al. 2021: Learning transferable visual models (CLIP)": "https://arxiv.org/abs/2103.00020",
    },
)
