"""Folders and files that are written, and what to say if they cannot be."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from vitviz.errors import VitvizError

__all__ = ["make_folder", "not_written", "whole_file"]


def make_folder(folder: Path) -> None:
    """Make a folder and those that it lies in, if they are not there.

    Raises:
        VitvizError: if that cannot be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VitvizError(
            "folder_not_made",
            "The folder {folder} cannot be made: {reason}.",
            folder=folder,
            reason=error.strerror,
        ) from error


@contextmanager
def whole_file(file: Path) -> Iterator[BinaryIO]:
    """What is written here is in the file at the end, or the file is as it was before.

    Raises:
        VitvizError: if it cannot be written, such as on a full disk, or it is a folder.
    """
    unfinished = file.with_name(f".{file.name}.part")
    try:
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
        try:
            with unfinished.open("wb") as opened:
                yield opened
            unfinished.replace(file)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise not_written(file, error) from error


def not_written(file: Path, error: BaseException) -> VitvizError:
    """What to say of a file that could not be written, such as on a full disk."""
    return VitvizError(
        "file_not_written",
        "{file} cannot be written: {reason}.",
        file=file,
        reason=getattr(error, "strerror", None) or error,
    )
