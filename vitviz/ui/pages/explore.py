"""The start page: a photo, what the model says it is, and where it looks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st
from PIL import Image
from streamlit.delta_generator import DeltaGenerator

from vitviz.errors import VitvizError
from vitviz.heatmap import Heatmap, Scale
from vitviz.methods.artefacts import artefact_patches, attention_sinks
from vitviz.methods.attention import HeadMaps, all_head_maps
from vitviz.methods.explain import METHODS, explain
from vitviz.models.labels import imagenet_names
from vitviz.pictures.input import show_input
from vitviz.pictures.overlay import COLORMAPS, colorize, shared_scale
from vitviz.recording.query import Query
from vitviz.recording.recording import Recording
from vitviz.ui.controls.model_picker import is_here, page_head
from vitviz.ui.controls.photo_picker import choose_photo
from vitviz.ui.controls.question import (
    FIRST,
    Question,
    click_hint,
    map_controls,
    map_meaning,
    method_title,
)
from vitviz.ui.pages.downloads import downloads
from vitviz.ui.pages.sheet import show_sheet
from vitviz.ui.parts.browser import URL
from vitviz.ui.parts.notices import left_out
from vitviz.ui.parts.patch_map import patch_map, quantised
from vitviz.ui.parts.prediction_bars import prediction_bars
from vitviz.ui.visit import keys
from vitviz.ui.visit.analyse import analyse, woken
from vitviz.ui.visit.language import explained, t
from vitviz.ui.visit.markdown import as_code, as_words
from vitviz.ui.visit.redraws import in_turn
from vitviz.ui.visit.session import Look, Photo, Session
from vitviz.ui.visit.state import visit
from vitviz.ui.visit.turns import turn
from vitviz.ui.visit.works import carried_out, give_up
from vitviz.zoo.catalogue import Offer

SLOW, MOST_SLOW = "slow answer", 8  # of a photo: what took long is kept longer
MOST_PATCHES = 1600  # whose rows are sent to the browser
MOST_ROWS = 96  # layers and heads of which a sample's are kept, 67 kB each for 256 patches
REGISTERS = "[Vision transformers need registers](https://arxiv.org/abs/2309.16588)"
MATRIX = (160, 160)  # px of a picture of a matrix


def page() -> None:
    """Photo and predictions first, then the map with its controls."""
    model = page_head(t("explore.title"))
    photo = choose_photo()
    if not is_here(model) or analysed(photo, model) is None:
        return
    explanations(photo)


@st.fragment
@in_turn
def explanations(photo: Photo) -> None:
    """What the controls change: after a click only this is made anew, and the rest of the page
    stays. Streamlit keeps it until the next page is complete, so it is given no recording."""
    session = woken(visit().recorded["main"])
    if is_whole() != session.whole:
        st.rerun()  # the whole page: the model looks at the photo again
    show, ask = st.columns([3, 2], gap="large")
    with ask:
        predictions(session.rec, photo)
        left_out(session.rec)
        question = map_controls(session.rec)
    with show:
        picture, note = st.container(key="picture"), st.empty()
        buttons = st.container(horizontal=True)
    with buttons:
        if session.rec.vit.anatomy.any_size_patch:
            st.toggle(t("explore.whole"), key=keys.WHOLE, bind=URL, help=t("explore.whole_help"))
        look, shared, marked = appearance_controls(question.method)
    scale = scale_of_all(session.rec, question.query) if shared else None
    heat = explanation(session, question, note)
    if heat:
        with show:
            marks = artefacts(session.rec) if marked else Marks()
        with picture:
            show_map(session, photo, heat, question, look, scale, marks)
        note.caption(click_hint(session.rec, question))
    else:
        with picture:
            show_without_map(session, photo, question)
    with buttons:
        if heat:
            downloads(session, heat, question.query, look, scale, Path(photo.name).stem)
        if st.button(t("explore.input"), icon=":material/grid_on:"):
            model_input(session.rec)
    if METHODS[question.method].raw_attention and looks_anywhere(session.rec, question.query):
        layer, head = question.options["layer"], question.options["head"]
        maps = partial(maps_of, session.rec, question.query)
        show_sheet(session, maps, look, scale, layer, head)


def analysed(photo: Photo, model: Offer) -> Session | None:
    """The photo as the model sees it; says what is wrong where it cannot be."""
    try:
        return analyse(photo, model.name, whole=is_whole())
    except VitvizError as error:
        st.error(f"{as_code(photo.name)}: {explained(error)}", icon=":material/error:")
        return None


def is_whole() -> bool:
    """Whether the model shall see the whole photo, by the switch or the address."""
    return bool(st.session_state.get(keys.WHOLE, st.query_params.get(keys.WHOLE) == "true"))


def maps_of(rec: Recording, query: Query, layers: Sequence[int]) -> dict[int, HeadMaps]:
    """All heads of these layers from this query, kept until the query changes."""
    kept = {layer: rec.derived.find((query, layer), "maps") for layer in layers}
    lacking = [layer for layer, maps in kept.items() if maps is None]
    made = all_head_maps(rec, query, lacking) if lacking else {}
    for layer, maps in made.items():
        rec.derived.keep((query, layer), maps, "maps", rec.num_layers)
    return kept | made


def scale_of_all(rec: Recording, query: Query) -> Scale | None:
    """One scale for all layers and heads."""
    maps = maps_of(rec, query, range(rec.num_layers)).values()
    heats = [heat for of_layer in maps for heat in of_layer.values()]
    return shared_scale(heats) if heats else None


def looks_anywhere(rec: Recording, query: Query) -> bool:
    """Whether there is a layer in which the query looks."""
    return any(rec.looks(layer, query) for layer in range(rec.num_layers))


def predictions(rec: Recording, photo: Photo) -> None:
    """The five most probable classes with bars, or the first five scores."""
    st.subheader(t("explore.sees"), anchor=False)
    if not rec.predictions:
        st.info(t("explore.no_classifier"))
        return
    prediction_bars(rec.predictions[:5])
    if rec.outputs != "softmax":
        st.caption(t(f"explore.{rec.outputs}"))
    if none_fits(rec.vit.labels, photo.classes):
        st.caption(t("explore.none_fits"))
    count, seconds = len(rec.predictions), f"{rec.seconds:.2f}"
    knows = "gives" if rec.outputs == "score" else "model"
    st.caption(t(f"explore.{knows}", name=as_words(rec.vit.name), count=count, seconds=seconds))


def none_fits(labels: Sequence[str], classes: Sequence[str] | None) -> bool:
    """Whether a model of ImageNet's classes knows none that fits what a sample shows."""
    known = set(labels)
    return classes is not None and known <= set(imagenet_names()) and known.isdisjoint(classes)


