"""What a teacher and students do in a class, and what each may see."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

from vitviz.classroom.codes import new_code
from vitviz.classroom.store import Store
from vitviz.errors import ClassError

__all__ = [
    "LONGEST_NAME",
    "MOST_STUDENTS",
    "Attendance",
    "Shown",
    "Student",
    "Teacher",
    "is_patch",
    "open_class",
]

MOST_STUDENTS = 120
LASTS = 3600.0  # seconds without its teacher, after which a class is gone
HERE = 12.0  # seconds since a student was heard of last
LONGEST_NAME = 24  # letters
# Fields of a class's table; those of a student have the student's id behind a line's end.
TEACHER, SHOWN, REVEALED = "teacher", "shown", "revealed"
STUDENT, ANSWER, HAND, SHOWN_PATCH = "student", "answer", "hand", "patch"


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
        patches: id, name and "row,col" of each student who shows a patch, the newest first.
    """

    students: int
    here: int
    hands: tuple[str, ...] = ()
    patches: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class _Class:
    """The table of one class."""

    code: str
    store: Store
    clock: Callable[[], float] = time.time  # the same for all servers

    @property
    def table(self) -> str:
        return f"class:{self.code}"

    def gone(self) -> ClassError:
        return ClassError("no_class", "There is no class {code}, or it has ended.", code=self.code)

    def put(self, fields: dict[str, str]) -> None:
        """Raises ClassError if the class has ended."""
        if not self.store.put(self.table, fields):
            raise self.gone()

    def all(self) -> dict[str, str]:
        """The same."""
        found = self.store.all(self.table)
        if TEACHER not in found:
            raise self.gone()
        return found

    def shown(self, *more: str) -> tuple[Shown, list[str | None]]:
        """What is shown, and what more fields hold; the same."""
        shown, revealed, *others = self.store.get(self.table, [SHOWN, REVEALED, *more])
        if shown is None:
            raise self.gone()
        return Shown(**json.loads(shown), revealed=frozenset(json.loads(revealed or "[]"))), others


@dataclass(frozen=True)
class Teacher:
    """Who leads a class: whoever has its secret.

    Raises:
        ClassError: from every method but `end`, if the class has ended.
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
        (held,) = store.get(room.table, [TEACHER])
        if not hmac.compare_digest((held or "").encode(), _hash(secret).encode()):
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
        if shown != replace(before, revealed=shown.revealed):
            self.room.put({SHOWN: _place(shown)})

    def shown(self) -> Shown:
        """What the class is shown; it also keeps the class going."""
        self.room.store.keep(self.room.table, LASTS)
        return self.room.shown()[0]

    def reveal(self, question: str) -> None:
        """Tell everyone what is right; later answers do not count."""
        told = sorted(self.shown().revealed | {question})
        self.room.put({REVEALED: json.dumps(told)})

    def counts(self, question: str, options: int) -> list[int]:
        """How many chose each of the question's options."""
        chosen = Counter(option for of, _, option in _answers(self.room.all()) if of == question)
        return [chosen[option] for option in range(options)]

    def attendance(self) -> Attendance:
        """Who is here, who raises a hand, and which patches are shown."""
        now, table = self.room.clock(), self.room.all()
        students = {id: json.loads(told) for id, told in _of_students(table, STUDENT)}
        names = {id: told["name"] for id, told in students.items()}
        hands = sorted((float(since), id) for id, since in _of_students(table, HAND))
        patches = sorted(
            (
                (float(since), id, patch)
                for id, told in _of_students(table, SHOWN_PATCH)
                for since, _, patch in [told.partition(" ")]
            ),
            reverse=True,
        )
        return Attendance(
            len(students),
            sum(now - told["seen"] < HERE for told in students.values()),
            tuple(names[id] for _, id in hands if id in names),
            tuple((id, names[id], patch) for _, id, patch in patches if id in names),
        )

    def lower_hands(self) -> None:
        """All of them."""
        raised = [f"{HAND}\n{id}" for id, _ in _of_students(self.room.all(), HAND)]
        self.room.store.remove(self.room.table, raised)

    def answers(self) -> list[tuple[str, int, int]]:
        """Every answer without a name: the question, a number for the student, and the option that
        was chosen, from 0. The numbers are dealt anew each time."""
        given = _answers(self.room.all())
        students = sorted({student for _, student, _ in given})
        random.SystemRandom().shuffle(students)
        numbers = {student: number for number, student in enumerate(students, start=1)}
        return sorted((question, numbers[student], option) for question, student, option in given)

    def end(self) -> None:
        """Forget everything about the class."""
        self.room.store.forget(self.room.table)


