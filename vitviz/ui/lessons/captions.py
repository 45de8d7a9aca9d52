"""Photos and words in one space."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
from PIL import Image
from torch import Tensor, stack

from vitviz.inside.classifier import image_features
from vitviz.photos.load import load_image
from vitviz.recording.record import record
from vitviz.text.captions import bridge_from, held_out, patches_for_words, photo_in_words
from vitviz.text.contrastive import Contrast, contrast_pairs, training_steps
from vitviz.text.record import text_vectors
from vitviz.ui.controls.choice import choice
from vitviz.ui.controls.photo_picker import sample_photos
from vitviz.ui.course.gallery import gallery_titles
from vitviz.ui.course.lesson import Lesson, Step
from vitviz.ui.course.widgets import (
    UPRIGHT,
    captioned,
    for_all,
    run_once,
    still_map,
)
from vitviz.ui.course.words import in_words, lines_of, text_model, vectors_of
from vitviz.ui.parts.browser import URL, thumbnail
from vitviz.ui.parts.chart import draw_chart
from vitviz.ui.visit import keys
from vitviz.ui.visit.analyse import model, see_sample
from vitviz.ui.visit.language import label, t
from vitviz.ui.visit.presenting import presented
from vitviz.ui.visit.session import Session
from vitviz.ui.visit.turns import turn
from vitviz.zoo.load import bundled_models

LETTERS = 120  # of a caption
TEMPERATURES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
LEARNING_TAU, MOST_STEPS = 0.1, 40
VIEWS = ("scores", "rows", "columns")
WORDS = ("a cat", "a dog", "a cup of coffee", "snowy mountains", "an astronaut")
LIMITS = ("a cat", "no cat", "a photo without a cat", "two cats", "a cat on the moon")
EXAMPLE = "a cat"
# A batch: a sample, the part of its width that is shown, and what stands for its caption.
PAIRS = (
    ("cat", (0.0, 1.0), "a ginger cat looking at the camera"),
    ("coffee", (0.0, 1.0), "a cup of espresso on a table"),
    ("mountains", (0.0, 1.0), "snowy mountains"),
    ("tower", (0.0, 1.0), "a Chinese temple among trees"),
    ("photographer", (0.0, 1.0), "a man with a camera on a tripod"),
    ("astronaut", (0.0, 1.0), "an astronaut in a space suit"),
    ("cat-and-coffee", (0.0, 0.5), "a cat"),
    ("cat-and-coffee", (0.5, 1.0), "a cup of coffee"),
)


@in_words
def space(session: Session) -> None:
    """How alike the photo and some texts are."""
    lines = lines_of(
        st.text_area(
            t("captions.space.words"), "\n".join(WORDS), height=presented(150), key=keys.ASKED_WORDS
        )
    )
    if not lines:
        st.info(t("captions.space.empty"), icon=":material/info:")
        return
    found = vectors_of(session.own, lines, "words of the photo") @ _in_words(session)
    _beside_photo(session, lines, found)


@in_words
def batch(session: Session) -> None:
    """Eight pairs against each other, by the bridge that comes with Vitviz."""
    del session
    left, right = st.columns(2)
    with left:
        temperature = st.select_slider(
            t("captions.batch.temperature"), TEMPERATURES, 0.05, key=keys.TAU, bind=URL
        )
    with right:
        view = _view()
    _, photos, texts = _batch(bundled_models()[0])
    _show(contrast_pairs(photos, texts, temperature), view)


@in_words
def learn(session: Session) -> None:
    """A bridge of one's own, trained on the batch from random numbers."""
    del session
    left, right = st.columns(2)
    with left:
        steps = st.slider(t("captions.learn.steps"), 0, MOST_STEPS, 0, key=keys.TAU_STEPS, bind=URL)
    with right:
        view = _view()
    features, _, texts = _batch(bundled_models()[0])
    found = run_once(
        for_all(),
        "learned pairs",
        None,
        lambda: training_steps(features, texts, LEARNING_TAU, MOST_STEPS),
    )
    _show(found[steps], view)


@in_words
def search(session: Session) -> None:
    """Which photo of the gallery answers."""
    text = _typed(t("captions.search.words"))
    [vector] = vectors_of(session.own, (text,), "caption")
    titles, photos = _gallery(bundled_models()[0])
    _bars(titles, photos @ vector, t("captions.photo"))


