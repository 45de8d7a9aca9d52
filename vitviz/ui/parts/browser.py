"""What the page's own components share: their files and how numbers travel to the browser."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from vitviz.pictures.export import as_jpeg
from vitviz.ui.visit.streamlit_private import ComponentRenderer, media_address

URL: Any = "query-params"  # binds a widget to the address
FOLDER = Path(__file__).parent / "components"


def component(name: str, *parts: str) -> ComponentRenderer:
    """The component in components/<name>.html, .css and .js, and parts of scripts it shares."""
    html, css, js = ((FOLDER / f"{name}.{kind}").read_text() for kind in ("html", "css", "js"))
    js = "\n".join([*((FOLDER / f"{part}.js").read_text() for part in parts), js])
    return st.components.v2.component(f"vitviz_{name}", html=html, css=css, js=js)


def as_text(data: bytes | NDArray[Any]) -> str:
    """Bytes, or an array's in row order, as base64."""
    raw = data if isinstance(data, bytes) else np.ascontiguousarray(data).tobytes()
    return b64encode(raw).decode("ascii")


def thumbnail(photo: Image.Image, side: int) -> str:
    """A small copy with at most `side` pixels along its longer side, as a data address."""
    small = photo.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return "data:image/jpeg;base64," + as_text(as_jpeg(small))


def numbers_address(data: bytes, place: str) -> str:
    """Where the browser finds an array's bytes: they travel only when they change."""
    return media_address(data, "application/octet-stream", place)
