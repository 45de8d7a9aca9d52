"""A site that photos are fetched from."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from web_site import Site

from vitviz.photos import web as fetch


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.server.shutdown()
    site.server.server_close()


@pytest.fixture
def here_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's 127.0.0.1, and only that, counts as an address of the open internet."""
    real = fetch.is_public
    monkeypatch.setattr(fetch, "is_public", lambda text: text == "127.0.0.1" or real(text))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[socket.socket]:
    """Every socket that is connected to a site."""
    sockets: list[socket.socket] = []
    real = fetch.HTTPConnection.connect

    def connect(connection: fetch.HTTPConnection) -> None:
        real(connection)
        sockets.append(connection.sock)

    monkeypatch.setattr(fetch.HTTPConnection, "connect", connect)
    return sockets
