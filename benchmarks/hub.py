"""How long it takes to hear that weights cannot be had, in every way that a hub can fail.

    python -m benchmarks.hub

A server on this machine plays the hub: it is not there, does not answer, answers with errors, sends
half a file, or a few bytes now and then. Each row is a whole `load_model` of a name whose weights
are not here, in seconds; the promise is less than ten.
"""

from __future__ import annotations

import http.server
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial

from huggingface_hub import constants

import vitviz

NAME = "vit_tiny_patch16_224.augreg_in21k"
SIZE = 39_000_000  # announced, never sent whole
Handler = http.server.BaseHTTPRequestHandler
Part = Callable[[Handler], object]

never = threading.Event()


def head(status: int, request: Handler) -> None:
    """What the hub says about a file."""
    request.send_response(status)
    request.send_header("x-repo-commit", "0" * 40)
    request.send_header("etag", '"etag"')
    request.send_header("content-length", str(SIZE if status == 200 else 0))
    request.end_headers()


def silence(_: Handler) -> None:
    never.wait()


def some(request: Handler) -> None:
    request.wfile.write(bytes(5_000_000))
    request.wfile.flush()
    never.wait()


def again_and_again(request: Handler) -> None:
    request.wfile.write(bytes(5_000_000))


def drip(request: Handler) -> None:
    while not never.wait(0.1):
        request.wfile.write(b"x")
        request.wfile.flush()


HUBS: dict[str, tuple[Part, Part]] = {
    "accepts, never answers": (silence, silence),
    "answers 404": (partial(head, 404), silence),
    "answers 401": (partial(head, 401), silence),
    "answers 503": (partial(head, 503), silence),
    "the page answers, the file never comes": (partial(head, 200), silence),
    "the file stops in the middle": (partial(head, 200), some),
    "the file breaks off, again and again": (partial(head, 200), again_and_again),
    "a byte every 0.1 s": (partial(head, 200), drip),
}


def seconds(address: str) -> tuple[float, str]:
    """Until loading ends, and what it says."""
    with tempfile.TemporaryDirectory() as cache:
        constants.ENDPOINT, constants.HF_HUB_CACHE = address, cache
        start = time.perf_counter()
        try:
            vitviz.load_model(NAME)
        except vitviz.ModelUnavailable as error:
            return time.perf_counter() - start, str(error).partition(";")[0]
    raise AssertionError("it was loaded")


def measured(page: Part, file: Part) -> tuple[float, str]:
    """With a hub that answers so."""

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            page(self)

        def do_GET(self) -> None:
            head(200, self)
            file(self)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        return seconds(f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()


def main() -> None:
    rows = {
        "no such host": seconds("http://hub.invalid"),
        "nobody listens": seconds("http://127.0.0.1:9"),
    }
    rows |= {name: measured(page, file) for name, (page, file) in HUBS.items()}
    print("| the hub | seconds | what is said |\n|---|---|---|")
    for name, (took, said) in rows.items():
        print(f"| {name} | {took:.1f} | {said} |")


if __name__ == "__main__":
    main()
