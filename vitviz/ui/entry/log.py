"""What the server logs: for people, or in lines of JSON that hold nothing of a visitor."""

from __future__ import annotations

import json
import logging
import traceback
from datetime import UTC, datetime
from pathlib import Path

from vitviz.ui.visit.metrics import CRASHES
from vitviz.ui.visit.streamlit_private import hear_of_crashes, log_as, log_of_uvicorn_as
from vitviz.zoo.settings import logs_are_json

__all__ = ["JsonLines", "People", "log", "set_up_log", "set_up_log_of_server"]

log = logging.getLogger("vitviz")


class JsonLines(logging.Formatter):
    """A line for each event: what the code says, without the values that are filled in and without
    an error's words, which may be a visitor's. `extra={"told": …}` adds values that are not."""

    def format(self, record: logging.LogRecord) -> str:
        """As JSON."""
        said = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": str(record.msg),
            **getattr(record, "told", {}),
        }
        if record.exc_info and (error := record.exc_info[1]):
            said["error"] = type(error).__name__
            said["at"] = [
                f"{Path(place.filename).name}:{place.lineno} {place.name}"
                for place in traceback.extract_tb(error.__traceback__)
            ]
        return json.dumps(said)


class People(logging.Formatter):
    """A line for people, with what `told` adds."""

    def format(self, record: logging.LogRecord) -> str:
        """As text."""
        told = getattr(record, "told", {})
        return " ".join([super().format(record), *(f"{name}={told[name]}" for name in told)])


class CountCrashes(logging.Handler):
    """Counts, and writes nothing."""

    def emit(self, _: logging.LogRecord) -> None:
        """One more."""
        CRASHES.inc()


def set_up_log() -> None:
    """Before the server starts: on standard error, as the owner wants it."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if logs_are_json() else People("%(asctime)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    hear_of_crashes(CountCrashes())
    if logs_are_json():
        log_as(JsonLines())


def set_up_log_of_server() -> None:
    """The rest, once it runs."""
    if logs_are_json():
        log_of_uvicorn_as(JsonLines())
