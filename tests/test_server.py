"""The server's sockets."""

from __future__ import annotations

import socket

from vitviz.ui.server import send_at_once


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
