"""All that the server keeps of one visitor, besides the values of the widgets (see keys.py)."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Literal
from weakref import WeakKeyDictionary, WeakSet

import streamlit as st
from PIL import Image

from vitviz.classroom.classroom import Shown, Student, Teacher
from vitviz.errors import ImageError, VitvizError
from vitviz.ui.visit.album import Album, Run
from vitviz.ui.visit.session import Photo, Session
from vitviz.ui.visit.streamlit_private import run_state
from vitviz.ui.visit.work import Work

VISIT = "visit"  # the only key of the session state that belongs to no widget
Side = Literal["main", "second"]
RefusedFile = tuple[str, VitvizError]  # a file's name, and what is wrong with it


@dataclass(eq=False)
class ExamSheet:
    """An exam that a visitor takes.

    Attributes:
        draw: which one, see course/exam.py.
        answers: the option chosen, by the question's number in the pool.
        handed_in: whether it says what is right.
    """

    draw: int
    answers: dict[int, int] = field(default_factory=dict)
    handed_in: bool = False

    def hand_in(self) -> None:
        """From now on no answer changes."""
        self.handed_in = True


@dataclass(eq=False)
class Visit:
    """One visitor's.

    Attributes:
        admitted: whether there was room, see admission.py.
        language: chosen last; the address comes first.
        page, sample, model: shown last, to be put into the address of another page; a sample only
            if it was chosen.
        written: what `choice` wrote into the address, by the widget's key.
        fetch_failed: why a model's weights could not be fetched.
        own: the photo that the visitor brought.
        opening: held while files are opened that the visitor brought.
        arrived: the photos that were brought since they could be shown; the next page chooses them.
        taken: how many files were brought; part of the upload fields' keys, so each empties them.
        refused: the file that was brought last, if it was no photo.
        decoded: a photo that was just taken, by its key, until its first recording is made.
        recorded: the page's photo, and the second one where a page shows two.
        panels: the method that is chosen on each side of Compare.
        lesson: shown last.
        answers: chosen in lessons, by the question's key.
        answers_found: whether the browser has said which answers it kept.
        exam: the last one.
        patch: the one that lessons follow, as in the address.
        layer, head: the ones that lessons follow; None until they are chosen.
        second, second_taken, second_refused: as `own`, `taken`, `refused`, of a lesson's own photo.
        album: photos to train on.
        asked_to_train: whether the training of a head was asked for and has not begun.
        trained: the head that was trained on them.
        views: how often random views were drawn again.
        shuffles: how often the patches were shuffled again.
        sentence: typed in the lessons on words; empty until then.
        word, word_layer, word_head: the piece, layer and head that they follow.
        works: that are under way, or whose result was not shown yet, by their names.
        teaches, attends: the live class, as its teacher or as a student.
        class_asked: whether the browser was asked for a class from before a reload.
        class_kept: what the browser shall keep of it; None leaves it as it is.
        follows: whether the page goes where the teacher goes.
        followed: where that was last.
        handed_in: answers that the class has, by the question's key.
    """

    admitted: bool = False
    language: str = ""
    page: str | None = None
    sample: str | None = None
    model: str | None = None
    written: dict[str, str | None] = field(default_factory=dict)
    fetch_failed: VitvizError | None = None
    own: Photo | None = None
    opening: threading.Lock = field(default_factory=threading.Lock)
    arrived: set[Side] = field(default_factory=set)
    taken: int = 0
    refused: RefusedFile | None = None
    decoded: tuple[str, Image.Image] | None = None
    recorded: dict[Side, Session] = field(default_factory=dict)
    panels: dict[str, str] = field(default_factory=dict)
    lesson: str | None = None
    answers: dict[str, int | None] = field(default_factory=dict)
    answers_found: bool = False
    exam: ExamSheet | None = None
    patch: str = ""
    layer: int | None = None
    head: int | None = None
    second: Photo | None = None
    second_taken: int = 0
    second_refused: RefusedFile | None = None
    album: Album = field(default_factory=Album)
    asked_to_train: bool = False
    trained: Run | None = None
    views: int = 0
    shuffles: int = 0
    sentence: str = ""
    word: int | None = None
    word_layer: int = 0
    word_head: int = 0
    works: dict[str, Work[Any]] = field(default_factory=dict)
    teaches: Teacher | None = None
    attends: Student | None = None
    class_asked: bool = False
    class_kept: dict[str, str] | None = None
    follows: bool = True
    followed: Shown | None = None
    handed_in: dict[str, int] = field(default_factory=dict)

    @property
    def held(self) -> int:
        """Bytes of the files that are kept of the photos the visitor brought."""
        photos = [photo.data for photo in (self.own, self.second) if photo]
        return sum(map(len, [*photos, *(file for of in self.album.photos for file in of)]))

    def forget_photo(self) -> None:
        """Keep nothing of the visitor's own photo."""
        self.own = self.refused = self.decoded = None
        self.recorded.clear()
        while self.works:
            self.works.popitem()[1].stop()

    def forget_second(self) -> None:
        """Keep nothing of the second one."""
        self.second = self.second_refused = self.decoded = None
        self.recorded.pop("second", None)


def without_frames(error: ImageError) -> ImageError:
    """An error to be kept: its traceback would keep the file that it is about."""
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return error


_visits: WeakSet[Visit] = WeakSet()
_of_runs: WeakKeyDictionary[object, Visit] = WeakKeyDictionary()
_counting = threading.Lock()


def visit() -> Visit:
    """This visitor's. A page asks for it a thousand times, and Streamlit's state is slow to say."""
    state = run_state()
    found = None if state is None else _of_runs.get(state)
    if found is None:
        found = st.session_state.setdefault(VISIT, Visit())
        with _counting:
            _visits.add(found)
            if state is not None:
                _of_runs[state] = found
    return found


def held_by_all() -> int:
    """Bytes of the files that are kept of all visitors' photos."""
    with _counting:
        return sum(each.held for each in _visits)
