"""Long works go on while their page is left, and end where nobody waits for them any more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import streamlit as st
from lesson_pages import answer
from lesson_pages import opened as lesson
from light_model import light_pages
from pages import opened as page
from streamlit.runtime.scriptrunner import RerunData, get_script_run_ctx
from streamlit.testing.v1 import AppTest
from visits import session, visit

from vitviz.errors import VitvizError
from vitviz.ui.visit import turns, work, works
from vitviz.ui.visit.queue import Queue
from vitviz.ui.visit.work import Work


@pytest.fixture(autouse=True)
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    """A new one."""
    monkeypatch.setattr(turns, "QUEUE", Queue())
    return turns.QUEUE


def is_free(queue: Queue) -> bool:
    """Whether nobody's long work is begun, in the end."""
    waited = threading.Event()

    def once(_: object) -> None:
        if waited.is_set():
            raise TimeoutError
        waited.set()

    try:
        with queue.long("somebody", "look", once):
            return True
    except TimeoutError:
        return False


class Visitor:
    """One whose page asks for a work, and who looks at another page meanwhile."""

    def __init__(self) -> None:
        self.runs = self.works = 0
        self.begun, self.seen, self.go_on, self.ended = (threading.Event() for _ in range(4))

    def page(self) -> int:
        """Which run of the page this is."""
        context = get_script_run_ctx()
        assert context is not None
        self.runner: Any = context._enqueue.__self__  # type: ignore[attr-defined]
        self.runs += 1
        return self.runs

    def click(self) -> None:
        self.runner.request_rerun(RerunData())

    def see(self, told: str) -> None:
        assert told == "half of it"
        self.seen.set()

    def work(self, work: Work[str]) -> str:
        self.works += 1
        try:
            work.tell("half of it")
            self.begun.set()
            self.go_on.wait(60)
            work.progress(0.5)
        finally:
            self.ended.set()
        return "all of it"


def come_and_go(visitor) -> None:
    import streamlit as st

    from vitviz.ui.visit.works import carried_out

    if visitor.page() == 2:  # another page
        visitor.go_on.set()
        visitor.ended.wait(60)
        visitor.click()
        st.text("another page")
    else:
        st.text(carried_out("work", "this", "working", visitor.work, visitor.see))


def started(script: Callable[..., None], *args: object) -> tuple[AppTest, threading.Thread]:
    app = AppTest.from_function(script, default_timeout=120, args=args)
    thread = threading.Thread(target=app.run, daemon=True)
    thread.start()
    return app, thread


def test_what_is_left_goes_on_and_its_result_is_there_on_return(queue: Queue) -> None:
    visitor = Visitor()
    app, thread = started(come_and_go, visitor)
    assert visitor.begun.wait(60)
    assert visitor.seen.wait(60)  # it is shown while it goes on
    visitor.click()
    thread.join()
    assert not app.exception
    assert [text.value for text in app.text] == ["all of it"]
    assert (visitor.runs, visitor.works) == (3, 1)
    assert not app.get("progress")
    assert not visit(app).works
    assert is_free(queue)


def ask_and_ask_again(first, end) -> None:
    import streamlit as st

    from vitviz.ui.visit.state import visit
    from vitviz.ui.visit.works import begin, carried_out, give_up, underway

    begin("work", "this", first)
    if end == "another question":
        st.text(carried_out("work", "that", "working", lambda _: "the other"))
    elif end == "another photo":
        visit().forget_photo()
    elif end == "stop":
        give_up("work")
    st.text(underway("work", "this"))


@pytest.mark.parametrize("end", ["another question", "another photo", "stop"])
def test_what_is_not_wanted_any_more_ends(queue: Queue, end: str) -> None:
    ended = threading.Event()

    def first(work: Work[str]) -> str:
        try:
            while True:
                work.progress(0.5)
        finally:
            ended.set()

    app = AppTest.from_function(ask_and_ask_again, default_timeout=120, args=(first, end)).run()
    assert not app.exception
    assert ended.wait(60)
    said = ["the other"] * (end == "another question")
    assert [text.value for text in app.text] == [*said, "False"]
    assert is_free(queue)