@dataclass(frozen=True)
class Student:
    """Who attends a class.

    Raises:
        ClassError: from every method but `lower_hand` and `leave`, if the class has ended.
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
        known = {student for student, _ in _of_students(room.all(), STUDENT)}
        if id not in known and len(known) >= MOST_STUDENTS:
            raise ClassError(
                "class_full",
                "Class {code} is full: {most} students have joined.",
                code=code,
                most=MOST_STUDENTS,
            )
        printed = "".join(letter if letter.isprintable() else " " for letter in name)
        student = cls(
            room, id or secrets.token_urlsafe(12), " ".join(printed.split())[:LONGEST_NAME]
        )
        room.put({student._field(STUDENT): student._told()})
        return student

    @property
    def code(self) -> str:
        """The class's."""
        return self.room.code

    def shown(self) -> Shown:
        """What the teacher shows."""
        return self.room.shown()[0]

    def here(self) -> tuple[Shown, bool]:
        """The same, and whether the student's hand is up; the teacher sees that the student is
        still here.

        Raises:
            ClassError: also if the student has left, such as in another tab.
        """
        shown, (known, hand) = self.room.shown(self._field(STUDENT), self._field(HAND))
        if known is None:
            raise ClassError("left_class", "You have left class {code}.", code=self.code)
        self.room.put({self._field(STUDENT): self._told()})
        return shown, hand is not None

    def answer(self, question: str, option: int) -> None:
        """Answer, or change the answer; it counts until the teacher reveals what is right."""
        if question not in self.shown().revealed:
            self.room.put({f"{ANSWER} {question}\n{self.id}": str(option)})

    def raise_hand(self) -> None:
        """Until the teacher or the student lowers it."""
        self.room.put({self._field(HAND): str(self.room.clock())})

    def lower_hand(self) -> None:
        """Raise it no more."""
        self.room.store.remove(self.room.table, [self._field(HAND)])

    def show_patch(self, patch: str) -> None:
        """Let the teacher see a patch, in place of the one before.

        Args:
            patch: as "row,col"; what is none is not shown.
        """
        if is_patch(patch):
            self.room.put({self._field(SHOWN_PATCH): f"{self.room.clock()} {patch}"})

    def leave(self) -> None:
        """Go, and take everything along, answers too."""
        own = [
            name for name in self.room.store.all(self.room.table) if name.endswith(f"\n{self.id}")
        ]
        self.room.store.remove(self.room.table, own)

    def _field(self, kind: str) -> str:
        return f"{kind}\n{self.id}"

    def _told(self) -> str:
        return json.dumps({"name": self.name, "seen": self.room.clock()})


def is_patch(text: str) -> bool:
    """Whether a text that came from outside is a patch's "row,col".

    Example:
        >>> is_patch("3,9"), is_patch("[3,9](http://x)")
        (True, False)
    """
    return re.fullmatch(r"[0-9]{1,3},[0-9]{1,3}", text) is not None


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
    first = {TEACHER: _hash(teacher.secret), SHOWN: _place(shown)}
    store.open(teacher.room.table, first, LASTS)
    return teacher


def _hash(secret: str) -> str:
    """What the store knows of a secret: whoever reads it cannot lead."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def _place(shown: Shown) -> str:
    """What changes as the teacher goes on."""
    return json.dumps({name: value for name, value in asdict(shown).items() if name != REVEALED})


def _of_students(table: dict[str, str], kind: str) -> list[tuple[str, str]]:
    """Each student's id with what the field of this kind holds."""
    split = ((name.partition("\n"), value) for name, value in table.items())
    return [(id, value) for (name, _, id), value in split if name == kind]


def _answers(table: dict[str, str]) -> list[tuple[str, str, int]]:
    """Question, student and option of every answer."""
    split = ((name.partition("\n"), value) for name, value in table.items())
    return [
        (name.removeprefix(f"{ANSWER} "), id, int(value))
        for (name, _, id), value in split
        if name.startswith(f"{ANSWER} ")
    ]
