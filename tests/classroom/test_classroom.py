"""A class in the memory of one server and in a real Redis server: the same."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some
from redis_server import redis_server

from vitviz.classroom import classroom, store
from vitviz.classroom.classroom import Attendance, Shown, Student, Teacher, open_class
from vitviz.classroom.codes import ALPHABET, new_code, read_code
from vitviz.classroom.store import MemoryStore, RedisStore, Store, store_of_this_server
from vitviz.errors import ClassError, VitvizError

FIRST = Shown("attention", 1)
GUESS = "attention.scale.guess"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as (url, _):
        yield url


@pytest.fixture(params=["memory", "redis"])
def held(request: pytest.FixtureRequest) -> Store:
    if request.param == "memory":
        return MemoryStore()
    return RedisStore(request.getfixturevalue("redis"))


class Clock:
    """Tells the time that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_codes_can_be_dictated_and_are_different() -> None:
    codes = {new_code() for _ in range(1000)}
    assert len(codes) == 1000
    assert set("".join(codes)) == {*ALPHABET, "-"}
    assert not set("01OIoi") & set(ALPHABET)
    assert len(ALPHABET) ** 8 > 1e12 * 0.85


@given(
    some.text(ALPHABET, min_size=8, max_size=8),
    some.booleans(),
    some.sampled_from(["", "-", " ", "–", "－", "\u00a0"]),
)
def test_a_code_is_read_however_it_is_typed(letters: str, small: bool, between: str) -> None:
    typed = f" {letters[:4]}{between}{letters[4:]} "
    assert read_code(typed.lower() if small else typed) == f"{letters[:4]}-{letters[4:]}"


@pytest.mark.parametrize("text", ["", "ABCD-EFG", "ABCD-EFGHJ", "ABCD-EFG0", "ÄBCD-EFGH"])
def test_what_is_no_code_is_none(text: str) -> None:
    assert read_code(text) is None


def test_a_class_follows_its_teacher(held: Store) -> None:
    teacher = open_class(held, FIRST)
    ada = Student.join(teacher.code, held, "Ada")
    assert ada.shown() == FIRST
    there = Shown("layers", 4, "coffee", "3,9")
    teacher.show(there)
    assert ada.here() == (there, False)
    assert teacher.shown() == there
    teacher.reveal(GUESS)
    teacher.show(FIRST)
    assert ada.shown() == replace(FIRST, revealed=frozenset({GUESS}))


def test_answers_are_counted_until_they_are_told(held: Store) -> None:
    teacher = open_class(held, FIRST)
    ada, bo, cy = (Student.join(teacher.code, held, name) for name in ("Ada", "Bo", "Cy"))
    assert teacher.counts(GUESS, 3) == [0, 0, 0]
    ada.answer(GUESS, 0)
    bo.answer(GUESS, 2)
    ada.answer(GUESS, 2)  # thought again
    cy.answer("another", 0)
    assert teacher.counts(GUESS, 3) == [0, 0, 2]
    teacher.reveal(GUESS)
    cy.answer(GUESS, 1)
    ada.answer(GUESS, 0)
    assert teacher.counts(GUESS, 3) == [0, 0, 2]
    assert teacher.counts("another", 2) == [1, 0]


def test_hands_and_patches_reach_the_teacher(held: Store) -> None:
    clock = Clock()
    teacher = open_class(held, FIRST)
    room = replace(teacher.room, clock=clock)
    teacher = replace(teacher, room=room)
    ada, bo = (
        replace(Student.join(teacher.code, held, name), room=room) for name in (" Ada  L. ", "")
    )
    for number, student in enumerate((bo, ada)):
        clock.now = 1000.0 + number
        student.here()
        student.raise_hand()
        student.show_patch(f"{number},5")
    seen = teacher.attendance()
    assert (seen.students, seen.here) == (2, 2)
    assert seen.hands == ("", "Ada L.")  # who was first comes first
    assert seen.patches == ((ada.id, "Ada L.", "1,5"), (bo.id, "", "0,5"))  # the newest first
    ada.lower_hand()
    assert (ada.here()[1], bo.here()[1]) == (False, True)
    ada.show_patch("2,2")
    bo.leave()
    seen = teacher.attendance()
    assert (seen.hands, seen.patches) == ((), ((ada.id, "Ada L.", "2,2"),))
    ada.raise_hand()
    teacher.lower_hands()
    assert not ada.here()[1]


