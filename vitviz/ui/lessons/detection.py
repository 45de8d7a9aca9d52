"""Boxes and masks from tokens."""

from __future__ import annotations

import re

import numpy as np
import streamlit as st
from torch import Tensor

from vitviz.heatmap import Box, Heatmap
from vitviz.inside.clicked_mask import clicked_scores
from vitviz.inside.features import patch_features
from vitviz.inside.lost import Found, centred_keys, find_object
from vitviz.inside.object_query import looked_at, looks_of
from vitviz.measures.boxes import LOCATED, box_of_map, overlap, placed
from vitviz.measures.composed import composed
from vitviz.methods.explain import explain
from vitviz.pictures.boxes import draw_boxes
from vitviz.pictures.overlay import overlay
from vitviz.pictures.spotlight import spotlight
from vitviz.recording.record import record
from vitviz.ui.controls.choice import choice
from vitviz.ui.course.lesson import Lesson, Step
from vitviz.ui.course.widgets import (
    OFFERED_CLASSES,
    captioned,
    choose_class,
    chosen_patch,
    for_all,
    pick_patch,
    run_once,
    still_map,
)
from vitviz.ui.parts.browser import URL
from vitviz.ui.parts.patch_map import patch_map
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import t
from vitviz.ui.visit.session import Look, Session

LOOK, BARE = Look("inferno", 0.6, True), Look("inferno", 0.0, True)
FOUND, TRUE = "#3ddc84", "white"  # colours of boxes
THING, BACKGROUND = "thing", "background"
EXAMPLE = {"photographer": {THING: [(8, 5)], BACKGROUND: [(3, 12)]}}  # a sample's first clicks
NAMED = 6  # characters of a photo's key in the address
SHARPEST = 4
Clicks = dict[str, list[tuple[int, int]]]


def seed(session: Session) -> None:
    """With how many patches each one is alike, and the one with fewest."""
    found = _found(session)
    photo, numbers = st.columns([2, 1])
    with photo:
        heat = Heatmap(found.alike.float().numpy(), session.rec.box, "alike")
        meaning = t("detection.seed.meaning")
        key = keys.LESSON_MAPS.format("alike")
        still_map(session, heat, meaning, meaning, key, [list(found.seed)])
    with numbers:
        fewest, middle = int(found.alike.min()), int(found.alike.median())
        st.metric(t("detection.seed.fewest", row=found.seed[0], col=found.seed[1]), fewest)
        st.metric(t("detection.seed.median"), middle)


def box(session: Session) -> None:
    """The patches that join the first, what is like all of them, and the box around it."""
    found = _found(session)
    joined, thing = st.columns(2)
    with joined:
        heat = _flags(session, found.seeds)
        text = t("detection.box.joined", count=int(found.seeds.sum()))
        captioned(spotlight(session.preview, heat.scaled(session.factor)), text)
    with thing:
        place = placed(found.corners, session.rec.grid, session.rec.box)
        lit = spotlight(session.preview, _flags(session, found.mask).scaled(session.factor))
        text = t("detection.box.thing", count=int(found.mask.sum()))
        captioned(draw_boxes(lit, [(_scaled(place, session.factor), FOUND)]), text)


def located(session: Session) -> None:
    """A picture whose box is known, with the box that is found."""
    pictures = composed()
    number = st.slider(
        t("detection.located.number"), 0, len(pictures) - 1, 0, key=keys.COMPOSED, bind=URL
    )
    chosen = pictures[number]

    def find() -> Box:
        rec = record(session.rec.vit, chosen.photo)
        corners = find_object(centred_keys(rec, rec.num_layers - 1)).corners
        return placed(corners, rec.grid, rec.box)

    place = run_once(for_all(), "located", number, find, len(pictures))
    picture, numbers = st.columns([2, 1])
    with picture:
        text = t("detection.located.boxes")
        captioned(draw_boxes(chosen.photo, [(place, FOUND)], dashed=[(chosen.box, TRUE)]), text)
    share = overlap(place, chosen.box)
    with numbers:
        st.metric(t("detection.located.overlap"), f"{share:.2f}")
        st.markdown(t(f"detection.located.{'hit' if share >= LOCATED else 'miss'}"))


def clicks(session: Session) -> None:
    """A mask from clicked patches of the thing and of the background."""
    kind: str = choice(
        st.segmented_control,
        t("detection.clicks.kind"),
        (THING, BACKGROUND),
        THING,
        keys.CLICKED_KIND,
        lambda name: t(f"detection.clicks.{name}"),
        required=True,
    )
    clicked = _clicked(session)
    photo, mask = st.columns(2)
    with photo:
        patch_map(
            session,
            Heatmap(np.zeros(session.rec.grid, np.float32), session.rec.box, "none"),
            None,
            BARE,
            query=None,
            scale=None,
            marks=[list(patch) for patch in clicked[THING]],
            crosses=[list(patch) for patch in clicked[BACKGROUND]],
            meaning="",
            alt=t("detection.clicks.alt"),
            key=keys.CLICKS_MAP,
            on_query=lambda: _click(session, kind),
        )
        st.button(
            t("detection.clicks.clear"), icon=":material/undo:", on_click=_clear, args=[session]
        )
    with mask:
        if not all(clicked.values()):
            st.info(t("detection.clicks.both"), icon=":material/ads_click:")
            return
        features = run_once(
            session.own, "patch features", None, lambda: patch_features(session.rec)
        )
        scores = clicked_scores(features, clicked[THING], clicked[BACKGROUND])
        heat = _flags(session, scores > 0).scaled(session.factor)
        count = sum(map(len, clicked.values()))
        text = t("detection.clicks.mask", clicks=count, count=int((scores > 0).sum()))
        captioned(spotlight(session.preview, heat), text)


