"""What the page relies on in Streamlit's private parts; each test says in a sentence what a newer
version broke."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import re
import socket
import tomllib
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
import streamlit as st
import streamlit.logger as streamlit_logger
from starlette.exceptions import HTTPException
from streamlit import config
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.runtime import Runtime
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.fragment import MemoryFragmentStorage
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import (
    RerunData,
    StopException,
)
from streamlit.runtime.scriptrunner_utils.script_requests import ScriptRequests
from streamlit.runtime.uploaded_file_manager import UploadedFileRec
from streamlit.runtime.websocket_session_manager import WebsocketSessionManager
from streamlit.testing.v1 import AppTest
from streamlit.web.server.starlette import starlette_routes, starlette_server
from streamlit.web.server.starlette.starlette_app_utils import generate_xsrf_token_string
from streamlit.web.server.starlette.starlette_server_config import XSRF_COOKIE_NAME

from vitviz.ui.visit import streamlit_private
from vitviz.ui.visit.state import VISIT
from vitviz.ui.visit.streamlit_private import (
    HIDDEN_OPTIONS,
    TEST_IDS,
    answers,
    browser,
    limit_uploads,
    log_as,
    media_address,
    remake_pages_of_others,
    send_at_once,
    still_here,
)

ROOT = Path(__file__).parents[2]
NOW = f"Streamlit {st.__version__}"


class FakeRuntime:
    """A server that has what manages files and nothing else."""

    def __init__(self) -> None:
        self.media_file_mgr = MediaFileManager(MemoryMediaFileStorage("/media"))
        self.uploaded_file_mgr = MemoryUploadedFileManager("/upload")


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


def take_the_upload() -> None:
    import streamlit as st

    from vitviz.ui.visit.streamlit_private import forget_upload

    if file := st.file_uploader("Photo"):
        forget_upload(file)


class TestUploads:
    @pytest.fixture
    def manager(self, monkeypatch: pytest.MonkeyPatch) -> MemoryUploadedFileManager:
        runtime = FakeRuntime()
        monkeypatch.setattr(st.runtime, "get_instance", lambda: runtime)
        limit_uploads()
        return runtime.uploaded_file_mgr

    def test_the_server_hands_files_to_its_manager(self) -> None:
        assert isinstance(inspect.getattr_static(Runtime, "uploaded_file_mgr"), property), (
            f"{NOW}: the running server has no manager of uploads any more"
        )
        assert "upload_mgr.add_file(" in inspect.getsource(starlette_routes), (
            f"{NOW}: uploads reach their manager in another way, past limit_uploads"
        )

    def test_a_visitor_has_few_files_waiting(self, manager: MemoryUploadedFileManager) -> None:
        for number in range(24):
            manager.add_file("one", UploadedFileRec(str(number), "a", "image/png", b"1"))
        manager.add_file("one", UploadedFileRec("0", "a", "image/png", b"22"))  # in its place
        with pytest.raises(HTTPException) as met:
            manager.add_file("one", UploadedFileRec("24", "a", "image/png", b"1"))
        assert met.value.status_code == 413
        manager.add_file("another", UploadedFileRec("24", "a", "image/png", b"1"))
        manager.remove_file("one", "3")
        manager.add_file("one", UploadedFileRec("24", "a", "image/png", b"1"))

    def test_a_visitor_has_few_bytes_waiting(self, manager: MemoryUploadedFileManager) -> None:
        data = bytes(24 * 2**20)
        for name in "abcd":
            manager.add_file("one", UploadedFileRec(name, name, "image/png", data))
        with pytest.raises(HTTPException):
            manager.add_file("one", UploadedFileRec("e", "e", "image/png", b"1"))
        manager.remove_session_files("one")
        manager.add_file("one", UploadedFileRec("e", "e", "image/png", b"1"))

    def test_all_visitors_have_few_bytes_waiting(self, manager: MemoryUploadedFileManager) -> None:
        data = bytes(64 * 2**20)
        for number in range(8):
            manager.add_file(str(number), UploadedFileRec("a", "a", "image/png", data))
        with pytest.raises(HTTPException):
            manager.add_file("another", UploadedFileRec("e", "e", "image/png", b"1"))
        manager.remove_session_files("3")
        manager.add_file("another", UploadedFileRec("e", "e", "image/png", b"1"))

    def test_a_file_that_was_taken_is_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        left = []
        remove = MemoryUploadedFileManager.remove_file

        def watched(manager: MemoryUploadedFileManager, session_id: str, file_id: str) -> None:
            assert len(manager.get_files(session_id, [file_id])) == 1
            remove(manager, session_id, file_id)
            left.append(manager.get_files(session_id, [file_id]))

        monkeypatch.setattr(MemoryUploadedFileManager, "remove_file", watched)
        app = AppTest.from_function(take_the_upload).run()
        app.file_uploader[0].upload("a.png", b"1", "image/png").run()
        assert not app.exception
        assert left == [[]]


def ask_who_is_here() -> None:
    import streamlit as st

    from vitviz.ui.visit.streamlit_private import browser, connected, session_id

    st.text(session_id())
    st.text(browser())
    st.text(connected(session_id()))


def look_for_ever(seen) -> None:
    from streamlit.runtime.scriptrunner import get_script_run_ctx

    from vitviz.ui.visit.streamlit_private import still_here

    context = get_script_run_ctx()
    assert context is not None
    seen.append(context._enqueue.__self__)
    while True:
        still_here()
        seen[0].request_stop()


class TestVisitors:
    def test_the_server_says_whose_page_is_open(self) -> None:
        assert list(inspect.signature(Runtime.is_active_session).parameters) == [
            "self",
            "session_id",
        ], f"{NOW}: the server does not say any more whose page is open"

        class Stored:
            """Sessions of which one is kept for a reconnection."""

            def get(self, session_id: str) -> str | None:
                return "kept" if session_id == "left" else None

        manager = WebsocketSessionManager(Stored(), None, None, lambda: None)  # type: ignore[arg-type]
        manager._active_session_info_by_id["here"] = None  # type: ignore[assignment]
        assert manager.is_active_session("here")
        assert not manager.is_active_session("left"), f"{NOW}: who left counts as being here"

    def test_a_page_knows_its_session(self) -> None:
        app = AppTest.from_function(ask_who_is_here).run()
        assert not app.exception
        session, browser, is_here = (text.value for text in app.text)
        assert session == "test session id", f"{NOW}: a session's id is found in another place"
        assert browser == session  # without a cookie
        assert is_here

    def test_all_tabs_of_a_browser_have_one_cookie(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is written anew, in other letters, for each of them."""
        changed = f"{NOW}: the cookie against forged uploads is another one"
        token = b"one browser" + bytes(5)
        letters = {generate_xsrf_token_string(token, 1) for _ in range(3)}
        assert len(letters) == 3, changed
        found = set()
        for cookie in letters:
            monkeypatch.setattr(type(st.context), "cookies", {XSRF_COOKIE_NAME: cookie})
            found.add(browser())
        assert found == {token.hex()}, changed

    def test_a_broken_cookie_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(streamlit_private, "session_id", lambda: "a tab")
        for cookie in ("", "x", "2|", "2|a|b|c", "2|00000000|é|1"):
            monkeypatch.setattr(type(st.context), "cookies", {XSRF_COOKIE_NAME: cookie})
            assert browser() == "a tab"

    def test_looking_ends_the_run_of_one_who_left(self) -> None:
        seen: list[Any] = []
        app = AppTest.from_function(look_for_ever, args=(seen,), default_timeout=60).run()
        assert not app.exception
        assert len(seen) == 1, f"{NOW}: reading the session state does not end a run any more"

    def test_looking_does_nothing_where_no_page_is_made(self) -> None:
        still_here()


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


