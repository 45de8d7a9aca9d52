"""Memory that nobody uses goes back to the system."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import sys
import threading
import weakref
from collections.abc import Callable
from threading import Thread
from types import SimpleNamespace

import pytest
import streamlit as st
from streamlit.runtime.caching.ttl_cache import TTLCache
from streamlit.runtime.memory_session_storage import MemorySessionStorage

from vitviz.ui.visit import memory
from vitviz.ui.visit.streamlit_private import drop_expired_sessions


class Left:
    """A visitor's session."""


def test_visitors_who_left_long_ago_are_forgotten_though_nobody_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    storage = MemorySessionStorage()
    storage._cache = TTLCache(maxsize=8, ttl=120, timer=lambda: now[0])
    loop = asyncio.new_event_loop()
    server = SimpleNamespace(
        _session_mgr=SimpleNamespace(_session_storage=storage),
        _get_async_objs=lambda: SimpleNamespace(eventloop=loop),
    )
    monkeypatch.setattr(st.runtime, "exists", lambda: True)
    monkeypatch.setattr(st.runtime, "get_instance", lambda: server)
    one, other = Left(), Left()
    gone, here = weakref.ref(one), weakref.ref(other)
    storage._cache["one"] = one  # type: ignore[assignment]
    now[0] = 100
    storage._cache["other"] = other  # type: ignore[assignment]
    del one, other
    now[0] = 121
    drop_expired_sessions()
    loop.call_soon(loop.stop)
    running = Thread(target=loop.run_forever)  # Playwright's own may run in this one
    running.start()
    running.join()
    loop.close()
    gc.collect()
    assert gone() is None
    assert here() is not None


def test_what_the_servers_own_parts_must_have() -> None:
    from streamlit.runtime import Runtime
    from streamlit.runtime.websocket_session_manager import WebsocketSessionManager

    changed = f"Streamlit {st.__version__} keeps sessions in another way: see drop_expired_sessions"
    assert callable(getattr(Runtime, "_get_async_objs", None)), changed
    assert hasattr(MemorySessionStorage()._cache, "expire"), changed
    storage = MemorySessionStorage()
    manager = WebsocketSessionManager(storage, None, None, lambda: None)  # type: ignore[arg-type]
    assert manager._session_storage is storage, changed


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's heaps")
def test_the_heaps_are_trimmed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    library = SimpleNamespace(malloc_trim=asked.append)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    memory.give_back()
    assert asked == [0]
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())  # musl has none
    memory.give_back()


def test_the_thread_goes_on_and_ends_with_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Semaphore(0)
    at_the_end: list[Callable[[], object]] = []
    monkeypatch.setattr(memory.atexit, "register", at_the_end.append)
    monkeypatch.setattr(memory, "EVERY_SECONDS", 0.001)
    monkeypatch.setattr(memory, "drop_expired_sessions", lambda: None)
    monkeypatch.setattr(memory, "give_back", done.release)
    memory.give_back_again_and_again()
    assert all(done.acquire(timeout=60) for _ in range(3))
    [thread] = [thread for thread in threading.enumerate() if thread.name == "memory"]
    assert thread.daemon
    [end] = at_the_end
    end()
    assert not thread.is_alive()
