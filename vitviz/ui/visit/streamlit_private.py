"""Everything that is private in Streamlit and used all the same. Checked with Streamlit 1.67.

Another version may change it without notice: tests/ui/test_streamlit_private.py says what broke.
Besides the functions below, it relies on
- `HIDDEN_OPTIONS`, which .streamlit/config.toml sets;
- `TEST_IDS`, by which page.css finds Streamlit's own buttons to give them the visitor's language;
- the type of a component that `st.components.v2.component` returns.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any, NoReturn, cast

import streamlit as st
import streamlit.logger as streamlit_logger
from starlette.exceptions import HTTPException
from streamlit.components.v2.types import ComponentRenderer
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.runtime import RuntimeState
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.fragment import MemoryFragmentStorage
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import StopException, get_script_run_ctx
from streamlit.runtime.scriptrunner_utils.script_requests import ScriptRequestType
from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec
from streamlit.web.server.starlette.starlette_app_utils import decode_xsrf_token_string
from streamlit.web.server.starlette.starlette_server_config import XSRF_COOKIE_NAME

from vitviz.ui.visit.metrics import REFUSED

__all__ = [
    "HIDDEN_OPTIONS",
    "TEST_IDS",
    "ComponentRenderer",
    "answers",
    "browser",
    "connected",
    "drop_expired_sessions",
    "forget_upload",
    "go_to",
    "hear_of_crashes",
    "in_its_thread",
    "limit_uploads",
    "log_as",
    "log_of_uvicorn_as",
    "media_address",
    "remake_pages_of_others",
    "run_state",
    "send_at_once",
    "serving",
    "session_id",
    "still_here",
]

HIDDEN_OPTIONS = (
    "logger.enableRich",
    "runner.postScriptGC",
    "server.maxWidgetStateSize",
)
TEST_IDS = (
    "InputInstructions",
    "stCameraInputButton",
    "stCaptionContainer",
    "stElementToolbar",
    "stFileChips",
    "stFileUploaderDropzone",
    "stFileUploaderDropzoneInstructions",
    "stLayoutWrapper",
    "stMetricLabel",
    "stRadioOption",
    "stVegaLiteChart",
)
FILES, BYTES = 24, 96 * 2**20  # that wait for one visitor's page: a class's photos at once
ALL_BYTES = 512 * 2**20  # that wait for all visitors' pages
INTERNET = (socket.AF_INET, socket.AF_INET6)


def media_address(data: bytes, mimetype: str, place: str) -> str:
    """Where the browser finds these bytes, so that a redraw need not send them again.

    The address is made of their hash. It holds until the visitor leaves or `place` gets others.
    """
    files = st.runtime.get_instance().media_file_mgr
    base = st.get_option("server.baseUrlPath").strip("/")
    return f"/{base}".rstrip("/") + files.add(data, mimetype, place)


def go_to(page: str) -> NoReturn:
    """Show another page of the app, by its address, without what the address says of this one.

    `st.switch_page` alone refuses to where widgets are bound to the address.
    """
    context = get_script_run_ctx()
    assert context is not None  # a page's own run
    with context.session_state.query_params() as parameters:
        parameters.clear_with_no_forward_msg(preserve_embed=True)
    st.switch_page(st.Page(lambda: None, url_path=page))


def limit_uploads() -> None:
    """Refuse files when too many wait for the page to take them; Streamlit holds any number."""
    manager = cast(MemoryUploadedFileManager, st.runtime.get_instance().uploaded_file_mgr)
    add = manager.add_file

    def add_if_few(session_id: str, file: UploadedFileRec) -> None:
        waiting = {
            session: [len(other.data) for id, other in files.items() if id != file.file_id]
            for session, files in list(manager.file_storage.items())
        }
        own, new = waiting.get(session_id, []), len(file.data)
        total = sum(map(sum, waiting.values()))
        if len(own) >= FILES or sum(own) + new > BYTES or total + new > ALL_BYTES:
            REFUSED.labels("uploads_full").inc()
            raise HTTPException(413, "Too many files at once")
        add(session_id, file)

    manager.add_file = add_if_few  # type: ignore[method-assign]


def forget_upload(file: UploadedFile) -> None:
    """Drop a file that was taken: Streamlit holds it until the visitor leaves, although no field
    shows it any more."""
    context = get_script_run_ctx()
    assert context is not None
    manager = cast(MemoryUploadedFileManager, context.uploaded_file_mgr)
    manager.remove_file(context.session_id, file.file_id)


def drop_expired_sessions() -> None:
    """Forget the visitors who left more than server.disconnectedSessionTTL seconds ago. Streamlit
    does so only when another one leaves."""
    if not st.runtime.exists():  # it has stopped
        return
    server: Any = st.runtime.get_instance()
    sessions = server._session_mgr._session_storage._cache
    in_its_thread(sessions.expire)  # the cache belongs to it


def in_its_thread(do: Callable[..., object], *given: object) -> None:
    """Let the server's own thread, which is the process's first one, do something soon."""
    server: Any = st.runtime.get_instance()
    server._get_async_objs().eventloop.call_soon_threadsafe(do, *given)


def answers(seconds: float) -> bool:
    """Whether the server does anything within so many seconds; not to be asked in its thread."""
    done = Event()
    in_its_thread(done.set)
    return done.wait(seconds)


def remake_pages_of_others() -> None:
    """Make the whole page where a visitor clicks on a part of one that another server made: a
    browser that reconnects keeps its page. Streamlit would do nothing."""
    request_rerun = AppSession.request_rerun

    def remake_or_rerun(session: AppSession, client: ClientState | None) -> None:
        parts = cast(MemoryFragmentStorage, session._fragment_storage)
        if client and client.fragment_id and not parts._fragments:
            client.fragment_id = ""
        request_rerun(session, client)

    AppSession.request_rerun = remake_or_rerun  # type: ignore[assignment,method-assign]


def hear_of_crashes(listener: logging.Handler) -> None:
    """Of each error that a page did not expect."""
    logging.getLogger("streamlit.error_util").addHandler(listener)


def log_as(lines: logging.Formatter) -> None:
    """Before the server starts: how it writes what it logs."""
    set_up = streamlit_logger.setup_formatter

    def set_up_anew(log: Any) -> None:
        set_up(log)
        log.streamlit_console_handler.setFormatter(lines)

    streamlit_logger.setup_formatter = set_up_anew  # type: ignore[assignment]
    streamlit_logger.update_formatter()


def log_of_uvicorn_as(lines: logging.Formatter) -> None:
    """The same of what carries it, which makes its handlers anew when it starts."""
    for handler in logging.getLogger("uvicorn").handlers:
        handler.setFormatter(lines)


def session_id() -> str:
    """Of the browser's tab whose page this run makes; reconnecting does not change it."""
    context = get_script_run_ctx()
    assert context is not None
    return context.session_id