def test_a_click_on_a_part_of_the_page_ends_what_asks_whether_the_visitor_is_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Streamlit itself lets it wait until the run ends."""
    requests = ScriptRequests()
    context = SimpleNamespace(script_requests=requests)
    monkeypatch.setattr(streamlit_private, "get_script_run_ctx", lambda **_: context)
    still_here()
    requests.request_rerun(RerunData(fragment_id="a part"))
    assert requests.on_scriptrunner_yield() is None, f"{NOW}: still_here need not look by itself"
    with pytest.raises(StopException):
        still_here()


def test_the_session_state_of_a_run_is_the_same_for_each_of_its_calls() -> None:
    def script() -> None:
        import streamlit as st

        from vitviz.ui.visit.state import VISIT, visit
        from vitviz.ui.visit.streamlit_private import run_state

        assert run_state() is run_state() is not None
        st.text(visit() is visit() is st.session_state[VISIT])

    first, second = AppTest.from_function(script).run(), AppTest.from_function(script).run()
    assert [app.text[0].value for app in (first, second, first.run())] == ["True"] * 3
    assert first.session_state[VISIT] is not second.session_state[VISIT]


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


class TestItsThread:
    @pytest.fixture
    def loop(self, monkeypatch: pytest.MonkeyPatch) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        server = SimpleNamespace(_get_async_objs=lambda: SimpleNamespace(eventloop=loop))
        monkeypatch.setattr(st.runtime, "get_instance", lambda: server)
        return loop

    def test_it_answers_while_it_runs(self, loop: asyncio.AbstractEventLoop) -> None:
        thread = Thread(target=loop.run_forever)
        thread.start()
        assert answers(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        assert not answers(0.01)
        loop.close()


def test_every_logger_of_streamlit_gets_the_format(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are made later, too."""
    monkeypatch.setattr(streamlit_logger, "setup_formatter", streamlit_logger.setup_formatter)
    lines = logging.Formatter("%(message)s")
    early = streamlit_logger.get_logger("vitviz.tests.early")
    try:
        log_as(lines)
        late = streamlit_logger.get_logger("vitviz.tests.late")
        for log in (early, late):
            assert [handler.formatter for handler in log.handlers] == [lines], (
                f"{NOW}: loggers are set up in another way"
            )
    finally:
        monkeypatch.undo()
        streamlit_logger.update_formatter()


@pytest.mark.parametrize(("has_made", "asked"), [(False, ""), (True, "a part")])
def test_a_part_of_a_page_that_another_server_made_is_the_whole_page(
    has_made: bool, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = f"{NOW} looks for the parts of a page in another way"
    assert "client_state.fragment_id" in inspect.getsource(AppSession.request_rerun), changed
    assert "MemoryFragmentStorage()" in inspect.getsource(AppSession.__init__), changed
    seen: list[str] = []
    monkeypatch.setattr(
        AppSession, "request_rerun", lambda _, client: seen.append(client.fragment_id)
    )
    remake_pages_of_others()
    parts = MemoryFragmentStorage()
    if has_made:
        parts.register("another part", print)
    session = SimpleNamespace(_fragment_storage=parts)
    AppSession.request_rerun(session, ClientState(fragment_id="a part"))  # type: ignore[arg-type]
    assert seen == [asked]
