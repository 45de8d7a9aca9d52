"""Two runs of a command do not write to one place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from vitviz.errors import VitvizError
from vitviz.files import not_written

__all__ = ["locked"]


@contextmanager
def locked(file: Path, out: Path) -> Iterator[None]:
    """Only this process writes to `out` meanwhile. The file that says so stays: to remove it would
    let two others in.

    Raises:
        VitvizError: if another process writes there, or the file cannot be made.
    """
    try:
        lock = FileLock(file).acquire(timeout=0)
    except Timeout as error:
        raise VitvizError(
            "out_in_use",
            "Another run writes to {out} just now; wait for its end, or name another place.",
            out=out,
        ) from error
    except OSError as error:
        raise not_written(out, error) from error
    with lock:
        yield
