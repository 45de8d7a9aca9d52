"""Files to take away, made when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from typing import BinaryIO

import streamlit as st

from vitviz.heatmap import Heatmap, Scale
from vitviz.journey.document import has_journey
from vitviz.journey.page import Language, page
from vitviz.methods.attention import all_head_maps
from vitviz.pictures.export import write_attention, write_png
from vitviz.pictures.figure import draw_figure, save_figure
from vitviz.pictures.overlay import mark_patch, overlay
from vitviz.recording.query import Query
from vitviz.ui.visit.language import language, t
from vitviz.ui.visit.opening import opened
from vitviz.ui.visit.session import Look, Session
from vitviz.ui.visit.turns import turn


def downloads(
    session: Session,
    heat: Heatmap,
    query: Query,
    look: Look,
    scale: Scale | None,
    name: str,
) -> None:
    """The picture in the photo's own size, the figure of all heads, and the numbers."""
    picture = partial(_write_picture, session, heat, query, look, scale)
    figure = partial(_write_figure, session, query, look, scale)
    with st.popover(t("download.heading"), icon=":material/download:"):
        download(t("download.picture"), picture, f"{name}_{heat.method}.png")
        download(t("download.map"), heat.save, f"{name}_{heat.method}.npz")
        download(t("download.figure"), figure, f"{name}_attention_heads.png")
        if has_journey(session.rec):
            journey_download(session, name, [heat])
        numbers = partial(_write_attention, session)
        download(t("download.attention"), numbers, f"{name}_attention.npz")


def _write_picture(
    session: Session, heat: Heatmap, query: Query, look: Look, scale: Scale | None, file: BinaryIO
) -> None:
    """The overlay, with the patch that looks, in the photo's own size."""
    photo = opened(session.photo)
    with turn():
        drawn = overlay(photo, heat, look.colormap, look.alpha, smooth=look.smooth, scale=scale)
        write_png(drawn if query == "cls" else mark_patch(drawn, heat, query), file)


def _write_figure(
    session: Session, query: Query, look: Look, scale: Scale | None, file: BinaryIO
) -> None:
    """The maps of all layers and heads from the same query."""
    maps = list(all_head_maps(session.rec, query).values())
    rows = {
        t("sheet.layer", layer=layer): {
            t("sheet.mean") if head is None else t("sheet.head", head=head): heat.scaled(
                session.factor
            )
            for head, heat in of_layer.items()
        }
        for layer, of_layer in enumerate(maps)
        if of_layer
    }
    drawn = draw_figure(
        session.preview,
        rows,
        colormap=look.colormap,
        alpha=look.alpha,
        smooth=look.smooth,
        scale=scale or "own",
        label=t("download.scale" if scale else "download.own_scale"),
    )
    save_figure(drawn, file, "png")


def _write_attention(session: Session, file: BinaryIO) -> None:
    """The numbers of all layers and heads."""
    write_attention(session.rec, file)


def journey_download(session: Session, name: str, heats: Sequence[Heatmap] = ()) -> None:
    """The photo's journey as one file that needs no server."""
    tongue: Language = "zh" if language() == "zh" else "en"

    def write(file: BinaryIO) -> None:
        with turn():
            file.write(page(session.rec, heats, language=tongue).encode())

    download(t("download.journey"), write, f"{name}_journey.html")


def download(label: str, write: Callable[[BinaryIO], None], name: str) -> None:
    """A button that makes the file when it is pressed."""

    def content() -> bytes:
        buffer = BytesIO()
        write(buffer)
        return buffer.getvalue()

    st.download_button(
        label, content, name, type="tertiary", icon=":material/download:", on_click="ignore"
    )
