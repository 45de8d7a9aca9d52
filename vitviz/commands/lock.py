"""Two runs of a command do not write to one place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from vitviz.errors import VitvizError
from vitviz.files import not_written

__all__ = ["locked"]


@contextmanager
def locked(file: Path, out: Path) -> Iterator[None]:
    """Only this process writes to `out` meanwhile; the file that says so goes at the end.

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
        try:
            yield
        finally:
            # Before the lock is let go: who has opened the file until then locks one without a
            # name, which filelock refuses. Where no open file can be removed, filelock does it.
            with suppress(OSError):
                file.unlink()
