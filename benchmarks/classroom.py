"""How fast the answers of a live class reach its teacher.

    python -m benchmarks.classroom

Starts the app, opens a class, lets students join, and lets all of them answer one question within
ten seconds, while every page looks at the class as often as in a browser. They are no browsers, but
talk as these do; their own work is done on the same processor.

An answer's time is that between the click and the count on the teacher's page: that of the n-th
click to the moment when n answers are shown.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import threading
import time
from typing import Any

from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from benchmarks.machine import processor
from benchmarks.visitor import Visitor, app, processor_time
from vitviz.ui.course.asking import COUNTS_ANEW
from vitviz.ui.course.classroom import STUDENT_LOOKS, TEACHER_LOOKS
from vitviz.ui.visit.language import texts

WORDS = texts("en")["classroom"]
GUESS = texts("en")["attention"]["scale"]["guess"]
OPTIONS, ASKED = GUESS["options"], GUESS["ask"]
STEP = 3  # of the lesson, where this is asked
SECONDS = 10.0  # within which all answer
AIM = 1000  # ms in which 95 % of the answers are to be seen
CODE = re.compile(r"<b>(\w{4}-\w{4})</b>")
COUNT = re.compile(r"^(.*) · \*\*(\d+)\*\*$")


class Page(Visitor):
    """A page of a class.

    Attributes:
        code: of the class that it opened.
        counts: how many chose each answer, as the teacher's page says.
        parts: those that look at the class again and again, by the seconds in between.
    """

    def __init__(self, port: int, page: str, more: str) -> None:
        self.code = ""
        self.counts: dict[str, int] = {}
        self.parts: dict[str, float] = {}
        self._ids: dict[str, tuple[str, str]] = {}  # label → id, part of the page
        super().__init__(port, page=page, more=more)

    @property
    def question(self) -> str:
        """The label of the question, "" if the page has none."""
        return next((label for label in self._ids if label.endswith(ASKED)), "")

    def give(self, label: str, **value: Any) -> None:
        """A value to a control, at the next run."""
        self._values[self._ids[label][0]] = value

    def press(self, label: str) -> None:
        """A button; returns when the page, or the one that it leads to, is there."""
        id, part = self._ids[label]
        self._values[id] = {"trigger_value": True}
        self._run(part)
        del self._values[id]

    def look(self, part: str = "") -> None:
        """Make the page anew, or a part of it."""
        self._run(part)

    def _learn(self, answer: ForwardMsg) -> str:
        if answer.WhichOneof("type") == "auto_rerun":
            self.parts[answer.auto_rerun.fragment_id] = answer.auto_rerun.interval
        if answer.WhichOneof("type") == "delta":
            element: Any = answer.delta.new_element
            part = element.WhichOneof("type")
            shown: Any = getattr(element, part or "", None)
            if getattr(shown, "label", "") and getattr(shown, "id", ""):
                self._ids[shown.label] = shown.id, answer.delta.fragment_id
            if part == "html" and (code := CODE.search(shown.body)):
                self.code = code[1]
            if part == "progress" and (count := COUNT.match(shown.text)):
                self.counts[count[1]] = int(count[2])
            if part == "alert":  # such as “Answer the question first”
                return ""
        return super()._learn(answer)


def lead(teacher: Page, students: int, seen: list[float]) -> None:
    """Look at the class until all have answered; when the first, second … answer was shown."""
    while len(seen) < students:
        start = time.perf_counter()
        for part, seconds in list(teacher.parts.items()):
            if seconds == COUNTS_ANEW or len(seen) % round(TEACHER_LOOKS / COUNTS_ANEW) == 0:
                teacher.look(part)
        now = time.perf_counter()
        seen += [now] * (sum(teacher.counts.values()) - len(seen))
        time.sleep(max(0.0, COUNTS_ANEW - (now - start)))


def attend(student: Page, moment: float, end: threading.Event, asked: list[float]) -> None:
    """Look at the class, and answer at this moment."""
    next_look = time.perf_counter() + random.uniform(0, STUDENT_LOOKS)
    while not end.is_set():
        time.sleep(max(0.0, min(next_look, moment) - time.perf_counter()))
        if moment <= next_look:
            asked.append(time.perf_counter())
            student.look()
            moment = float("inf")
        else:
            for part in list(student.parts):
                student.look(part)
            next_look += STUDENT_LOOKS


def joined(port: int, code: str, number: int) -> Page:
    """A student who has come to the lesson."""
    page = Page(port, "class", f"&code={code}")
    page.give(WORDS["nickname"], string_value=f"Student {number}")
    page.give(WORDS["code"], string_value=code)
    page.press(WORDS["join"])
    page.page, page.query = "attention", f"step={STEP}"
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--students", type=int, nargs="+", default=[3, 30, 60])
    args = parser.parse_args()
    print(processor())
    print(
        "\n| students | median ms | 95 % ms | longest ms | aim | reached | processor s a second |"
    )
    print("|---|---|---|---|---|---|---|", flush=True)
    for count in args.students:
        with app() as (port, process):
            measure(port, process, count)


def measure(port: int, process: int, count: int) -> None:
    """One class; prints a row."""
    teacher = Page(port, "attention", f"&step={STEP}")
    teacher.press(WORDS["open"])
    students = [joined(port, teacher.code, number) for number in range(count)]
    teacher.look()
    begin = time.perf_counter() + 2 * STUDENT_LOOKS
    seen: list[float] = []
    asked: list[float] = []
    end = threading.Event()
    threads = []
    for student in students:
        student.give(student.question, string_value=random.choice(OPTIONS))
        moment = begin + random.uniform(0, SECONDS)
        threads.append(threading.Thread(target=attend, args=(student, moment, end, asked)))
    for thread in threads:
        thread.start()
    busy, start = processor_time(process), time.perf_counter()
    lead(teacher, count, seen)
    share = (processor_time(process) - busy) / (time.perf_counter() - start)
    end.set()
    for thread in threads:
        thread.join()
    times = sorted(1000 * (shown - click) for click, shown in zip(sorted(asked), seen, strict=True))
    most = statistics.quantiles(times, n=20)[-1] if count > 1 else times[-1]
    print(
        f"| {count} | {statistics.median(times):.0f} | {most:.0f} | {times[-1]:.0f} | {AIM} | "
        f"{'yes' if most <= AIM else '**no**'} | {share:.2f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
