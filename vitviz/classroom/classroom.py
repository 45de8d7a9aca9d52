"""What a teacher and students do in a class, and what each may see."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from vitviz.classroom.codes import new_code
from vitviz.classroom.store import Store
from vitviz.errors import ClassError

__all__ = ["MOST_STUDENTS", "Attendance", "Shown", "Student", "Teacher", "open_class"]

MOST_STUDENTS = 120
LASTS = 3600.0  # seconds without its teacher, after which a class is gone
HERE = 12.0  # seconds since a student was heard of last
LONGEST_NAME = 24  # letters
TABLES = ("shown", "revealed", "students", "answers", "hands", "patches")


@dataclass(frozen=True)
class Shown:
    """What the teacher shows.

    Attributes:
        lesson, screen: the lesson's id, and the number of its step from 1.
        sample: the photo of the gallery; "" for the first of the step, or the teacher's own.
        patch: the chosen one as "row,col"; "" where none was chosen.
        revealed: the questions whose answers are told.
    """

    lesson: str
    screen: int
    sample: str = ""
    patch: str = ""
    revealed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Attendance:
    """What the teacher sees of the class.

    Attributes:
        students: how many have joined.
        here: how many of them were heard of within the last seconds.
        hands: names of those who raise a hand, who was first comes first.
        patches: the patch that each shows, "row,col" by name, the newest first.
    """

    students: int
    here: int
    hands: tuple[str, ...] = ()
    patches: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _Class:
    """The tables of one class."""

    code: str
    store: Store
    clock: Callable[[], float] = time.time  # the same for all servers

    def table(self, name: str) -> str:
        return f"class:{self.code}:{name}"

    def get(self, name: str) -> dict[str, str]:
        return self.store.get(self.table(name))

    def put(self, name: str, fields: dict[str, str]) -> None:
        self.store.put(self.table(name), fields, LASTS)

    def shown(self) -> Shown:
        """Raises ClassError if there is no such class."""
        found = self.get("shown")
        if "teacher" not in found:
            raise ClassError(
                "no_class", "There is no class {code}, or it has ended.", code=self.code
            )
        return Shown(
            found["lesson"],
            int(found["screen"]),
            found["sample"],
            found["patch"],
            frozenset(self.get("revealed")),
        )


@dataclass(frozen=True)
class Teacher:
    """Who leads a class: whoever has its secret.

    Raises:
        ClassError: from every method, if the class has ended.
    """

    room: _Class
    secret: str = field(repr=False)

    @classmethod
    def of(cls, code: str, secret: str, store: Store) -> Teacher:
        """The teacher of a class, again, such as after a reload.

        Raises:
            ClassError: if there is no such class, or this is not its secret.
        """
        room = _Class(code, store)
        held = room.get("shown").get("teacher", "")
        if not hmac.compare_digest(held.encode(), _hash(secret).encode()):
            raise ClassError(
                "not_the_teacher", "Class {code} has ended, or is led by somebody else.", code=code
            )
        return cls(room, secret)

    @property
    def code(self) -> str:
        """The code that students join with."""
        return self.room.code

    def show(self, shown: Shown) -> None:
        """Lead the class there; what is revealed stays as it is."""
        before = self.shown()
        place = (shown.lesson, shown.screen, shown.sample, shown.patch)
        if place != (before.lesson, before.screen, before.sample, before.patch):
            self.room.put("shown", _fields(shown))

    def shown(self) -> Shown:
        """What the class is shown; it also keeps the class going."""
        self.room.store.touch([self.room.table(name) for name in TABLES], LASTS)
        return self.room.shown()

    def reveal(self, question: str) -> None:
        """Tell everyone what is right; later answers do not count."""
        self.shown()
        self.room.put("revealed", {question: "1"})

    def counts(self, question: str, options: int) -> list[int]:
        """How many chose each of the question's options."""
        chosen = Counter(
            option for of, _, option in _answers(self.room.get("answers")) if of == question
        )
        return [chosen[option] for option in range(options)]

    def attendance(self) -> Attendance:
        """Who is here, who raises a hand, and which patches are shown."""
        now = self.room.clock()
        students = {id: json.loads(told) for id, told in self.room.get("students").items()}
        names = {id: told["name"] for id, told in students.items()}
        hands = sorted((float(since), id) for id, since in self.room.get("hands").items())
        patches = [
            (*told.split(" "), id) for id, told in self.room.get("patches").items() if id in names
        ]
        patches.sort(key=lambda one: float(one[0]), reverse=True)
        return Attendance(
            len(students),
            sum(now - told["seen"] < HERE for told in students.values()),
            tuple(names[id] for _, id in hands if id in names),
            tuple((names[id], patch) for _, patch, id in patches),
        )

    def lower_hands(self) -> None:
        """All of them."""
        self.room.store.forget([self.room.table("hands")])

    def answers(self) -> list[tuple[str, int, int]]:
        """Every answer without a name: the question, a number for the student, and the option that
        was chosen, from 0. The numbers are dealt anew each time."""
        given = _answers(self.room.get("answers"))
        students = sorted({student for _, student, _ in given})
        random.SystemRandom().shuffle(students)
        numbers = {student: number for number, student in enumerate(students, start=1)}
        return sorted((question, numbers[student], option) for question, student, option in given)

    def end(self) -> None:
        """Forget everything about the class."""
        self.room.store.forget([self.room.table(name) for name in TABLES])


