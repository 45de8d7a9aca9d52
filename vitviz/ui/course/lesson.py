"""A lesson: short steps with words on one side and live widgets on the other.

A lesson file defines LESSON. Its texts are in the catalogue under the lesson's id: title, goal,
a table for each step (title, text, and guess where the step asks one), try, and check, a list of
three questions, and recap, three sentences on what one knows then. A question has ask, options,
right (an index) and why, one sentence per option.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vitviz.ui.visit.language import t
from vitviz.ui.visit.order import NUMBERS
from vitviz.ui.visit.session import Session

TRY, CHECK = "try", "check"
MINUTES = 2  # a screen
CHECKS = 3  # questions of a self-check
NOTEBOOKS = Path(__file__).resolve().parents[2] / "data" / "notebooks"


@dataclass(frozen=True)
class Step:
    """One screen.

    Attributes:
        id: of its texts.
        show: draws its widgets.
        guess: whether the visitor answers a question before the widgets appear.
        formula: LaTeX that the words refer to; its lines end with two backslashes.
        results: LaTeX of what is to be found out, for worksheets with answers.
        sample: that it opens on where no photo was chosen; None for the first.
    """

    id: str
    show: Callable[[Session], None]
    guess: bool = False
    formula: str = ""
    results: str = ""
    sample: str | None = None


@dataclass(frozen=True)
class Lesson:
    """A page of the course.

    Attributes:
        id: its address, and the key of its texts; its place in the course is in visit/order.py.
        steps: in order.
        task: the widgets of the task at the end.
        papers: address by title.
    """

    id: str
    steps: tuple[Step, ...]
    task: Callable[[Session], None]
    papers: Mapping[str, str]

    @property
    def number(self) -> int:
        """Its place in the course."""
        return NUMBERS[self.id]

    @property
    def screens(self) -> list[str]:
        """The steps' ids, then the task and the self-check."""
        return [*(step.id for step in self.steps), TRY, CHECK]

    @property
    def guesses(self) -> list[str]:
        """The keys of the questions that are asked before widgets appear."""
        return [f"{self.id}.{step.id}.guess" for step in self.steps if step.guess]

    @property
    def checks(self) -> list[str]:
        """The keys of the self-check's questions."""
        return [f"{self.id}.{CHECK}.{number}" for number in range(CHECKS)]

    @property
    def questions(self) -> list[str]:
        """The keys of all its questions."""
        return self.guesses + self.checks

    def step(self, screen: str) -> Step:
        """The step of a screen; of the last two, the task's."""
        return next((step for step in self.steps if step.id == screen), Step(TRY, self.task))

    @property
    def minutes(self) -> int:
        """About how long it takes, with what there is to try."""
        return MINUTES * len(self.screens)

    @property
    def notebook(self) -> Path | None:
        """The file that recomputes its numbers, where it has one."""
        path = NOTEBOOKS / f"{self.id}.ipynb"
        return path if path.exists() else None

    def text(self, key: str, **values: object) -> str:
        """One of its own texts."""
        return t(f"{self.id}.{key}", **values)