def test_a_lost_student_is_missed_and_comes_back_with_everything(held: Store) -> None:
    clock = Clock()
    teacher = open_class(held, FIRST)
    room = replace(teacher.room, clock=clock)
    teacher = replace(teacher, room=room)
    ada = replace(Student.join(teacher.code, held, "Ada"), room=room)
    ada.here()
    ada.answer(GUESS, 1)
    clock.now += classroom.HERE + 1
    assert (teacher.attendance().students, teacher.attendance().here) == (1, 0)
    again = replace(Student.join(teacher.code, held, "Ada", ada.id), room=room)
    again.here()
    again.answer(GUESS, 0)
    assert (teacher.attendance().students, teacher.attendance().here) == (1, 1)
    assert teacher.counts(GUESS, 2) == [1, 0]


def test_nobody_but_the_teacher_leads(held: Store) -> None:
    teacher = open_class(held, FIRST)
    ada = Student.join(teacher.code, held, "Ada")
    again = Teacher.of(teacher.code, teacher.secret, held)  # after a reload
    again.show(Shown("layers", 2))
    assert ada.shown() == Shown("layers", 2)
    for guess in ("", ada.id, teacher.code, held.all(f"class:{teacher.code}")["teacher"]):
        with pytest.raises(ClassError, match="led by somebody else"):
            Teacher.of(teacher.code, guess, held)
    assert teacher.secret not in repr(teacher)


def test_nothing_is_left_of_a_class_that_has_ended(held: Store) -> None:
    teacher = open_class(held, FIRST)
    ada = Student.join(teacher.code, held, "Ada")
    ada.answer(GUESS, 1)
    ada.raise_hand()
    ada.show_patch("1,1")
    teacher.reveal(GUESS)
    teacher.end()
    too_late = (
        ada.shown,
        ada.here,
        ada.raise_hand,
        lambda: ada.show_patch("2,2"),
        lambda: ada.answer(GUESS, 0),
        teacher.shown,
        teacher.attendance,
        teacher.answers,
        teacher.lower_hands,
        lambda: teacher.counts(GUESS, 2),
        lambda: teacher.reveal(GUESS),
        lambda: teacher.show(Shown("layers", 2)),
        lambda: Student.join(teacher.code, held),
        lambda: Teacher.of(teacher.code, teacher.secret, held),
    )
    for gone in too_late:
        with pytest.raises(ClassError, match="has ended"):
            gone()
    ada.lower_hand()
    ada.leave()
    teacher.end()
    assert not held.all(f"class:{teacher.code}")


def test_who_leaves_takes_everything_along_and_answers_once(held: Store) -> None:
    teacher = open_class(held, FIRST)
    ada = Student.join(teacher.code, held, "Ada")
    ada.answer(GUESS, 1)
    ada.raise_hand()
    ada.leave()
    assert teacher.counts(GUESS, 2) == [0, 0]
    assert teacher.attendance() == Attendance(0, 0)
    with pytest.raises(ClassError, match="have left"):  # in another tab
        ada.here()
    Student.join(teacher.code, held, "Ada").answer(GUESS, 1)
    assert teacher.counts(GUESS, 2) == [0, 1]


@pytest.mark.parametrize(
    "patch", ["", "1", "a,b", "1,2 3", "![x](http://y)", "1" * 5000 + ",1", "１,2"]
)
def test_what_is_no_patch_is_not_shown(held: Store, patch: str) -> None:
    teacher = open_class(held, FIRST)
    Student.join(teacher.code, held, "Ada").show_patch(patch)
    assert not teacher.attendance().patches


@pytest.mark.parametrize("name", ["\ud800", "a\nb", "\u202eabc", "x" * 500, " \t "])
def test_a_name_is_short_and_can_be_printed(held: Store, name: str) -> None:
    teacher = open_class(held, FIRST)
    Student.join(teacher.code, held, name).raise_hand()
    (shown,) = teacher.attendance().hands
    assert len(shown) <= classroom.LONGEST_NAME
    assert shown.isprintable()


