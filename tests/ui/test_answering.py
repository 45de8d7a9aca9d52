"""What the owner's programs are told of a server."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

import vitviz
from vitviz.errors import VitvizError
from vitviz.ui.entry import answering
from vitviz.ui.entry.answering import Now, Server, serve_owner
from vitviz.ui.visit import works
from vitviz.ui.visit.admission import Admission
from vitviz.ui.visit.metrics import refusals
from vitviz.ui.visit.queue import Queue


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """Whether the server's own thread answers."""
    state = {"answers": True}
    monkeypatch.setattr(answering, "answers", lambda _: state["answers"])
    return state


@pytest.fixture
def server(loop: dict[str, bool]) -> Server:
    assert loop["answers"]
    return Server()


def number(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


class TestServer:
    def test_it_is_ready_once_the_model_has_answered(self, server: Server) -> None:
        assert server.state == (503, "starting")
        server.answered()
        assert server.state == (200, "ready")

    def test_it_is_not_while_its_own_thread_hangs(
        self, server: Server, loop: dict[str, bool]
    ) -> None:
        server.answered()
        loop["answers"] = False
        assert server.state == (503, "does not answer")
        loop["answers"] = True
        assert server.state == (200, "ready")

    def test_draining_is_for_good(self, server: Server) -> None:
        server.drain()
        server.answered()  # the model is slow
        assert server.state == (404, "draining")


class TestNow:
    @pytest.fixture
    def registry(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> CollectorRegistry:
        self.open = {"a", "b", "c"}
        admission, self.queue = Admission(self.open.__contains__), Queue()
        for visitor in "abc":
            admission.enter(visitor, 2)
        monkeypatch.setattr(answering, "ADMISSION", admission)
        monkeypatch.setattr(answering, "QUEUE", self.queue)
        monkeypatch.setattr(answering, "shelf", lambda: ["a model", "another"])
        registry = CollectorRegistry()
        registry.register(Now(server))
        return registry

    def test_visitors_are_those_with_open_pages(self, registry: CollectorRegistry) -> None:
        def visitors(state: str) -> float | None:
            return registry.get_sample_value("vitviz_visitors", {"state": state})

        assert (visitors("inside"), visitors("waiting")) == (2, 1)
        self.open -= {"a", "c"}
        assert (visitors("inside"), visitors("waiting")) == (1, 0)

    def test_works_are_counted_where_they_are(self, registry: CollectorRegistry) -> None:
        def works(queue: str, state: str) -> float | None:
            return registry.get_sample_value("vitviz_works", {"queue": queue, "state": state})

        states = [(queue, state) for queue in ("short", "long") for state in ("runs", "waits")]
        assert [works(*state) for state in states] == [0, 0, 0, 0]
        with self.queue.short(), self.queue.short():
            assert [works(*state) for state in states] == [2, 0, 0, 0]
        with self.queue.long("a visitor", "a comparison", print):
            assert [works(*state) for state in states] == [0, 0, 1, 0]

    def test_the_rest(self, registry: CollectorRegistry, server: Server) -> None:
        assert registry.get_sample_value("vitviz_models_in_memory") == 2
        assert registry.get_sample_value("vitviz_info", {"version": vitviz.__version__}) == 1
        assert registry.get_sample_value("vitviz_ready") == 0
        server.answered()
        assert registry.get_sample_value("vitviz_ready") == 1


def test_a_refusal_is_counted_by_its_reason_and_goes_on() -> None:
    before = number("vitviz_refusals_total", reason="some_reason")
    with pytest.raises(VitvizError), refusals():
        raise VitvizError("some_reason", "A visitor's {name}.", name="cat.jpg")
    assert number("vitviz_refusals_total", reason="some_reason") == before + 1


def test_a_work_is_counted_by_its_kind_and_not_by_what_it_is_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = []

    visit = SimpleNamespace(works={}, model="a model")
    monkeypatch.setattr(works, "visit", lambda: visit)
    monkeypatch.setattr(works, "Work", lambda *given: begun.append(given))
    before = number("vitviz_work_seconds_count", kind="judged")
    works.begin("judged 281", None, lambda _: "found")
    assert begun[0][2](None) == "found"
    assert number("vitviz_work_seconds_count", kind="judged") == before + 1
    assert REGISTRY.get_sample_value("vitviz_work_seconds_count", {"kind": "judged 281"}) is None


class TestPort:
    @pytest.fixture
    def address(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
        monkeypatch.setenv("STREAMLIT_SERVER_ADDRESS", "127.0.0.1")
        registry = CollectorRegistry()
        monkeypatch.setattr(answering, "REGISTRY", registry)
        monkeypatch.setattr(answering, "generate_latest", lambda: b"vitviz_visitors 3\n")
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        stop = serve_owner(server, port)
        yield f"http://127.0.0.1:{port}"
        stop()

    def test_it_says_both(self, address: str, server: Server) -> None:
        server.answered()
        assert urllib.request.urlopen(f"{address}/ready").read() == b"ready"
        [family] = text_string_to_metric_families(
            urllib.request.urlopen(f"{address}/metrics").read().decode()
        )
        assert family.samples[0].value == 3

    @pytest.mark.parametrize(("path", "status"), [("/ready", 503), ("/", 404), ("/metrics/", 404)])
    def test_what_is_not_there(self, address: str, path: str, status: int) -> None:
        with pytest.raises(urllib.error.HTTPError) as met:
            urllib.request.urlopen(address + path)
        assert met.value.code == status

    def test_a_port_that_is_taken_is_an_error(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("STREAMLIT_SERVER_ADDRESS", "127.0.0.1")
        with (
            socket.create_server(("127.0.0.1", 0)) as other,
            pytest.raises(OSError, match="in use"),
        ):
            serve_owner(server, other.getsockname()[1])
