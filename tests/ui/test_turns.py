"""Short work goes first, and whoever does long work waits in a queue that says what is before."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import streamlit as st
import torch
from streamlit.runtime.scriptrunner import RerunData, get_script_run_ctx
from streamlit.testing.v1 import AppTest
from visits import recording

import vitviz
from vitviz.ui.visit import analyse as analysing
from vitviz.ui.visit import turns, works
from vitviz.ui.visit.queue import Queue
from vitviz.ui.visit.turns import one_core, turn


@pytest.fixture(autouse=True)
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    """A new one."""
    monkeypatch.setattr(turns, "QUEUE", Queue())
    return turns.QUEUE


def is_free(queue: Queue) -> bool:
    """Whether nobody's work is begun or running."""
    with ExitStack() as held:
        try:
            held.enter_context(queue.long("somebody", "look", raise_it))
            held.enter_context(queue.short(raise_it))
        except RuntimeError:
            return False
    return True


def raise_it(_: object = None) -> None:
    raise RuntimeError


def five_comparisons_and_a_photo() -> None:
    import threading

    from vitviz.ui.visit.turns import turn
    from vitviz.ui.visit.works import begin, watch

    at_work, photo_is_looked_at = threading.Event(), threading.Event()
    batches = []

    def compare(work) -> None:
        for batch in range(3):
            at_work.set()
            photo_is_looked_at.wait(10)  # where it has to wait for batches, they go on
            batches.append(batch)
            work.progress(batch / 3)

    for name in "abcde":
        begin(name, None, compare)
    at_work.wait()
    with turn():
        assert not batches
        photo_is_looked_at.set()
    for name in "abcde":
        watch(name, "comparing")
    assert batches == [0, 1, 2] * 5  # and one comparison after the other


def test_a_photo_is_looked_at_before_any_further_batch_of_five_comparisons(queue: Queue) -> None:
    app = AppTest.from_function(five_comparisons_and_a_photo, default_timeout=120).run()
    assert not app.exception
    assert is_free(queue)


class Visitor:
    """One whose page does long or short work, and who may leave or click at any time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runs, self.begun, self.waits = 0, threading.Event(), threading.Event()
        look = turns.still_here

        def watched() -> None:
            self.waits.set()
            look()

        monkeypatch.setattr(turns, "still_here", watched)

    def page(self) -> int:
        """Which run of the page this is."""
        context = get_script_run_ctx()
        assert context is not None
        self.runner = context._enqueue.__self__  # type: ignore[attr-defined]
        self.runs += 1
        return self.runs

    def leave(self) -> None:
        self.runner.request_stop()

    def click(self) -> None:
        self.runner.request_rerun(RerunData())


def short_work(visitor) -> None:
    import streamlit as st

    from vitviz.ui.visit.turns import turn

    if visitor.page() == 1:
        with turn():
            raise AssertionError("nothing was free")
    st.text("another page")


class TestAVisitor:
    @pytest.fixture
    def visitor(self, monkeypatch: pytest.MonkeyPatch) -> Visitor:
        return Visitor(monkeypatch)

    @pytest.fixture(params=["leave", "click"])
    def ends(self, request: pytest.FixtureRequest, visitor: Visitor) -> Callable[..., None]:
        """The visitor does that, and the page is as it then shall be."""

        def end(app: AppTest, thread: threading.Thread) -> None:
            getattr(visitor, request.param)()
            thread.join()
            assert not app.exception
            clicked = request.param == "click"
            assert [text.value for text in app.text] == ["another page"] * clicked

        return end

    @staticmethod
    def start(page: Callable[..., None], visitor: Visitor) -> tuple[AppTest, threading.Thread]:
        app = AppTest.from_function(page, default_timeout=120, args=(visitor,))
        thread = threading.Thread(target=app.run, daemon=True)
        thread.start()
        return app, thread

    def test_ends_waiting_for_a_turn(self, queue: Queue, visitor: Visitor, ends: Any) -> None:
        with queue.short(), queue.short():
            app = self.start(short_work, visitor)
            visitor.waits.wait(60)
            ends(*app)
        assert is_free(queue)


def wait_in_the_queue(begun) -> None:
    from vitviz.ui.visit.works import carried_out

    carried_out("work", None, "working", lambda _: begun.set())


def test_who_waits_reads_what_is_before(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page that is left shows its last words."""
    begun, looks = threading.Event(), iter(range(12))

    def leave() -> None:
        if next(looks) == 11:
            st.stop()

    monkeypatch.setattr(works, "still_here", leave)
    with queue.long("somebody", "work", raise_it):
        app = AppTest.from_function(wait_in_the_queue, default_timeout=120, args=(begun,)).run()
        assert not begun.is_set()
    [bar] = app.get("progress")
    assert bar.proto.text == "Waiting, with 1 before you …"


