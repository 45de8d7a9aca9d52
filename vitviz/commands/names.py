"""Names of the files that are written for photos."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from vitviz.heatmap import Heatmap

__all__ = ["STDIN", "FileNames"]

STDIN = "-"
"""Among paths of photos: read it from standard input."""


class FileNames:
    """Gives each photo's files a name that no other photo has, here or where case does not count.

    Args:
        folder: where they are written; what lies there of other photos or models stays.
        photos: the paths of all photos of this run.
    """

    def __init__(self, folder: Path, photos: Sequence[str]) -> None:
        self.folder = folder
        self._own: dict[str, str] = {}
        wanted, taken = {_alike(_stem(photo)) for photo in photos}, set()
        for photo in dict.fromkeys(photos):
            stem = _stem(photo)
            name = next(
                name
                for name in _numbered(stem)
                if _alike(name) not in taken and (name == stem or _alike(name) not in wanted)
            )
            taken.add(_alike(name))
            self._own[photo] = name
        self._there = {_alike(file.name): file for file in folder.iterdir()}

    def of(self, photo: str, what: str, heat: Heatmap) -> tuple[Path, Path]:
        """The picture and the numbers of a photo: its name, and `what` is shown."""
        for name in _numbered(f"{self._own[photo]}_{what}"):
            files = self.folder / f"{name}.png", self.folder / f"{name}.npz"
            there = [self._there.get(_alike(file.name)) for file in files]
            if there == [None, None] or _is_of(there[1], heat):
                self._there |= {_alike(file.name): file for file in files}
                return files
        raise AssertionError("numbers do not end")


def _stem(photo: str) -> str:
    return "stdin" if photo == STDIN else Path(photo).stem


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}-{number}"
        number += 1


def _alike(name: str) -> str:
    """The same for names that some file systems take for one."""
    return unicodedata.normalize("NFC", name).casefold()


def _is_of(file: Path | None, heat: Heatmap) -> bool:
    """Whether these numbers were made from the same model and photo: a run that is repeated writes
    its files anew."""
    made = heat.made_from
    if file is None or made is None:
        return False
    try:
        with np.load(file) as archive:
            return (str(archive["weights"]), str(archive["input"])) == (made.weights, made.input)
    except (OSError, EOFError, KeyError, ValueError, BadZipFile):
        return False
