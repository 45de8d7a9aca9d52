"""Files of weights: what they hold, and why they cannot be used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from vitviz.errors import ModelError, Phrase
from vitviz.zoo.state import DAMAGED, Refused, first_of, read_state

__all__ = [
    "count_parameters",
    "different_keys",
    "labels_beside",
    "not_loaded",
    "reading",
    "shapes_of",
    "weight_files",
]

KINDS = (".safetensors", ".bin", ".pth", ".pt")
LABELS = "labels.txt"


def weight_files(folder: Path) -> list[Path]:
    """A folder's files of weights: all of the first kind that it holds."""
    files = sorted(path for path in folder.iterdir() if path.suffix in KINDS and path.is_file())
    first = min((KINDS.index(path.suffix) for path in files), default=None)
    return [path for path in files if KINDS.index(path.suffix) == first]


def shapes_of(file: Path) -> Mapping[str, Sequence[int]]:
    """The shape of every tensor in a file, by its key without the prefixes of wrappers; the
    tensors themselves are not read.

    Raises:
        ModelError: if the file holds something else.
    """
    return {key: value.shape for key, value in read_state(file, "meta").items()}


def count_parameters(folder: Path) -> int | None:
    """How many numbers the weights in a folder are; None if they cannot be read."""
    try:
        found = [shape for file in weight_files(folder) for shape in shapes_of(file).values()]
    except DAMAGED:  # whoever loads the model is told what is wrong with it
        return None
    return sum(torch.Size(shape).numel() for shape in found)


def labels_beside(folder: Path, classes: int) -> tuple[str, ...] | None:
    """The lines of labels.txt, one for each class; None without that file.

    Raises:
        ModelError: if there are more or fewer lines than classes.
    """
    file = folder / LABELS
    if not file.is_file():
        return None
    names = tuple(file.read_text(encoding="utf-8").splitlines())
    if len(names) != classes:
        raise ModelError(
            "labels_differ_in_number",
            "{file} has {lines} lines and the model {classes} classes; it needs one line "
            "for each class, in their order.",
            file=LABELS,
            lines=len(names),
            classes=classes,
        )
    return names


@contextmanager
def reading(path: Path, name: str | None = None) -> Iterator[None]:
    """Whatever comes of a bad file or config becomes a ModelError with its reason: little of them
    is checked by those who read them. It names the model, and no place on this machine."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:
        raise not_loaded(name or path.name, _reason(error, path)) from error


def not_loaded(name: str, reason: str | Phrase) -> ModelError:
    """The error for a model that cannot be loaded, and why."""
    return ModelError(
        "model_not_loaded",
        "The model {model} cannot be loaded: {reason}",
        model=name,
        reason=reason,
    )


def _reason(error: Exception, path: Path) -> str | Phrase:
    """In one line."""
    if isinstance(error, Refused):
        return error.reason
    text = str(error).replace(str(path), path.name)
    if "Error(s) in loading state_dict" in text and (different := _in_torchs_report(text)):
        return different
    return text.strip().splitlines()[0] if text.strip() else type(error).__name__


def _in_torchs_report(text: str) -> Phrase | None:
    """Torch's report of weights that are another model's, with the first keys of each kind."""
    missing, unexpected = (
        re.findall(r'"([^"]+)"', "".join(re.findall(f"{kind} key.*", text)))
        for kind in ("Missing", "Unexpected")
    )
    sizes = re.findall(r"size mismatch for (\S+): .*?Size\(\[(.*?)\]\).*?Size\(\[(.*?)\]\)", text)
    return different_keys(
        missing, unexpected, [(key, a.split(", "), b.split(", ")) for key, a, b in sizes]
    )


def different_keys(
    missing: Iterable[str],
    unexpected: Iterable[str],
    sizes: Iterable[tuple[str, Sequence[object], Sequence[object]]],
) -> Phrase | None:
    """What the weights of another model differ in, the first keys of each kind; None if nothing.

    Args:
        missing: keys that only the model has.
        unexpected: keys that only the file has.
        sizes: (key, shape in the file, shape in the model).
    """
    changes = [f"{key} {_size(given)} → {_size(built)}" for key, given, built in sizes]
    lacking, spare, changed = (first_of(list(keys)) for keys in (missing, unexpected, changes))
    if not (lacking or spare or changed):
        return None
    return Phrase(
        "weights_differ",
        "its weights are another model’s{lacking}{spare}{changed}.",
        lacking=lacking and Phrase("keys_lacking", "; the file lacks {keys}", keys=lacking),
        spare=spare and Phrase("keys_spare", "; the model has no place for {keys}", keys=spare),
        changed=changed
        and Phrase("sizes_changed", "; sizes differ (file → model): {keys}", keys=changed),
    )


def _size(shape: Sequence[object]) -> str:
    return " × ".join(map(str, shape)) or "1"
