"""Everything that is private in Streamlit and used all the same. Checked with Streamlit 1.67.

Another version may change it without notice: tests/ui/test_streamlit_private.py says what broke.
Besides the functions below, it relies on
- `HIDDEN_OPTIONS`, which .streamlit/config.toml sets;
- `TEST_IDS`, by which page.css finds Streamlit's own buttons to give them the visitor's language;
- the type of a component that `st.components.v2.component` returns.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

__all__ = ["HIDDEN_OPTIONS", "TEST_IDS", "ComponentRenderer", "media_address", "send_at_once"]

HIDDEN_OPTIONS = (
    "runner.postScriptGC",
    "server.maxWidgetStateSize",
)
TEST_IDS = (
    "stCameraInputButton",
    "stCaptionContainer",
    "stFileUploaderDropzone",
    "stFileUploaderDropzoneInstructions",
    "stLayoutWrapper",
    "stMetricLabel",
)
INTERNET = (socket.AF_INET, socket.AF_INET6)


def media_address(data: bytes, mimetype: str, place: str) -> str:
    """Where the browser finds these bytes, so that a redraw need not send them again.

    The address is made of their hash. It holds until the visitor leaves or `place` gets others.
    """
    files = st.runtime.get_instance().media_file_mgr
    base = st.get_option("server.baseUrlPath").strip("/")
    return f"/{base}".rstrip("/") + files.add(data, mimetype, place)


def send_at_once() -> None:
    """Set TCP_NODELAY on this process's sockets; connections inherit it from the listening one.

    Streamlit binds its socket without naming TCP, so asyncio does not recognise it and leaves
    Nagle's algorithm on. A redraw is many small messages, which then wait for the browser's delayed
    acknowledgement, about 40 ms, while nothing runs.
    """
    folder = Path("/dev/fd")  # not on every system, and not in every container
    for file in folder.iterdir() if folder.is_dir() else ():
        with suppress(OSError):  # not a socket
            sock = socket.socket(fileno=int(file.name))
            try:
                if sock.type == socket.SOCK_STREAM and sock.family in INTERNET:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            finally:
                sock.detach()  # it stays its owner's
