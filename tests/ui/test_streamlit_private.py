"""What the page relies on in Streamlit's private parts; each test says in a sentence what a newer
version broke."""

from __future__ import annotations

import inspect
import os
import re
import socket
import tomllib
from pathlib import Path

import pytest
import streamlit as st
from streamlit import config
from streamlit.runtime import Runtime
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
from streamlit.web.server.starlette import starlette_server

from vitviz.ui.visit.streamlit_private import (
    HIDDEN_OPTIONS,
    TEST_IDS,
    media_address,
    send_at_once,
)

ROOT = Path(__file__).parents[2]
NOW = f"Streamlit {st.__version__}"


class FakeRuntime:
    """A server that has a media manager and nothing else."""

    def __init__(self) -> None:
        self.media_file_mgr = MediaFileManager(MemoryMediaFileStorage("/media"))


class TestMedia:
    def test_the_server_has_a_media_manager(self) -> None:
        assert isinstance(inspect.getattr_static(Runtime, "media_file_mgr"), property), (
            f"{NOW}: the running server has no media manager any more"
        )

    def test_a_place_keeps_its_last_file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        runtime = FakeRuntime()
        monkeypatch.setattr(st.runtime, "get_instance", lambda: runtime)
        first, again, other = (
            media_address(data, "image/jpeg", "a") for data in [b"1", b"1", b"2"]
        )
        changed = f"{NOW}: the media manager names files in another way"
        assert first == again != other, changed
        assert first.startswith("/media/"), changed
        assert first.endswith(".jpg"), changed
        runtime.media_file_mgr.remove_orphaned_files()
        files = [
            runtime.media_file_mgr.read_file(name.split("/")[-1][:-4]) for name in (first, other)
        ]
        assert files[0] is None, f"{NOW}: the media manager keeps what a place does not show"
        assert files[1] is not None, f"{NOW}: the media manager drops what a place shows"
        assert files[1].content == b"2"

    def test_the_address_has_the_servers_path(self, monkeypatch: pytest.MonkeyPatch) -> None:
        runtime = FakeRuntime()
        monkeypatch.setattr(st.runtime, "get_instance", lambda: runtime)
        monkeypatch.setattr(st, "get_option", {"server.baseUrlPath": "/maps/"}.get)
        assert media_address(b"1", "image/jpeg", "a").startswith("/maps/media/")


def test_the_hidden_options_are_there() -> None:
    """And config.toml sets no other."""
    settings = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    known = config.get_config_options()
    names = [
        f"{part}.{name}"
        for part, options in settings.items()
        for name, value in options.items()
        if not isinstance(value, dict)
    ]
    missing = [name for name in names if name not in known]
    assert not missing, f"{NOW}: the options {missing} are gone"
    hidden = {name for name in names if known[name].visibility == "hidden"}
    assert hidden == set(HIDDEN_OPTIONS), f"{NOW}: options are hidden or shown that were not"


def test_the_buttons_that_get_our_words_are_there() -> None:
    style = (ROOT / "vitviz" / "ui" / "page.css").read_text()
    assert set(re.findall(r'data-testid="(\w+)"', style)) == set(TEST_IDS)
    scripts = list((Path(st.__file__).parent / "static").rglob("*.js"))
    code = "".join(script.read_text(encoding="utf-8") for script in scripts)
    missing = [name for name in TEST_IDS if f'"{name}"' not in code and f"`{name}`" not in code]
    assert not missing, f"{NOW}: the page has no elements {missing} any more"


def test_streamlit_still_needs_help_with_its_socket() -> None:
    source = inspect.getsource(starlette_server._bind_socket)
    assert "TCP_NODELAY" not in source, f"{NOW} sends at once by itself: send_at_once may go"


def nodelay(sock: socket.socket) -> int:
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_connections_send_at_once() -> None:
    """Those that are open, and those that the listening socket accepts later."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as early:
            assert not nodelay(early)
            send_at_once()
            assert nodelay(early)
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as late:
            assert nodelay(late)


def test_no_file_is_kept_open() -> None:
    """Whoever reads from a pipe waits until nobody holds its other end."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    send_at_once()
    os.close(writing)
    assert os.read(reading, 1) == b""  # BlockingIOError if it were still open somewhere
    os.close(reading)


def test_other_sockets_stay_as_they_are() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        send_at_once()
        assert datagrams.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_DGRAM
