"""A web server of this machine for the tests of photos from the web."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from vitviz import ImageError
from vitviz.photos import web as fetch

PHOTO = b"a photo's bytes"
Handle = Callable[[BaseHTTPRequestHandler], None]


def refusal(url: str) -> str:
    """The id of what the visitor reads instead of getting the photo."""
    with pytest.raises(ImageError) as caught:
        fetch.fetch_image(url)
    return caught.value.id


def answer(body: bytes = PHOTO, status: int = 200, **headers: str) -> Handle:
    def handle(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return handle


def raw(data: bytes) -> Handle:
    def handle(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(data)

    return handle


class Site:
    """A web server of this machine with one function a path; `url` takes a path."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        pages: dict[str, Handle] = {}
        self.pages, self.seen = pages, (seen := [])

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append((self.path, self.headers["Host"]))
                pages[self.path](self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.scheme = "https" if context else "http"
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True).start()

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.server.server_port}{path}"


def all_closed(sockets: list[socket.socket]) -> bool:
    return all(sock.fileno() == -1 for sock in sockets)
