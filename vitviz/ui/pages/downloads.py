"""Files to take away, made when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import BinaryIO

import streamlit as st

from vitviz.heatmap import Heatmap
from vitviz.journey.page import Language, page
from vitviz.methods.attention import all_head_maps
from vitviz.pictures.export import write_attention, write_npz, write_png
from vitviz.pictures.figure import grid_figure
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
    scale: tuple[float, float] | None,
    name: str,
) -> None:
    """The picture in the photo's own size, the figure of all heads, and the numbers."""
    one = f"{name}_{heat.method}"

    def picture(file: BinaryIO) -> None:
        photo = opened(session.photo)
        with turn():
            drawn = overlay(photo, heat, look.colormap, look.alpha, smooth=look.smooth, scale=scale)
            write_png(drawn if query == "cls" else mark_patch(drawn, heat, query), file)

    def figure(file: BinaryIO) -> None:
        maps = all_head_maps(session.rec, query)
        layers = [t("sheet.layer", layer=layer) for layer in range(len(maps))]
        heads = [
            t("sheet.mean") if head is None else t("sheet.head", head=head) for head in maps[0]
        ]
        drawn = grid_figure(
            session.preview,
            [[heat.scaled(session.factor) for heat in of_layer.values()] for of_layer in maps],
            layers,
            heads,
            colormap=look.colormap,
            alpha=look.alpha,
            smooth=look.smooth,
            scale=scale,
        )
        drawn.savefig(file, format="png", dpi=150)

    with st.popover(t("download.heading"), icon=":material/download:"):
        download(t("download.picture"), picture, f"{one}.png")
        download(t("download.map"), lambda file: write_npz(heat, file), f"{one}.npz")
        download(t("download.figure"), figure, f"{name}_attention_heads.png")
        if session.rec.is_plain:
            journey_download(session, name, [heat])
        download(
            t("download.attention"),
            lambda file: write_attention(session.rec, file),
            f"{name}_attention.npz",
        )


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

    st.download_button(label, content, name, type="tertiary", on_click="ignore")