def appearance_controls(method: str) -> tuple[Look, bool, bool]:
    """How maps are drawn, whether all heads and layers share one scale, and whether artefact tokens
    and attention sinks are marked."""
    with st.popover(t("explore.appearance"), icon=":material/palette:"):
        colormap = st.selectbox(t("explore.colours"), COLORMAPS, key=keys.COLOURS, bind=URL)
        alpha = st.slider(t("explore.strength"), 0.0, 1.0, 0.6, 0.05, key=keys.STRENGTH, bind=URL)
        smooth = st.toggle(t("explore.smooth"), True, key=keys.SMOOTH, bind=URL)
        shared = st.toggle(
            t("explore.shared"),
            key=keys.SHARED_SCALE,
            bind=URL,
            disabled=not METHODS[method].raw_attention,
            help=t("explore.shared_help"),
        )
        marked = st.toggle(t("explore.artefacts"), key=keys.ARTEFACTS, bind=URL)
    return Look(colormap, alpha, smooth), shared and METHODS[method].raw_attention, marked


@dataclass(frozen=True)
class Marks:
    """Patches to mark, as [row, column]."""

    artefacts: list[list[int]] = field(default_factory=list)
    sinks: list[list[int]] = field(default_factory=list)


def artefacts(rec: Recording) -> Marks:
    """The artefact tokens and the attention sinks, with what they are."""
    try:
        found = Marks(
            artefact_patches(rec).nonzero().tolist(), attention_sinks(rec).nonzero().tolist()
        )
    except VitvizError as error:
        st.caption(explained(error))
        return Marks()
    counts = {"artefacts": len(found.artefacts), "sinks": len(found.sinks)}
    st.caption(t("explore.artefacts_found", **counts, paper=REGISTERS))
    return found


def show_map(
    session: Session,
    photo: Photo,
    heat: Heatmap,
    question: Question,
    look: Look,
    scale: Scale | None,
    marks: Marks,
) -> None:
    """The photo under its heatmap."""
    rec, method, query = session.rec, METHODS[question.method], question.query
    rows, cols = heat.values.shape
    meaning, title = map_meaning(rec, question), method_title(method.id)
    patch_map(
        session,
        heat,
        patch_rows(session, question),
        look,
        query=None if query == "cls" else rec.cell(query, (rows, cols)),
        scale=scale,
        marks=marks.artefacts,
        crosses=marks.sinks,
        meaning=meaning,
        alt=t("map.alt", photo=photo.alt, method=title, meaning=meaning),
        key=keys.PATCH_MAP,
        on_query=partial(pin_query, (rows, cols)) if takes_query(rec, question) else None,
    )


