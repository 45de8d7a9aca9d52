"""What the owner's own programs ask of a server, on a port that no visitor reaches: how it is
doing, and whether it takes visitors."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

import vitviz
from vitviz.ui.entry.log import log
from vitviz.ui.visit.admission import ADMISSION
from vitviz.ui.visit.analyse import shelf
from vitviz.ui.visit.streamlit_private import answers
from vitviz.ui.visit.turns import QUEUE

__all__ = ["Server", "serve_owner"]

PATIENCE = 2.0  # s within which the server's own thread has to do something

State = tuple[HTTPStatus, str]
STARTING: State = HTTPStatus.SERVICE_UNAVAILABLE, "starting"
READY: State = HTTPStatus.OK, "ready"
STUCK: State = HTTPStatus.SERVICE_UNAVAILABLE, "does not answer"
DRAINING: State = HTTPStatus.NOT_FOUND, "draining"  # HAProxy lets those stay who are there


class Server:
    """Whether this process takes visitors."""

    def __init__(self) -> None:
        self._state = STARTING

    @property
    def state(self) -> State:
        """The status that says so, and a word for it."""
        return STUCK if self._state is READY and not answers(PATIENCE) else self._state

    def answered(self) -> None:
        """The model has: the first page needs nothing more."""
        if self._state is STARTING:
            self._state = READY
            log.info("ready")

    def drain(self) -> None:
        """Take no more visitors, for good."""
        self._state = DRAINING


class Now(Collector):
    """What is counted when somebody asks."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def collect(self) -> Iterator[Metric]:
        """All gauges of this server."""
        yield InfoMetricFamily("vitviz", "Which Vitviz this is.", {"version": vitviz.__version__})
        ready = self._server.state is READY
        yield GaugeMetricFamily("vitviz_ready", "1 while it takes visitors.", float(ready))
        visitors = GaugeMetricFamily(
            "vitviz_visitors", "Open pages, those that wait outside included.", labels=["state"]
        )
        for state, count in zip(("inside", "waiting"), ADMISSION.present(), strict=True):
            visitors.add_metric([state], count)
        yield visitors
        works = GaugeMetricFamily(
            "vitviz_works", "Works at the model and before it.", labels=["queue", "state"]
        )
        for labels, count in QUEUE.lengths().items():
            works.add_metric(labels, count)
        yield works
        yield GaugeMetricFamily(
            "vitviz_models_in_memory", "Models, the bundled one included.", len(shelf())
        )


def serve_owner(server: Server, port: int) -> Callable[[], None]:
    """Answer /metrics and /ready on this port.

    Returns:
        What ends it; the end of the process does, too.

    Raises:
        OSError: if the port cannot be had.
    """

    address = os.environ.get("STREAMLIT_SERVER_ADDRESS", "")  # none is all of this machine's

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._say(HTTPStatus.OK, generate_latest(), CONTENT_TYPE_LATEST)
            elif self.path == "/ready":
                status, word = server.state
                self._say(status, word.encode(), "text/plain")
            else:
                self.send_error(HTTPStatus.NOT_FOUND)

        def _say(self, status: HTTPStatus, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: it is asked every second."""

    class Listening(ThreadingHTTPServer):
        daemon_threads = True
        address_family = socket.AF_INET6 if ":" in address else socket.AF_INET

        def handle_error(self, *_: object) -> None:
            """Nothing: who asked was content with the status, and has gone."""

    listening = Listening((address, port), Answer)
    disable_created_metrics()  # a time beside each number, which nobody asks for
    REGISTRY.register(Now(server))
    threading.Thread(target=listening.serve_forever, name="owner", daemon=True).start()
    return listening.shutdown