@dataclass(frozen=True)
class Student:
    """Who attends a class.

    Raises:
        ClassError: from every method, if the class has ended.
    """

    room: _Class
    id: str = field(repr=False)
    name: str = ""

    @classmethod
    def join(cls, code: str, store: Store, name: str = "", id: str | None = None) -> Student:
        """Come in, or back with the id of before.

        Raises:
            ClassError: if there is no such class, or it is full.
        """
        room = _Class(code, store)
        room.shown()
        students = room.get("students")
        if id not in students and len(students) >= MOST_STUDENTS:
            raise ClassError(
                "class_full",
                "Class {code} is full: {most} students have joined.",
                code=code,
                most=MOST_STUDENTS,
            )
        student = cls(room, id or secrets.token_urlsafe(12), " ".join(name.split())[:LONGEST_NAME])
        student.here()
        return student

    @property
    def code(self) -> str:
        """The class's."""
        return self.room.code

    def shown(self) -> Shown:
        """What the teacher shows."""
        return self.room.shown()

    def here(self) -> Shown:
        """The same, and the teacher sees that the student is still here."""
        shown = self.room.shown()
        told = {"name": self.name, "seen": self.room.clock()}
        self.room.put("students", {self.id: json.dumps(told)})
        return shown

    def answer(self, question: str, option: int) -> None:
        """Answer, or change the answer; it counts until the teacher reveals what is right."""
        if question not in self.room.shown().revealed:
            self.room.put("answers", {f"{question}\n{self.id}": str(option)})

    def raise_hand(self) -> None:
        """Until the teacher or the student lowers it."""
        self.room.shown()
        self.room.put("hands", {self.id: str(self.room.clock())})

    def lower_hand(self) -> None:
        """Raise it no more."""
        self.room.store.remove(self.room.table("hands"), self.id)

    def raises_hand(self) -> bool:
        """Whether it is up."""
        return self.id in self.room.get("hands")

    def show_patch(self, patch: str) -> None:
        """Let the teacher see a patch, "row,col", in place of the one before."""
        self.room.shown()
        self.room.put("patches", {self.id: f"{self.room.clock()} {patch}"})

    def leave(self) -> None:
        """Go; answers stay, as they have no name."""
        for table in ("students", "hands", "patches"):
            self.room.store.remove(self.room.table(table), self.id)


def open_class(store: Store, shown: Shown) -> Teacher:
    """Open a class that is shown this first; who opens it leads it.

    Example:
        >>> from vitviz.classroom.store import MemoryStore
        >>> store = MemoryStore()
        >>> teacher = open_class(store, Shown("attention", 1))
        >>> ada = Student.join(teacher.code, store, "Ada")
        >>> ada.answer("attention.scale.guess", 1)
        >>> teacher.counts("attention.scale.guess", options=3)
        [0, 1, 0]
    """
    teacher = Teacher(_Class(new_code(), store), secrets.token_urlsafe(24))
    teacher.room.put("shown", {"teacher": _hash(teacher.secret), **_fields(shown)})
    return teacher


def _hash(secret: str) -> str:
    """What the store knows of a secret: whoever reads it cannot lead."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _fields(shown: Shown) -> dict[str, str]:
    """What changes as the teacher goes on."""
    return {
        "lesson": shown.lesson,
        "screen": str(shown.screen),
        "sample": shown.sample,
        "patch": shown.patch,
    }


def _answers(table: Mapping[str, str]) -> list[tuple[str, str, int]]:
    """Question, student and option of every answer."""
    return [
        (question, student, int(option))
        for field, option in table.items()
        for question, _, student in [field.partition("\n")]
    ]
