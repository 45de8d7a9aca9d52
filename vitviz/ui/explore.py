"""The start page: a photo, what the model says it is, and where it looks."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import streamlit as st

from vitviz.errors import ImageError, VitvizError
from vitviz.export import write_npz, write_png
from vitviz.heatmap import Heatmap
from vitviz.images import load_image, samples
from vitviz.methods import METHODS, explain
from vitviz.methods.option import Choice, Head, Layer, Whole
from vitviz.overlay import COLORMAPS, mark_patch, overlay, show_input
from vitviz.recording import Query, Recording
from vitviz.ui.patch_map import patch_map, patch_rows
from vitviz.ui.session import Session, analyse
from vitviz.zoo import bundled_models

FILES = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "heic", "heif"]
URL: Any = "query-params"


def page() -> None:
    """Photo and predictions first, then the map with its controls."""
    st.title("See what a Vision Transformer looks at", anchor=False)
    data, name, alt = choose_photo()
    try:
        session = analyse(data, bundled_models()[0])
    except ImageError as error:
        st.error(f"{as_code(name)}: {error}", icon=":material/broken_image:")
        return
    except VitvizError as error:
        st.error(str(error), icon=":material/error:")
        return
    show, ask = st.columns([3, 2], gap="large")
    with ask:
        predictions(session.rec)
        method, query, options = map_controls(session.rec)
        colormap, alpha, smooth = appearance()
    with show:
        show_map(session, method, query, options, (colormap, alpha, smooth), alt, name)
    model_input(session.rec)


def choose_photo() -> tuple[bytes, str, str]:
    """The photo's bytes, its name and its description: an upload, or one of the samples."""
    offered = {sample.id: sample for sample in samples()}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.pills(
            "Photo",
            list(offered),
            format_func=lambda key: offered[key].title,
            default=next(iter(offered)),
            required=True,
            key="sample",
            bind=URL,
        )
        with st.popover("Your own photo", icon=":material/upload:"):
            upload = st.file_uploader("Upload a photo", FILES, key="upload")
            st.caption(
                "It is analysed on this server, and neither stored nor shown to anyone else."
            )
    if upload is not None:
        return upload.getvalue(), upload.name, "Your photo"
    sample = offered[chosen]
    return sample.path.read_bytes(), sample.id, sample.alt


def predictions(rec: Recording) -> None:
    """The five most probable classes with bars."""
    st.subheader("What it sees", anchor=False)
    if not rec.predictions:
        st.info("This model has no classifier, so there are no predictions; its maps are exact.")
    for prediction in rec.predictions[:5]:
        st.progress(prediction.probability, f"{prediction.label} · {prediction.probability:.1%}")
    st.caption(
        f"{rec.vit.name} · {rec.seconds * 1000:.0f} ms · knows {len(rec.predictions)} classes"
    )


def map_controls(rec: Recording) -> tuple[str, Query, dict[str, Any]]:
    """Method, query and the method's options."""
    st.subheader("Where it looks", anchor=False)
    method = st.segmented_control(
        "Method",
        list(METHODS),
        format_func=lambda key: METHODS[key].title,
        default="attention",
        required=True,
        key="method",
        bind=URL,
        help="\n".join(f"- **{m.title}**: {m.question} ({m.reference})" for m in METHODS.values()),
    )
    st.caption(METHODS[method].question)
    options = {name: control(rec, method, name) for name in METHODS[method].options}
    text = st.text_input(
        "Query",
        placeholder="cls",
        key="query",
        bind=URL,
        help="The token that looks: click a patch, or type its row and column such as 5,7; "
        "leave it empty (or cls) for the class token.",
    )
    return method, parse_query(rec, text), options


def control(rec: Recording, method: str, name: str) -> Any:
    """The widget for one option of a method."""
    option = METHODS[method].options[name]
    key = f"{method}_{name}"
    if isinstance(option, Layer):
        first = option.default % rec.num_layers
        return st.slider(option.title, 0, rec.num_layers - 1, first, key=key, bind=URL)
    if isinstance(option, Head):
        heads = ["mean", *map(str, range(rec.num_heads(0)))]
        head = st.pills(option.title, heads, default="mean", required=True, key=key, bind=URL)
        return None if head == "mean" else int(head)
    if isinstance(option, Choice):
        return st.segmented_control(
            option.title, option.choices, default=option.default, required=True, key=key, bind=URL
        )
    step = 1 if isinstance(option, Whole) else 0.05
    return st.slider(option.title, option.low, option.high, option.default, step, key=key, bind=URL)