@pytest.mark.parametrize("gone", ["the visitor", "the server"])
def test_it_ends_when_the_visitor_or_the_server_has_gone(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    if gone == "the visitor":
        monkeypatch.setattr(work, "connected", lambda _: False)
        monkeypatch.setattr(work, "AWAY", -1.0)
    else:
        monkeypatch.setattr(work, "serving", lambda: False)
    visitor = Visitor()
    visitor.go_on.set()
    app, thread = started(come_and_go, visitor)
    assert visitor.ended.wait(60)
    thread.join()
    assert not app.text
    assert is_free(queue)


def working(ending: str) -> None:
    import streamlit as st

    from vitviz.errors import VitvizError
    from vitviz.ui.visit.works import carried_out

    def work(work):
        work.progress(0.5)
        if ending == "refused":
            raise VitvizError("no", "no")
        if ending == "broken":
            raise ZeroDivisionError
        return "done"

    try:
        st.text(carried_out("work", None, "working", work))
    except VitvizError:
        st.text("refused")


@pytest.mark.parametrize("ending", ["done", "refused", "broken"])
def test_the_place_is_given_back_and_the_bar_goes(queue: Queue, ending: str) -> None:
    app = AppTest.from_function(working, default_timeout=120, args=(ending,)).run()
    assert len(app.exception) == (ending == "broken")
    assert [text.value for text in app.text] == [ending] * (ending != "broken")
    assert len(app.get("progress")) == (ending == "broken")
    assert not visit(app).works
    assert is_free(queue)


def say_how_long(spent: float, share: float, lang: str) -> None:
    import streamlit as st

    from vitviz.ui.visit import works
    from vitviz.ui.visit.work import Work

    st.query_params["lang"] = lang
    work = Work.__new__(Work)
    work.place, work.share, work._began = None, share, 1000 - spent
    st.text(works._words(work, "…"))


@pytest.mark.parametrize(
    ("spent", "share", "english", "chinese"),
    [
        (10.0, 0.01, "…", "…"),  # too early to tell
        (0.5, 0.5, "…", "…"),  # one second in all
        (10.0, 0.25, "… about 30 s left", "…大约还要 30 秒"),
        (60.0, 0.25, "… about 3 min left", "…大约还要 3 分钟"),
    ],
)
def test_it_says_how_long_a_longer_wait_takes(
    spent: float, share: float, english: str, chinese: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    for lang, said in (("en", english), ("zh", chinese)):
        app = AppTest.from_function(say_how_long, args=(spent, share, lang)).run()
        assert not app.exception
        assert app.text[0].value == said


class TestAPageThatIsLeft:
    """As soon as its work is begun; the work goes on to its end, and the page is seen again."""

    @pytest.fixture(autouse=True, scope="class")
    @staticmethod
    def _light() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch, light_pages(patch):
            yield

    @staticmethod
    def leave(app: AppTest, begin: Callable[[], object]) -> list[str]:
        """Which works went on to their end after the visitor had left."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(work, "connected", lambda _: True)
            patch.setattr(work, "serving", lambda: True)
            patch.setattr(works, "still_here", st.stop)
            begin()
            begun = dict(visit(app).works)
            for each in begun.values():
                each.result()
        assert not app.exception
        return list(begun)

    @staticmethod
    def begins_none(patch: pytest.MonkeyPatch) -> None:
        def begun(*_: object) -> None:
            pytest.fail("it is done again")

        patch.setattr(works, "begin", begun)

    def test_heads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        app = page("heads", sample="cat")
        button = app.segmented_control(key="statistic").set_value("importance")
        assert self.leave(app, button.run) == ["importance"]
        self.begins_none(monkeypatch)
        app.run()
        assert not app.exception
        assert session(app).results.last("importance") is not None

    def test_compare(self, monkeypatch: pytest.MonkeyPatch) -> None:
        app = page("compare", sample="cat", methods="attention")
        app.pills(key="methods").set_value(["attention", "rollout"])
        assert self.leave(app, app.run) == ["compare alone"]
        self.begins_none(monkeypatch)
        app.run()
        assert not app.exception
        assert len(app.dataframe[0].value) == 3

    def test_explore(self, monkeypatch: pytest.MonkeyPatch) -> None:
        app = page("explore", sample="cat")
        app.selectbox(key="method").set_value("occlusion")
        assert self.leave(app, app.run) == ["slow answer"]
        self.begins_none(monkeypatch)
        app.selectbox(key="method").set_value("attention").run()
        app.selectbox(key="method").set_value("occlusion").run()
        assert not app.exception

    @pytest.mark.parametrize(
        ("name", "step", "label", "metrics"),
        [("prediction", 5, "Remove", 2), ("cost", 1, "Measure", 0)],
    )
    def test_a_measuring_step(
        self, name: str, step: int, label: str, metrics: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        app = lesson(name, step=str(step), sample="coffee")
        answer(app, right=True)
        [button] = [button for button in app.button if button.label.startswith(label)]
        assert len(self.leave(app, button.click().run)) == 1
        self.begins_none(monkeypatch)
        app.run()
        assert not app.exception
        assert len(app.metric) == metrics
        assert len(app.get("vega_lite_chart")) > 0

    def test_training(self, monkeypatch: pytest.MonkeyPatch) -> None:
        app = lesson("training", step="5", sample="cat")
        app.button(key="take").click().run()
        assert len(self.leave(app, app.button(key="train").click().run)) == 1
        with monkeypatch.context() as patch:
            self.begins_none(patch)
            app.segmented_control(key="step").set_value(7).run()  # another step
            assert not app.exception
        assert visit(app).trained is not None
        assert len(self.leave(app, app.button(key="narrow").click().run)) == 1
        self.begins_none(monkeypatch)
        app.run()
        assert not app.exception
        assert len(app.metric) == 2


def test_an_error_waits_for_the_visitors_return(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Work[None]) -> None:
        raise VitvizError("no", "no")

    monkeypatch.setattr(work, "connected", lambda _: True)
    app = AppTest.from_function(leave_and_see, default_timeout=120, args=(refuse,))
    assert app.run().text[0].value == "begun"
    assert app.run().text[0].value == "no"
    assert not app.exception


def leave_and_see(refuse) -> None:
    import streamlit as st

    from vitviz.errors import VitvizError
    from vitviz.ui.visit.works import begin, underway, watch

    if not underway("work"):
        begin("work", None, refuse)
        st.text("begun")
        return
    try:
        watch("work", "working")
    except VitvizError as error:
        st.text(str(error))