def run_state() -> object | None:
    """The session state as this run sees it: the same object throughout the run, and never another
    visitor's. None in a thread that makes no page."""
    context = get_script_run_ctx(suppress_warning=True)
    return context and context.session_state


def connected(session: str) -> bool:
    """Whether a session's tab is open; Streamlit keeps others for some minutes."""
    return st.runtime.get_instance().is_active_session(session)


def serving() -> bool:
    """Whether the server runs, and is not about to end."""
    ending = RuntimeState.STOPPING, RuntimeState.STOPPED
    return st.runtime.exists() and st.runtime.get_instance().state not in ending


def browser() -> str:
    """The same in all tabs of a browser, by the cookie that protects its uploads; where it has
    none, of this tab."""
    token, _ = decode_xsrf_token_string(st.context.cookies.get(XSRF_COOKIE_NAME, ""))
    return token.hex() if token else session_id()


def still_here() -> None:
    """End this run, as the next call of Streamlit would, if the visitor has left or clicked.

    Reading the session state looks for that, and sends the browser nothing; but a click on what
    only remakes a part of the page would wait for the end of this run. Does nothing in a thread
    that makes no page, such as a download's.
    """
    if context := get_script_run_ctx(suppress_warning=True):
        st.session_state.get("anything")
        asked = context.script_requests
        if asked and asked._state is ScriptRequestType.RERUN:
            raise StopException  # st.stop() would forget what was asked


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