def test_a_class_is_full_some_day(held: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classroom, "MOST_STUDENTS", 2)
    teacher = open_class(held, FIRST)
    ada, _ = (Student.join(teacher.code, held) for _ in range(2))
    with pytest.raises(ClassError, match="is full: 2 students"):
        Student.join(teacher.code, held)
    assert Student.join(teacher.code, held, "Ada", ada.id).id == ada.id


def test_answers_have_numbers_in_place_of_names(held: Store) -> None:
    teacher = open_class(held, FIRST)
    ada, bo = (Student.join(teacher.code, held, name) for name in ("Ada", "Bo"))
    for student, question, option in ((ada, GUESS, 1), (bo, GUESS, 2), (ada, "layers.check.0", 0)):
        student.answer(question, option)
    found = teacher.answers()
    assert sorted((question, option) for question, _, option in found) == [
        (GUESS, 1),
        (GUESS, 2),
        ("layers.check.0", 0),
    ]
    numbers = {(question, option): number for question, number, option in found}
    assert numbers[GUESS, 1] == numbers["layers.check.0", 0]  # who answered twice has one number
    assert set(numbers.values()) == {1, 2}


def test_a_class_without_its_teacher_goes() -> None:
    clock = Clock()
    held = MemoryStore(clock)
    teacher = open_class(held, FIRST)
    ada = Student.join(teacher.code, held)
    for _ in range(3):  # the teacher's page asks again and again
        clock.now += classroom.LASTS - 1
        teacher.shown()
    clock.now += classroom.LASTS - 1
    ada.here()  # does not keep the class
    ada.answer(GUESS, 1)
    clock.now += 2
    held.forget_old()
    assert not held._tables
    with pytest.raises(ClassError, match="has ended"):
        ada.here()


def test_redis_forgets_by_itself(redis: str, monkeypatch: pytest.MonkeyPatch) -> None:
    held = RedisStore(redis)
    monkeypatch.setattr(classroom, "LASTS", 0.2)
    teacher = open_class(held, FIRST)
    student = Student.join(teacher.code, held)
    student.answer(GUESS, 1)
    for _ in range(4):
        threading.Event().wait(0.1)
        teacher.shown()
    assert teacher.counts(GUESS, 2) == [0, 1]
    threading.Event().wait(0.4)
    with pytest.raises(ClassError, match="has ended"):
        student.here()
    assert not held.all(f"class:{teacher.code}")


def test_two_servers_share_a_class(redis: str) -> None:
    teacher = open_class(RedisStore(redis), FIRST)
    Student.join(teacher.code, RedisStore(redis)).answer(GUESS, 1)
    assert teacher.counts(GUESS, 2) == [0, 1]


def test_many_answer_at_once(held: Store) -> None:
    teacher = open_class(held, FIRST)
    students = [Student.join(teacher.code, held) for _ in range(40)]
    threads = [
        threading.Thread(target=student.answer, args=(GUESS, number % 2))
        for number, student in enumerate(students)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert teacher.counts(GUESS, 2) == [20, 20]


def test_a_lost_redis_server_is_said(tmp_path: Path) -> None:
    with redis_server(tmp_path) as (url, process):
        teacher = open_class(RedisStore(url), FIRST)
        process.kill()
        process.wait()
        for ask in (teacher.shown, teacher.attendance, teacher.end):
            with pytest.raises(VitvizError, match="cannot be reached"):
                ask()


def test_the_environment_says_where_classes_are_kept(
    redis: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(store.REDIS_URL, raising=False)
    assert isinstance(store_of_this_server(), MemoryStore)
    monkeypatch.setenv(store.REDIS_URL, redis)
    assert isinstance(store_of_this_server(), RedisStore)
    monkeypatch.setenv(store.REDIS_URL, "localhost:6379")
    with pytest.raises(VitvizError, match="no address"):
        store_of_this_server()
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(VitvizError, match="pip install"):
        store_of_this_server()