def parse_query(rec: Recording, text: str) -> Query:
    """The query in the text field; anything that is not a patch of this grid is the class token."""
    try:
        row, col = map(int, text.split(","))
        rec.query_weights((row, col))
    except (ValueError, VitvizError):
        if text.strip().lower() not in ("", "cls"):
            rows, cols = rec.grid
            st.warning(f"{as_code(text)} is not a patch; use cls or 0,0 to {rows - 1},{cols - 1}.")
        return "cls"
    return row, col


def as_code(text: str) -> str:
    """A visitor's words shown as they are: no Markdown, no links."""
    return f"`{text.replace('`', '’')}`"


def appearance() -> tuple[str, float, bool]:
    """Colour map, strength and smoothing."""
    with st.popover("Appearance", icon=":material/palette:"):
        colormap = st.selectbox("Colour map", COLORMAPS, key="colours", bind=URL)
        alpha = st.slider("Strength", 0.0, 1.0, 0.6, 0.05, key="strength", bind=URL)
        smooth = st.toggle("Smooth", True, key="smooth", bind=URL)
    return colormap, alpha, smooth


def show_map(
    session: Session,
    method: str,
    query: Query,
    options: dict[str, Any],
    look: tuple[str, float, bool],
    alt: str,
    name: str,
) -> None:
    """The photo under its heatmap, and the downloads."""
    rec = session.rec
    try:
        heat = explain(rec, method, query, **options)
    except VitvizError as error:
        st.warning(str(error), icon=":material/block:")
        return
    colormap, alpha, smooth = look
    patch_map(
        session,
        heat,
        patch_rows(rec, options["layer"], options["head"]) if method == "attention" else None,
        query=None if query == "cls" else query,
        colormap=colormap,
        alpha=alpha,
        smooth=smooth,
        scale=heat.range,
        alt=f"{alt} {METHODS[method].title} from {'the class token' if query == 'cls' else query}.",
        key="patch_map",
        on_query=pin_query,
    )
    if not rec.has_class_token:
        st.caption(f"This model has no class token: “cls” stands for {rec.cls_means}.")
    downloads(session, heat, query, look, f"{name.rsplit('.', 1)[0]}_{method}")


def pin_query() -> None:
    """A click on the photo becomes the query."""
    query = st.session_state["patch_map"].query
    st.session_state["query"] = "" if query == "cls" else query


def downloads(
    session: Session, heat: Heatmap, query: Query, look: tuple[str, float, bool], name: str
) -> None:
    """The overlay in the photo's own size and the numbers; made when asked for."""

    def png() -> bytes:
        photo = load_image(session.data)
        picture = overlay(photo, heat, look[0], look[1], smooth=look[2])
        if query != "cls":
            picture = mark_patch(picture, heat, query)
        buffer = BytesIO()
        write_png(picture, buffer)
        return buffer.getvalue()

    def npz() -> bytes:
        buffer = BytesIO()
        write_npz(heat, buffer)
        return buffer.getvalue()

    with st.container(horizontal=True):
        st.download_button("Picture (PNG)", png, f"{name}.png", icon=":material/download:")
        st.download_button("Numbers (NPZ)", npz, f"{name}.npz", icon=":material/download:")


def model_input(rec: Recording) -> None:
    """What the model was given, with its patch grid."""
    rows, cols = rec.grid
    details = st.expander(
        "What the model was given", icon=":material/grid_on:", key="input", on_change="rerun"
    )
    if details.open:  # drawn only when somebody looks
        height, width = rec.pixels.shape[1:]
        text = f"Its own input: {width} × {height} px in {rows} × {cols} patches."
        details.image(show_input(rec), caption=text, alt=text, width=448)
