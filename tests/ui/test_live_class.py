"""A live class on the lessons' pages, in the memory of one server, through Streamlit's AppTest."""

from __future__ import annotations

import io
from typing import NoReturn

import pandas as pd
import pytest
import streamlit as st
from lesson_pages import answer, opened
from pages import at
from streamlit.testing.v1 import AppTest

from vitviz.classroom.classroom import Shown, Student, Teacher, open_class
from vitviz.classroom.store import MemoryStore
from vitviz.errors import VitvizError
from vitviz.ui.course import class_page, classroom
from vitviz.ui.visit import keys, live_class
from vitviz.ui.visit.language import texts
from vitviz.ui.visit.state import VISIT, Visit

WORDS = texts("en")["classroom"]
GUESS = "attention.scale.guess"
QUESTION = texts("en")["attention"]["scale"]["guess"]
FIRST = Shown("attention", 3)
JOIN = "from vitviz.ui.course import class_page\nclass_page.page()"

pytestmark = pytest.mark.usefixtures("light")


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """Where the classes of a test are, and of no other."""
    found = MemoryStore()
    monkeypatch.setattr(live_class, "classes", lambda: found)
    return found


@pytest.fixture(autouse=True)
def gone_to(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pages that a test's page went to; the test has no other page."""
    found: list[str] = []

    def go_to(page: str) -> NoReturn:
        found.append(page)
        st.stop()

    for module in (class_page, classroom):
        monkeypatch.setattr(module, "go_to", go_to)
    return found


def state(app: AppTest) -> Visit:
    found: Visit = app.session_state[VISIT]
    return found


def address(app: AppTest, name: str) -> str:
    """What a parameter of a page's address says."""
    found = app.query_params[name]
    return found if isinstance(found, str) else found[0]


def teaching(step: int = 3, **address: str) -> tuple[AppTest, Teacher]:
    """A teacher's page with a class."""
    app = opened("attention", step=str(step), **address)
    app.button(keys.OPEN_CLASS).click().run()
    assert not app.exception
    teacher = state(app).teaches
    assert teacher is not None
    return app, teacher


def attending(teacher: Teacher, store: MemoryStore, name: str = "Ada") -> tuple[AppTest, Student]:
    """A student's page."""
    app = opened("attention")
    student = state(app).attends = Student.join(teacher.code, store, name)
    app.run()
    assert not app.exception
    return app, student


def said(app: AppTest) -> str:
    return "\n".join(part.value for part in (*app.markdown, *app.info, *app.caption, *app.success))


def test_a_teacher_opens_a_class_and_shows_how_to_join() -> None:
    app, teacher = teaching()
    page = "".join(part.proto.body for part in app.get("html"))
    assert teacher.code in page
    assert f"/class?code={teacher.code}" in page
    assert teacher.shown() == FIRST
    assert state(app).class_kept == {"code": teacher.code, "secret": teacher.secret}
    assert "secret" not in page
    assert teacher.secret not in page


def test_a_student_goes_where_the_teacher_goes(store: MemoryStore, gone_to: list[str]) -> None:
    desk, teacher = teaching()
    phone, _ = attending(teacher, store)
    assert phone.session_state[keys.STEP] == 3
    desk.button(keys.NEXT).click().run()
    desk.query_params["sample"] = "coffee"
    desk.query_params["patch"] = "3,9"
    desk.run()
    phone.run()
    assert phone.session_state[keys.STEP] == 4
    assert address(phone, "sample") == "coffee"
    assert address(phone, "patch") == "3,9"
    phone.query_params["sample"] = "tower"  # the student's own choice stays
    phone.run()
    assert address(phone, "sample") == "tower"
    teacher.show(Shown("layers", 2))
    phone.run()
    assert gone_to[0] == "layers"


def test_who_walks_alone_is_not_taken_along_until_they_follow_again(store: MemoryStore) -> None:
    desk, teacher = teaching()
    phone, _ = attending(teacher, store)
    phone.button(keys.NEXT).click().run()
    assert not phone.toggle(keys.FOLLOW_TEACHER).value
    desk.button(keys.BACK).click().run()
    phone.run()
    assert phone.session_state[keys.STEP] == 4
    phone.toggle(keys.FOLLOW_TEACHER).set_value(True).run()
    assert phone.session_state[keys.STEP] == 2


def test_the_class_answers_and_the_teacher_tells(store: MemoryStore) -> None:
    desk, teacher = teaching()
    (ada, _), (bo, _), (cy, _) = (attending(teacher, store, name) for name in ("Ada", "Bo", "Cy"))
    assert not desk.slider  # what the question asks for is hidden
    assert not desk.radio  # the teacher does not answer
    answer(ada, right=True)
    answer(bo, right=False)
    assert [bool(page.slider) for page in (ada, bo, cy)] == [False, False, False]
    assert WORDS["handed_in"] in said(ada)
    assert WORDS["wait"] in said(ada)
    desk.run()
    right = QUESTION["right"]
    counts = teacher.counts(GUESS, 3)
    assert counts[right] == 1
    assert sum(counts) == 2
    shares = [bar.proto.value for bar in desk.get("progress")]
    texts_of = [bar.proto.text for bar in desk.get("progress")]
    assert shares == [50 * count for count in counts]
    assert texts_of == [
        f"{option} · **{count}**" for option, count in zip(QUESTION["options"], counts, strict=True)
    ]
    desk.button(keys.REVEAL.format(GUESS)).click().run()
    assert desk.slider
    assert desk.success[0].value == QUESTION["why"][right]
    for page in (ada, bo, cy):
        page.run()
        assert page.slider
    assert ada.success[0].value == QUESTION["why"][right]
    assert bo.warning
    assert QUESTION["why"][right] in said(cy)  # who has not answered learns it too
    answer(cy, right=True)
    assert teacher.counts(GUESS, 3) == counts


def test_a_presenters_question_makes_room_once_it_is_told(store: MemoryStore) -> None:
    desk, teacher = teaching(present="true")
    phone, _ = attending(teacher, store)
    answer(phone, right=True)
    desk.run()
    assert len(desk.get("progress")) == 3
    desk.button(keys.REVEAL.format(GUESS)).click().run()
    assert not desk.get("progress")
    assert WORDS["chose"].format(count=1, all=1) in said(desk)


def test_at_ones_own_pace_answers_are_told_at_once_and_counted(store: MemoryStore) -> None:
    _, teacher = teaching()
    phone, _ = attending(teacher, store)
    phone.toggle(keys.FOLLOW_TEACHER).set_value(False).run()
    answer(phone, right=True)
    assert phone.slider
    assert sum(teacher.counts(GUESS, 3)) == 1


def test_the_self_check_is_asked_in_the_same_way(store: MemoryStore) -> None:
    desk, teacher = teaching(step=8)
    phone, _ = attending(teacher, store)
    answer(phone, right=True)
    desk.run()
    assert len([b for b in desk.button if (b.key or "").startswith("reveal")]) == 3
    assert all(sum(teacher.counts(f"attention.check.{n}", 3)) == 1 for n in range(3))


def test_hands_and_patches_reach_the_teachers_menu(store: MemoryStore) -> None:
    desk, teacher = teaching()
    phone, student = attending(teacher, store, "[Ada](http://x)")
    assert phone.button(keys.SHOW_PATCH).disabled
    phone.query_params["patch"] = "![3](http://x),9"
    phone.run()
    assert phone.button(keys.SHOW_PATCH).disabled
    phone.query_params["patch"] = "3,9"
    phone.run()
    phone.button(keys.RAISE_HAND).click().run()
    phone.button(keys.SHOW_PATCH).click().run()
    desk.run()
    assert "`[Ada](http://x)`" in said(desk)  # a name is no link
    desk.button(keys.TAKE_PATCH.format(student.id)).click().run()
    assert address(desk, "patch") == "3,9"
    assert teacher.shown().patch == "3,9"
    desk.button(keys.LOWER_HANDS).click().run()
    assert not student.here()[1]


def test_answers_are_a_file_in_words(store: MemoryStore) -> None:
    desk, teacher = teaching()
    phone, _ = attending(teacher, store)
    answer(phone, right=True)
    del desk
    table = pd.read_csv(io.BytesIO(_csv(teacher)))
    assert table.to_dict("records") == [
        {
            "id": GUESS,
            "question": QUESTION["ask"],
            "student": 1,
            "answer": QUESTION["options"][QUESTION["right"]],
            "right": True,
        }
    ]


def _csv(teacher: Teacher) -> bytes:
    def page(teacher: object) -> None:
        import streamlit as st

        from vitviz.ui.course.classroom import _answers

        st.session_state["made"] = _answers(teacher, "en")

    made: bytes = at(AppTest.from_function(page, args=(teacher,))).session_state["made"]
    return made


def test_the_end_is_said_to_all(store: MemoryStore) -> None:
    desk, teacher = teaching()
    phone, _ = attending(teacher, store)
    desk.button(keys.END_CLASS).click().run()
    assert state(desk).teaches is None
    phone.run()
    assert state(phone).attends is None
    assert "has ended" in phone.toast[0].value
    assert not phone.exception
    assert state(phone).class_kept == {}


class TestComingBack:
    def kept(self, monkeypatch: pytest.MonkeyPatch, value: object) -> None:
        monkeypatch.setattr(classroom, "browser_memory", lambda *_: value)

    def test_a_teacher(self, monkeypatch: pytest.MonkeyPatch, store: MemoryStore) -> None:
        teacher = open_class(store, FIRST)
        self.kept(monkeypatch, {"code": teacher.code, "secret": teacher.secret})
        app = opened("attention", step="3")
        assert state(app).teaches == teacher

    def test_a_student(self, monkeypatch: pytest.MonkeyPatch, store: MemoryStore) -> None:
        teacher = open_class(store, FIRST)
        ada = Student.join(teacher.code, store, "Ada")
        self.kept(monkeypatch, {"code": teacher.code, "id": ada.id, "name": "Ada"})
        app = opened("attention")
        assert state(app).attends == ada
        assert app.session_state[keys.STEP] == 3
        assert teacher.attendance().students == 1

    @pytest.mark.parametrize(
        "value",
        [
            {"code": "AAAA-AAAA", "secret": "x"},
            {"code": "AAAA-AAAA", "id": "x", "name": ""},
            {"id": 3},
            {"secret": ["x"]},
            ["code"],
            "text",
        ],
    )
    def test_not_to_what_is_no_class(self, monkeypatch: pytest.MonkeyPatch, value: object) -> None:
        self.kept(monkeypatch, value)
        app = opened("attention")
        assert state(app).teaches is state(app).attends is None

    def test_what_is_not_the_teachers_secret_does_not_lead(
        self, monkeypatch: pytest.MonkeyPatch, store: MemoryStore
    ) -> None:
        teacher = open_class(store, FIRST)
        self.kept(monkeypatch, {"code": teacher.code, "secret": "guessed"})
        assert state(opened("attention")).teaches is None


class TestJoining:
    def test_by_link_and_button(self, store: MemoryStore, gone_to: list[str]) -> None:
        teacher = open_class(store, FIRST)
        app = at(AppTest.from_string(JOIN), code=teacher.code)
        app.text_input(keys.NICKNAME).input("Ada")
        app.button(keys.JOIN).click().run()
        assert not app.exception
        assert gone_to == ["attention"]
        assert state(app).attends.name == "Ada"  # type: ignore[union-attr]

    @pytest.mark.parametrize(
        ("code", "wrong"), [("hello", WORDS["no_code"]), ("AAAA-AAAA", "There is no class")]
    )
    def test_what_is_wrong_is_said(self, code: str, wrong: str) -> None:
        app = at(AppTest.from_string(JOIN))
        app.text_input(keys.CLASS_CODE).input(code)
        app.button(keys.JOIN).click().run()
        assert wrong in app.error[0].value
        assert not app.exception

    def test_who_is_in_a_class_may_leave(self, store: MemoryStore) -> None:
        teacher = open_class(store, FIRST)
        app = at(AppTest.from_string(JOIN))
        state(app).attends = Student.join(teacher.code, store)
        app.run()
        assert teacher.code in app.info[0].value
        app.button(keys.LEAVE_CLASS).click().run()
        assert state(app).attends is None
        assert teacher.attendance().students == 0


def test_who_leaves_is_not_brought_back_by_the_browser(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, teacher = teaching()
    phone, student = attending(teacher, store)
    kept = {"code": teacher.code, "id": student.id, "name": "Ada"}
    monkeypatch.setattr(classroom, "browser_memory", lambda *_: kept)
    phone.button(keys.LEAVE_CLASS).click().run()
    phone.run()
    assert state(phone).attends is None
    assert teacher.attendance().students == 0


def test_a_presenting_student_does_not_see_the_answer_before_the_others(
    store: MemoryStore,
) -> None:
    desk, teacher = teaching()
    phone = opened("attention", present="true", step="3")
    state(phone).attends = Student.join(teacher.code, store, "Ada")
    phone.run()
    answer(phone, right=True)
    phone.run()
    assert not phone.slider
    assert not phone.success
    desk.button(keys.REVEAL.format(GUESS)).click().run()
    phone.run()
    assert phone.slider


def test_a_teacher_comes_back_to_where_the_class_is(store: MemoryStore) -> None:
    _, teacher = teaching(step=5)
    again = opened("positions")  # another page had the control of the step
    state(again).teaches = teacher
    state(again).lesson = "attention"
    teacher.show(Shown("positions", 4))
    again.run()
    assert teacher.shown().screen == 4
    assert again.session_state[keys.STEP] == 4
    assert store.all(f"class:{teacher.code}")


def test_a_lost_store_is_said_and_nothing_breaks(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, teacher = teaching()
    phone, _ = attending(teacher, store)
    get = store.get

    def lost(*_: object) -> NoReturn:
        raise VitvizError("redis_lost", "Live classes cannot be reached at the moment.")

    monkeypatch.setattr(store, "get", lost)
    phone.button(keys.RAISE_HAND).click()
    desk.button(keys.REVEAL.format(GUESS)).click()
    for app in (desk, phone):
        app.run()
        assert not app.exception
        assert "cannot be reached" in "\n".join(part.value for part in (*app.caption, *app.warning))
    monkeypatch.setattr(store, "get", get)
    for app in (desk, phone):
        app.run()
        assert "cannot be reached" not in "\n".join(part.value for part in app.caption)
    assert state(desk).teaches == teacher


def test_a_class_that_cannot_be_opened_is_said(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise VitvizError("redis_lost", "Live classes cannot be reached at the moment.")

    monkeypatch.setattr(store, "open", lost)
    app = opened("attention")
    app.button(keys.OPEN_CLASS).click().run()
    assert not app.exception
    assert "cannot be reached" in app.toast[0].value
    assert state(app).teaches is None
