"""A folder with one sub-folder a class: its photos, and those that cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from PIL import Image

from vitviz.errors import ImageError, Phrase, VitvizError
from vitviz.photos.load import SUFFIXES, load_image
from vitviz.progress import Progress

__all__ = ["LEAST", "Opened", "PhotoFolder", "Skipped", "read_folder", "writable"]

T = TypeVar("T")

LEAST = 2  # photos a class: one to train on and one to hold out


@dataclass(frozen=True)
class Skipped:
    """A file that is no usable photo: its path below the folder, and why."""

    file: str
    error: str


@dataclass(frozen=True)
class PhotoFolder:
    """Photos by class, in the layout of torchvision's `ImageFolder`.

    Attributes:
        folder: where they are.
        labels: the classes: the names of the sub-folders, in order.
        files: the photos, class after class, each in order of their names.
        targets: index of each photo's class.
        skipped: files that were left out.
    """

    folder: Path
    labels: tuple[str, ...]
    files: tuple[Path, ...]
    targets: tuple[int, ...]
    skipped: tuple[Skipped, ...] = ()

    @property
    def counts(self) -> list[int]:
        """How many photos each class has."""
        return [self.targets.count(index) for index in range(len(self.labels))]

    def name(self, file: Path) -> str:
        """A photo's path below the folder, in characters that can be written."""
        return writable(file.relative_to(self.folder).as_posix())

    def without(self, broken: dict[Path, str]) -> PhotoFolder:
        """The same without files that cannot be used, by path, with the reason.

        Raises:
            VitvizError: if a class has fewer than two photos left.
        """
        usable = [
            pair for pair in zip(self.files, self.targets, strict=True) if pair[0] not in broken
        ]
        skipped = tuple(Skipped(self.name(file), error) for file, error in broken.items())
        left = replace(
            self,
            files=tuple(file for file, _ in usable),
            targets=tuple(target for _, target in usable),
            skipped=skipped,
        )
        _check(left)
        return left


def read_folder(folder: str | Path) -> PhotoFolder:
    """Find the photos, without opening them. Files that are no photos by their names, files outside
    the sub-folders, and what is hidden are passed over.

    Raises:
        VitvizError: if there is no such folder, fewer than two classes, or a class with fewer than
            two photos.
    """
    folder = Path(folder)
    try:
        is_folder = folder.is_dir()
    except OSError:  # such as a name that is too long
        is_folder = False
    if not is_folder:
        raise VitvizError(
            "not_a_folder",
            "{folder} is not a folder; give one with a sub-folder for each class.",
            folder=folder,
        )
    classes = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not classes:
        raise VitvizError(
            "no_sub_folders",
            "{folder} has no sub-folders; put each class's photos into its own.",
            folder=folder,
        )
    if len(classes) == 1:
        raise VitvizError(
            "one_class_folder",
            "{folder} has only one class, “{label}”; a classifier needs at least two sub-folders.",
            folder=folder,
            label=writable(classes[0].name),
        )
    photos = [_photos(sub_folder) for sub_folder in classes]
    found = PhotoFolder(
        folder,
        tuple(writable(sub_folder.name) for sub_folder in classes),
        tuple(file for files in photos for file in files),
        tuple(index for index, files in enumerate(photos) for _ in files),
    )
    _check(found)
    return found


def _photos(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
    )


def _check(found: PhotoFolder) -> None:
    """A class with fewer than two photos can be trained or measured, not both."""
    for label, count in zip(found.labels, found.counts, strict=True):
        if count < LEAST:
            number = len(found.skipped)
            skipped = Phrase("files_skipped", " ({count} files were skipped)", count=number)
            raise VitvizError(
                "too_few_usable_photos",
                "The class “{label}” has {count} usable photos{skipped}; each class needs at "
                "least {least}.",
                label=label,
                count=count,
                skipped=skipped if number else "",
                least=LEAST,
            )


def writable(name: str) -> str:
    """A file's name in valid Unicode; bytes that are none become question marks."""
    return name.encode(errors="replace").decode()


class Opened(Generic[T]):
    """What is made of each photo: opened when asked for, and kept while there is room.

    Args:
        files: the photos, by number.
        make: what is made of an opened photo.
        most: how many are kept.
    """

    def __init__(self, files: Sequence[Path], make: Callable[[Image.Image], T], most: int) -> None:
        self._files, self._make, self._most = files, make, most
        self._kept: dict[Path, T] = {}

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> T:
        file = self._files[index]
        if file in self._kept:
            return self._kept[file]
        made = self._make(load_image(file))
        if len(self._kept) < self._most:
            self._kept[file] = made
        return made

    def broken(self, progress: Progress) -> dict[Path, str]:
        """Open all; which cannot be opened, and why."""
        found = {}
        for index, file in enumerate(self._files):
            try:
                self[index]
            except ImageError as error:
                found[file] = str(error)
            progress((index + 1) / len(self._files))
        return found

    def only(self, files: Sequence[Path]) -> Opened[T]:
        """The same for some of the files; what is kept of them is shared."""
        some = Opened(files, self._make, self._most)
        some._kept = self._kept
        return some