def weak(session: Session) -> None:
    """A class's relevance, and the box around its largest part."""
    picture, controls = st.columns([2, 1])
    with controls:
        index = choose_class(session)
        title = t("detection.weak.share")
        share = st.slider(title, 0.05, 0.6, 0.2, 0.05, key=keys.BOX_SHARE, bind=URL)
    heat = run_once(
        session.results,
        "relevance box",
        index,
        lambda: explain(session.rec, "relevance", target=index),
        OFFERED_CLASSES,
    )
    place = _scaled(box_of_map(heat, share), session.factor)
    drawn = overlay(session.preview, heat.scaled(session.factor), alpha=0.5)
    with picture:
        captioned(draw_boxes(drawn, [(place, FOUND)]), t("detection.weak.caption"))


def queries(session: Session) -> None:
    """A query made of the chosen patch looks at all tokens, and its box."""
    rec = session.rec
    sharp = st.slider(
        t("detection.queries.sharp"), 1, SHARPEST, 1, key=keys.QUERY_SHARPNESS, bind=URL
    )
    offered = centred_keys(rec, rec.num_layers - 1)
    weights = looks_of(sharp * offered[chosen_patch(session)], offered)
    looks, drawn = st.columns(2)
    with looks:
        heat = Heatmap(weights.numpy(), rec.box, "cross-attention")
        pick_patch(session, heat, t("detection.queries.weight"))
    with drawn:
        place = _scaled(placed(looked_at(weights), rec.grid, rec.box), session.factor)
        captioned(draw_boxes(session.preview, [(place, FOUND)]), t("detection.queries.caption"))


def task(session: Session) -> None:
    """The clicks once more."""
    clicks(session)


def _found(session: Session) -> Found:
    rec = session.rec
    last = rec.num_layers - 1
    layer = st.slider(t("lesson.layer"), 0, last, last, key=keys.KEY_LAYER, bind=URL)
    return find_object(centred_keys(rec, layer))


def _flags(session: Session, flags: Tensor) -> Heatmap:
    return Heatmap(flags.float().numpy(), session.rec.box, "mask")


def _scaled(place: Box, factor: float) -> Box:
    left, top, right, bottom = (factor * edge for edge in place)
    return left, top, right, bottom


def _clicked(session: Session) -> Clicks:
    """The clicked patches of this photo, from the address; at first a sample's example."""
    named, *places = st.query_params.get(keys.CLICKS, "").split("_")
    if named != session.photo.key[:NAMED]:
        return EXAMPLE.get(session.photo.name, {THING: [], BACKGROUND: []})
    rows, cols = session.rec.grid
    found: Clicks = {THING: [], BACKGROUND: []}
    for place in places:
        if read := re.fullmatch(r"([tb])(\d+)-(\d+)", place):
            row, col = int(read[2]), int(read[3])
            if row < rows and col < cols:
                found[THING if read[1] == "t" else BACKGROUND].append((row, col))
    return found


def _click(session: Session, kind: str) -> None:
    """Add the clicked patch, or move it to the other kind."""
    query = st.session_state[keys.CLICKS_MAP].query
    if not query or query == "cls":
        return
    row, col = map(int, query.split(","))
    clicked = {
        name: [patch for patch in patches if patch != (row, col)]
        for name, patches in _clicked(session).items()
    }
    clicked[kind].append((row, col))
    _keep(session, clicked)


def _clear(session: Session) -> None:
    _keep(session, {THING: [], BACKGROUND: []})


def _keep(session: Session, clicked: Clicks) -> None:
    places = [f"{name[0]}{row}-{col}" for name, found in clicked.items() for row, col in found]
    st.query_params[keys.CLICKS] = "_".join((session.photo.key[:NAMED], *places))


LESSON = Lesson(
    "detection",
    (
        Step(
            "seed",
            seed,
            guess=True,
            formula=r"n_i = |\{\,j : k_i \cdot k_j \geq 0\,\}|",
            sample="tower",
        ),
        Step("box", box, sample="tower"),
        Step("located", located, formula=r"\mathrm{IoU} = \frac{|A \cap B|}{|A \cup B|}"),
        Step(
            "clicks",
            clicks,
            guess=True,
            formula=r"\min_W \sum_i (W x_i - y_i)^2 + \lambda\, |W|^2",
            sample="photographer",
        ),
        Step("weak", weak, sample="cat-and-coffee"),
        Step(
            "queries",
            queries,
            formula=r"a_j = \mathrm{softmax}_j\, \frac{q \cdot k_j}{\sqrt{d}}",
            sample="photographer",
        ),
    ),
    task,
    {
        "Siméoni et al. 2021: LOST, localizing objects with no labels": "https://arxiv.org/abs/2109.14279",
        "Carion et al. 2020: DETR, end-to-end object detection with Transformers": "https://arxiv.org/abs/2005.12872",
        "Zhou et al. 2016: Learning deep features for discriminative localization": "https://arxiv.org/abs/1512.04150",
        "Oquab et al. 2023: DINOv2": "https://arxiv.org/abs/2304.07193",
    },
)