@in_words
def where(session: Session) -> None:
    """Which patches of the photo answer."""
    first, second = st.columns(2)
    with first:
        text = _typed(t("captions.search.words"))
    with second:
        rather = st.text_input(
            t("captions.where.rather"), "", max_chars=LETTERS, key=keys.RATHER_THAN
        ).strip()
    asked = (text, rather) if rather else (text,)
    found = vectors_of(session.own, asked, "captions")
    direction = found[0] - found[1] if rather else found[0]
    heat = run_once(
        session.own,
        "patches for words",
        asked,
        lambda: patches_for_words(session.rec, direction),
    )
    still_map(session, heat, t("captions.where.meaning"), t("captions.where.alt"), keys.WORDS_MAP)


@in_words
def unseen(session: Session) -> None:
    """Names that the bridge was not fitted to: how often the right one comes first."""
    found = held_out()
    tried = (
        (len(found.classes), found.among_held_out),
        (found.all_classes, found.among_all),
    )
    table = pd.DataFrame(
        {
            t("captions.unseen.choice"): t("captions.unseen.among", count=f"{count:,}"),
            t("captions.unseen.first"): _beside(shares[0], 1 / count),
            t("captions.unseen.five"): _beside(shares[1], 5 / count),
        }
        for count, shares in tried
    )
    st.table(table.set_index(t("captions.unseen.choice")))
    st.caption(t("captions.unseen.caption", photos=found.photos, classes=len(found.classes)))
    names = [f"a photo of a {name}" for name in found.classes]
    cosines = vectors_of(for_all(), tuple(names), "held-out names") @ _in_words(session)
    best = cosines.argsort(descending=True)[:5].tolist()
    _bars([label(found.classes[i]) for i in best], cosines[best], t("captions.unseen.name"))


@in_words
def limits(session: Session) -> None:
    """What the words around a thing change, and what they do not."""
    found = vectors_of(for_all(), LIMITS, "limits") @ _in_words(session)
    _beside_photo(session, LIMITS, found)


@in_words
def task(session: Session) -> None:
    """The photo's best of the visitor's words, and where it answers."""
    where(session)


def _beside(share: float, chance: float) -> str:
    return t("captions.unseen.beside", share=f"{share:.1%}", chance=f"{chance:.1%}")


def _view() -> str:
    """Which numbers of a batch are shown."""
    chosen: str = choice(
        st.segmented_control,
        t("captions.batch.view"),
        VIEWS,
        VIEWS[0],
        keys.PAIRS_AS,
        lambda name: t(f"captions.batch.{name}"),
        required=True,
    )
    return chosen


def _typed(title: str) -> str:
    """A caption to look for, kept from step to step in the address."""
    held = st.query_params.get(keys.CAPTION) or EXAMPLE
    text = st.text_input(title, held, max_chars=LETTERS, key=keys.CAPTION_FIELD)
    if text == EXAMPLE:
        st.query_params.pop(keys.CAPTION, None)
    else:
        st.query_params[keys.CAPTION] = text
    return text


def _in_words(session: Session) -> Tensor:
    """The photo's vector in the space of texts."""
    return run_once(session.own, "in words", None, lambda: photo_in_words(session.rec))


def _beside_photo(session: Session, words: Sequence[str], cosines: Tensor) -> None:
    """The photo, and how alike it is to some words."""
    photo, bars = st.columns([2, 3])
    with photo:
        captioned(session.preview, t("captions.photo"))
    with bars:
        _bars(list(words), cosines, t("captions.words"))


def _bars(names: list[str], cosines: Tensor, title: str) -> None:
    """How alike each is, the most alike first."""
    table = pd.DataFrame({"name": names, "alike": cosines.tolist()})
    bars = alt.Chart(table).mark_bar()
    draw_chart(
        bars.encode(
            x=alt.X("alike", title=t("captions.alike")),
            y=alt.Y("name", title=None, sort="-x", axis=alt.Axis(labelLimit=presented(200))),
            tooltip=[
                alt.Tooltip("name", title=title),
                alt.Tooltip("alike", title=t("captions.alike"), format=".3f"),
            ],
        ),
        height=60 + 36 * len(names),
    )