def say(ahead: int, seconds: float | None, lang: str) -> None:
    import streamlit as st

    from vitviz.ui.visit.queue import Place
    from vitviz.ui.visit.turns import waiting

    st.query_params["lang"] = lang
    st.text(waiting(Place(ahead, seconds)))


@pytest.mark.parametrize(
    ("ahead", "seconds", "english", "chinese"),
    [
        (2, None, "2 before you …", "还有 2 个任务……"),
        (1, 0.0, "1 before you, about 5 s …", "还有 1 个任务，大约要等 5 秒……"),
        (2, 37.2, "2 before you, about 40 s …", "还有 2 个任务，大约要等 40 秒……"),
        (2, 90.0, "2 before you, about 90 s …", "还有 2 个任务，大约要等 90 秒……"),
        (9, 91.0, "9 before you, about 2 min …", "还有 9 个任务，大约要等 2 分钟……"),
    ],
)
def test_the_words(ahead: int, seconds: float | None, english: str, chinese: str) -> None:
    for lang, ending in (("en", english), ("zh", chinese)):
        app = AppTest.from_function(say, default_timeout=120, args=(ahead, seconds, lang)).run()
        assert not app.exception
        assert app.text[0].value.endswith(ending)


@pytest.fixture
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_threads_as_before")
@pytest.mark.parametrize(("visitors", "threads"), [(0, 4), (1, 4), (2, 2), (3, 1), (9, 1)])
def test_a_turn_has_the_cores_that_there_are_for_each_visitor(
    visitors: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "CORES", 4)
    monkeypatch.setattr(turns, "ADMISSION", SimpleNamespace(visitors=visitors))
    one_core()
    with turn():
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == 1


def open_photo() -> None:
    from vitviz.ui.controls.photo_picker import sample_photos
    from vitviz.ui.visit.analyse import analyse
    from vitviz.zoo.catalogue import BUNDLED

    analyse(sample_photos()["cat"][1], BUNDLED)


def open_a_strangers() -> None:
    import streamlit as st

    import vitviz
    from vitviz.ui.controls.photo_picker import open_photo
    from vitviz.ui.visit.opening import opened
    from vitviz.ui.visit.turns import turn

    with turn(), turn():
        photo = open_photo(vitviz.samples()[0].path.read_bytes(), "cat.jpg")
        st.text(opened(photo).size)


@pytest.mark.usefixtures("light")
def test_a_third_waits_while_two_run_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, waiting = threading.Event(), threading.Event()

    def watched(*args: Any, **kwargs: Any) -> Any:
        begun.set()
        return vitviz.record(*args, **kwargs)

    @contextmanager
    def watched_turn() -> Iterator[None]:
        waiting.set()
        with turn():
            yield

    monkeypatch.setattr(analysing, "record", watched)
    monkeypatch.setattr(analysing, "turn", watched_turn)
    app = AppTest.from_function(open_photo, default_timeout=120)
    third = threading.Thread(target=app.run)
    with turn(), turn():
        third.start()
        while not (waiting.is_set() or begun.is_set()):
            pass
        assert not begun.is_set()
    third.join()
    assert begun.is_set()
    assert isinstance(recording(app), vitviz.Recording)


def test_a_strangers_photo_is_opened_while_two_run_the_model() -> None:
    """Or a file that takes long would hold a turn."""
    app = AppTest.from_function(open_a_strangers, default_timeout=120).run()
    assert not app.exception
    assert app.text[0].value == "(451, 300)"
