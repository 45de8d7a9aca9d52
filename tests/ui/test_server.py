"""The server's sockets."""

from __future__ import annotations

import os
import socket

from vitviz.ui.visit.server import send_at_once


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
