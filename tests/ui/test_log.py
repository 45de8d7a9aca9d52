"""What is logged says what happened, and nothing of a visitor."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY
from streamlit.testing.v1 import AppTest

from vitviz.ui.entry.log import CountCrashes, JsonLines, People

SECRET = "anna-in-the-garden.jpg"


def record(event: str, *values: object, told: dict[str, int] | None = None) -> logging.LogRecord:
    made = logging.LogRecord("streamlit.x", logging.WARNING, "x.py", 1, event, values, None)
    if told:
        made.told = told
    return made


def test_a_line_of_json_is_what_the_code_says() -> None:
    said = json.loads(JsonLines().format(record("Cannot read %s", SECRET, told={"visitors": 3})))
    assert said.pop("time").endswith("+00:00")
    assert said == {
        "level": "warning",
        "logger": "streamlit.x",
        "event": "Cannot read %s",
        "visitors": 3,
    }


def test_an_error_is_its_kind_and_place() -> None:
    made = record("Uncaught app execution")
    try:
        int(SECRET)
    except ValueError:
        made.exc_info = sys.exc_info()
    line = JsonLines().format(made)
    said = json.loads(line)
    assert said["error"] == "ValueError"
    assert said["at"][-1].startswith("test_log.py:")
    assert said["at"][-1].endswith(" test_an_error_is_its_kind_and_place")
    assert SECRET not in line
    assert "\n" not in line


def test_people_read_the_same_in_words() -> None:
    line = People("%(message)s").format(record("draining", told={"seconds": 60, "visitors": 3}))
    assert line == "draining seconds=60 visitors=3"


@pytest.fixture
def counting() -> Iterator[None]:
    counter = CountCrashes()
    log = logging.getLogger("streamlit.error_util")
    log.addHandler(counter)
    yield
    log.removeHandler(counter)


@pytest.mark.usefixtures("counting")
def test_streamlit_says_what_a_page_did_not_expect() -> None:
    """Where this fails, hear_of_crashes listens in the wrong place."""
    before = REGISTRY.get_sample_value("vitviz_crashes_total")
    app = AppTest.from_string("None.missing").run()
    assert app.exception
    assert before is not None
    assert REGISTRY.get_sample_value("vitviz_crashes_total") == before + 1
