"""Photos from an address that does not answer in time: it ends, and leaves nothing open."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from web_site import Site, all_closed, answer, refusal

from vitviz.photos import web as fetch


@pytest.mark.usefixtures("here_is_public")
def test_a_dripping_server_is_left_in_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every byte comes in time, but the photo never does; nothing is left waiting for it."""
    monkeypatch.setattr(fetch, "SECONDS", 0.5)
    gone = threading.Event()

    def drip(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        try:
            for _ in range(600):
                request.wfile.write(b"x")
                time.sleep(0.1)
        except OSError:
            gone.set()

    site.pages["/"] = drip
    assert refusal(site.url()) == "too_slow"
    assert gone.wait(timeout=30)


class Late:
    """Something that takes until after the deadline, and the threads that fetch meanwhile."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.workers: list[threading.Thread] = []

    def wait(self) -> None:
        self.over.wait(timeout=120)

    def worker_ends(self) -> bool:
        (worker,) = self.workers
        worker.join(timeout=60)
        return not worker.is_alive()


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> Iterator[Late]:
    late, real = Late(), fetch._follow

    def follow(*args: object) -> bytes:
        late.workers.append(threading.current_thread())
        return real(*args)

    monkeypatch.setattr(fetch, "_follow", follow)
    monkeypatch.setattr(fetch, "SECONDS", 1.0)
    yield late
    late.over.set()


@pytest.fixture
def slow_name(late: Late, monkeypatch: pytest.MonkeyPatch) -> str:
    """A name whose address is found too late."""
    real = fetch.public_address

    def resolve(host: str, port: int) -> str:
        if host == "slow.example":
            late.wait()
            return "127.0.0.1"
        return real(host, port)

    monkeypatch.setattr(fetch, "public_address", resolve)
    return "slow.example"


@pytest.mark.usefixtures("here_is_public")
def test_a_name_found_too_late_is_not_asked(
    site: Site, late: Late, slow_name: str, opened: list[socket.socket]
) -> None:
    assert refusal(site.url(host=slow_name)) == "too_slow"
    late.over.set()
    assert late.worker_ends()
    assert opened == []
    assert not site.seen


@pytest.mark.usefixtures("here_is_public")
def test_a_redirect_followed_too_late_ends(
    site: Site, late: Late, slow_name: str, opened: list[socket.socket]
) -> None:
    site.pages["/old"] = answer(b"", 302, Location=site.url("/new", host=slow_name))
    assert refusal(site.url("/old")) == "too_slow"
    late.over.set()
    assert late.worker_ends()
    assert len(opened) == 1
    assert all_closed(opened)
    assert [path for path, _ in site.seen] == ["/old"]


@pytest.mark.usefixtures("here_is_public")
def test_a_connection_made_too_late_is_closed(
    site: Site, late: Late, opened: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fetch.HTTPConnection.connect

    def connect(connection: fetch.HTTPConnection) -> None:
        late.wait()
        real(connection)

    monkeypatch.setattr(fetch.HTTPConnection, "connect", connect)
    assert refusal(site.url()) == "too_slow"
    late.over.set()
    assert late.worker_ends()
    assert len(opened) == 1
    assert all_closed(opened)
    assert not site.seen


@pytest.mark.usefixtures("here_is_public")
def test_a_silent_server_is_left_in_time(
    site: Site, late: Late, opened: list[socket.socket]
) -> None:
    site.pages["/"] = lambda _: late.wait()
    assert refusal(site.url()) == "too_slow"
    assert late.worker_ends()
    assert len(opened) == 1
    assert all_closed(opened)


@pytest.mark.usefixtures("here_is_public")
def test_a_server_that_never_shows_a_certificate_is_left_in_time(late: Late) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert refusal(f"https://127.0.0.1:{silent.getsockname()[1]}/") == "too_slow"
        assert late.worker_ends()
