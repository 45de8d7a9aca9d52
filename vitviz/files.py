"""Folders and files that are written, and what to say if they cannot be."""

from __future__ import annotations

from pathlib import Path

from vitviz.errors import VitvizError

__all__ = ["make_folder", "not_written"]


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


def not_written(file: Path, error: BaseException) -> VitvizError:
    """What to say of a file that could not be written, such as on a full disk."""
    return VitvizError(
        "file_not_written",
        "{file} cannot be written: {reason}.",
        file=file,
        reason=getattr(error, "strerror", None) or error,
    )