def _show(found: Contrast, view: str) -> None:
    """The pairs' matrix, what is in it, and the loss."""
    numbers = {
        "scores": found.scores,
        "rows": found.texts_of_photos,
        "columns": found.photos_of_texts,
    }[view].numpy()
    size = len(numbers)
    table = pd.DataFrame(
        {"photo": row, "text": col, "value": float(numbers[row, col])}
        for row, col in np.ndindex(numbers.shape)
    )
    named = [
        alt.Tooltip("photo", title=t("captions.photo")),
        alt.Tooltip("text", title=t("captions.text")),
        alt.Tooltip("value", title=t("captions.batch.number"), format=".3f"),
    ]
    limits = [float(numbers.min()), float(numbers.max())] if view == "scores" else [0, 1]
    cells = alt.Chart(table).encode(
        x=alt.X("text:O", title=t("captions.text"), axis=UPRIGHT),
        y=alt.Y("photo:O", title=t("captions.photo")),
        tooltip=named,
    )
    scale = alt.Scale(scheme="viridis", domain=limits)
    bright = alt.datum.value > (limits[0] + limits[1]) / 2
    matrix, pairs = st.columns([3, 2])
    with matrix:
        draw_chart(
            cells.mark_rect().encode(color=alt.Color("value", scale=scale, legend=None))
            + cells.mark_text(fontSize=presented(11)).encode(
                text=alt.Text("value", format=".1f" if view == "scores" else ".0%"),
                color=alt.when(bright).then(alt.value("#111")).otherwise(alt.value("#fff")),
            ),
            height=300,
            alt=t("captions.batch.alt"),
        )
    with pairs:
        st.html(_listed(_photos()))
    first, second = st.columns(2)
    first.metric(t("captions.batch.loss"), f"{float(found.loss):.3f}")
    second.metric(t("captions.batch.chance", count=size), f"{math.log(size):.3f}")


def _listed(photos: list[Image.Image]) -> str:
    """The pairs of the batch, numbered from 0."""
    rows = (
        f'<li><img src="{thumbnail(photo, 56)}" alt="">{number} · {html.escape(text)}</li>'
        for number, (photo, (_, _, text)) in enumerate(zip(photos, PAIRS, strict=True))
    )
    return f'<ul class="pairs">{"".join(rows)}</ul>'


@st.cache_data(show_spinner=False)
def _photos() -> list[Image.Image]:
    """The photos of the batch."""
    found = []
    for name, (left, right), _ in PAIRS:
        photo = load_image(sample_photos()[name][1].data)
        box = (round(left * photo.width), 0, round(right * photo.width), photo.height)
        found.append(photo.crop(box))
    return found


@st.cache_data(show_spinner=False)
def _batch(model_name: str) -> tuple[Tensor, Tensor, Tensor]:
    """Of the pairs: the photos' class tokens, where the bridge takes them, the texts' vectors."""
    vit, features, photos = model(model_name), [], []
    for photo in _photos():
        with turn():
            rec = record(vit, photo)
            features.append(image_features(rec))
        photos.append(bridge_from(rec)(features[-1]))
    with turn():
        texts = text_vectors(text_model(), [text for *_, text in PAIRS])
    return stack(features), stack(photos), texts


def _gallery(model_name: str) -> tuple[list[str], Tensor]:
    """The samples' titles and their vectors in the space of texts."""
    return gallery_titles(), _gallery_vectors(model_name)


@st.cache_data(show_spinner=False)
def _gallery_vectors(model_name: str) -> Tensor:
    found = []
    for _, photo in sample_photos().values():
        seen = see_sample(photo, model_name)
        with turn():
            found.append(photo_in_words(seen.rec))
    return stack(found)


LESSON = Lesson(
    "captions",
    (
        Step("space", space, formula=r"\cos(I, T) = \frac{I \cdot T}{|I|\,|T|}"),
        Step(
            "batch",
            batch,
            guess=True,
            formula=r"L = -\frac{1}{2n}\sum_i \left(\ln\, p_{ii} + \ln\, p'_{ii}\right)",
        ),
        Step("learn", learn),
        Step("search", search),
        Step("where", where),
        Step("unseen", unseen, sample="tower"),
        Step("limits", limits, guess=True),
    ),
    task,
    {
        "Radford et al. 2021: Learning transferable visual models (CLIP)": "https://arxiv.org/abs/2103.00020",
        "Zhai et al. 2022: LiT, zero-shot transfer with locked-image text tuning": "https://arxiv.org/abs/2111.07991",
        "Yuksekgonul et al. 2023: When and why vision-language models behave like bags-of-words": "https://arxiv.org/abs/2210.01936",
    },
)