def patch_rows(session: Session, question: Question) -> bytes | None:
    """Where each patch looks in the chosen layer and head, see `quantised`, computed once for all
    visitors of a sample; None for a method that would have to compute it, or a layer with too many
    patches or none that look at all."""
    if not METHODS[question.method].raw_attention:
        return None
    rec, layer, head = session.rec, question.options["layer"], question.options["head"]
    if rec.kind(layer) != "global" or math.prod(rec.layer_grid(layer)) > MOST_PATCHES:
        return None
    rows: bytes | None = session.results.find((layer, head), "rows")
    if rows is None:
        attention = rec.attention(layer)
        chosen = attention.mean(dim=0) if head is None else attention[head]
        prefix = len(chosen) - math.prod(rec.layer_grid(layer))
        rows = quantised(chosen[prefix:, prefix:].numpy())
        session.results.keep((layer, head), rows, "rows", MOST_ROWS if session.common else None)
    return rows


def explanation(session: Session, question: Question, note: DeltaGenerator) -> Heatmap | None:
    """The heatmap, kept until the question changes; None, and why in `note`, where the method does
    not apply."""
    rec, method = session.rec, METHODS[question.method]
    arguments: dict[str, Any] = {**question.options, **question.classes}
    asked = partial(explain, rec, question.method, question.query, **arguments)
    try:
        if method.slow:
            return slow_explanation(session, question, asked, note)

        def compute() -> Heatmap:
            with turn() if method.needs_gradient else nullcontext():
                return asked()

        return rec.derived.get(question.key, compute, "answer", most=1)
    except VitvizError as error:
        note.warning(explained(error), icon=":material/block:")
        return None


def slow_explanation(
    session: Session, question: Question, asked: Callable[..., Heatmap], note: DeltaGenerator
) -> Heatmap:
    """One that runs the model many times: in `note` it says how far it is, with a button to stop
    it. Another such question stops it too; another page or method does not."""
    derived = session.rec.derived
    found: Heatmap | None = derived.find(question.key, SLOW)
    if found is None:
        with note.container(horizontal=True, vertical_alignment="center"):
            st.button(t("explore.stop"), on_click=stop_asking)
            found = carried_out(
                SLOW,
                (derived, question.key),
                t("explore.asking"),
                lambda work: derived.keep(
                    question.key, asked(progress=work.progress), SLOW, MOST_SLOW
                ),
            )
    return found


def stop_asking() -> None:
    """Another method, which is quick."""
    give_up(SLOW)
    st.session_state[keys.METHOD] = FIRST


def takes_query(rec: Recording, question: Question) -> bool:
    """Whether a click on a patch can start from it."""
    method = METHODS[question.method]
    by_class_token = method.raw_attention and (
        rec.kind(question.options["layer"]) == "class attention"
    )
    return method.has_query and not by_class_token


def show_without_map(session: Session, photo: Photo, question: Question) -> None:
    """What is shown where a method does not apply: the photo alone, or the matrices of a layer
    whose channels look at channels."""
    rec, layer = session.rec, question.options.get("layer", 0)
    if not METHODS[question.method].raw_attention or rec.kind(layer) != "channel":
        st.image(session.preview, width="stretch", alt=photo.alt)
        return
    heads = rec.attention(layer).numpy()
    names = [t("sheet.head", head=head) for head in range(len(heads))]
    pictures = [colorize(matrix, COLORMAPS[0], (0.0, float(matrix.max()))) for matrix in heads]
    enlarged = [Image.fromarray(p).resize(MATRIX, Image.Resampling.NEAREST) for p in pictures]
    st.caption(t("explore.channels", channels=heads.shape[1]))
    st.image(enlarged, caption=names, width=MATRIX[0], alt=names)


def pin_query(grid: tuple[int, int]) -> None:
    """A click on the photo, under a map of this grid, becomes the query. Streamlit keeps what it
    calls until the next page is complete, so this holds no recording."""
    rec: Recording = visit().recorded["main"].rec
    query = st.session_state[keys.PATCH_MAP].query
    if query != "cls":
        row, col = map(int, query.split(","))
        query = ",".join(map(str, rec.patch_in((row, col), grid)))
    st.session_state[keys.QUERY] = "" if query == "cls" else query


def model_input(rec: Recording) -> None:
    """What the model was given, with its patch grid."""
    rows, cols = rec.grid
    height, width = rec.pixels.shape[1:]
    text = t("explore.input_size", width=width, height=height, rows=rows, cols=cols)

    @st.dialog(t("explore.all_input"))
    def dialog() -> None:
        st.image(show_input(rec), caption=text, alt=text, width="stretch")

    dialog()
