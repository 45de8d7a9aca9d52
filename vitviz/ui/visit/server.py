"""What the server that Streamlit starts needs to answer at once."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

INTERNET = (socket.AF_INET, socket.AF_INET6)


def send_at_once() -> None:
    """Set TCP_NODELAY on this process's sockets; connections inherit it from the listening one.

    Streamlit 1.67 binds its socket without naming TCP, so asyncio does not recognise it and leaves
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
