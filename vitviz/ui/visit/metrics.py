"""What the owner of a server is told of it: counts and seconds of all visitors together, never
anything of one of them. Every label has few values, all of them written in this code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Histogram

from vitviz.errors import VitvizError

__all__ = ["CRASHES", "PAGE", "REFUSED", "WAIT", "WORK", "refusals"]

SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)

WORK = Histogram(
    "vitviz_work_seconds",
    "Seconds that work took: look (a turn at the model), open (a photo), or a long one.",
    ["kind"],
    buckets=SECONDS,
)
WAIT = Histogram(
    "vitviz_wait_seconds",
    "Seconds that work waited for its turn at the model.",
    ["queue"],
    buckets=SECONDS,
)
PAGE = Histogram(
    "vitviz_page_seconds",
    "Seconds from a visitor's click to the whole page, waiting included.",
    ["page"],
    buckets=SECONDS,
)
REFUSED = Counter("vitviz_refusals", "What visitors were refused, by the reason's id.", ["reason"])
CRASHES = Counter("vitviz_crashes", "Pages that ended with an error nobody expected.")


@contextmanager
def refusals() -> Iterator[None]:
    """Counts what is refused within."""
    try:
        yield
    except VitvizError as error:
        REFUSED.labels(error.id).inc()
        raise
