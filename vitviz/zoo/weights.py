"""Files of weights: what they hold, and why they cannot be used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import safe_open
from timm.models import clean_state_dict, load_state_dict
from torch import Tensor

from vitviz.errors import ModelError, Phrase

__all__ = [
    "count_parameters",
    "different_keys",
    "labels_beside",
    "reading",
    "shapes_of",
    "weight_files",
]

KINDS = (".safetensors", ".bin", ".pth", ".pt")
LABELS = "labels.txt"
SHOWN = 3  # differing keys in a message


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
    if file.suffix == ".safetensors":
        with safe_open(file, framework="pt") as weights:
            keys = list(weights.keys())
            return clean_state_dict({key: weights.get_slice(key).get_shape() for key in keys})
    state = load_state_dict(str(file), device="meta")
    shapes = {key: value.shape for key, value in state.items() if isinstance(value, Tensor)}
    if not shapes:
        held = ", ".join(str(key) for key in list(state)[:SHOWN])
        raise ModelError(
            "no_weights_in_file",
            "{file} holds no weights, but {held}; save the state_dict alone.",
            file=file.name,
            held=held or Phrase("nothing", "nothing"),
        )
    return shapes


def count_parameters(folder: Path) -> int | None:
    """How many numbers the weights in a folder are; None if they cannot be read."""
    try:
        found = [shape for file in weight_files(folder) for shape in shapes_of(file).values()]
    except Exception:  # whoever loads the model is told what is wrong with it
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
        reason = _reason(error, path)
        raise ModelError(
            "model_not_loaded",
            "The model {model} cannot be loaded: {reason}",
            model=name or path.name,
            reason=reason,
        ) from error


def _reason(error: Exception, path: Path) -> str | Phrase:
    """In one line."""
    text = str(error).replace(str(path), path.name)
    if "Error(s) in loading state_dict" in text and (different := _in_torchs_report(text)):
        return different
    if "weights_only=True blocked" in text:
        needed = _first(re.findall(r"\w+(?:\.\w+)+", text.partition("globals: ")[2]))
        return Phrase(
            "more_than_weights",
            "it is more than weights and would run {needed}; save the state_dict alone.",
            needed=needed,
        )
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
    lacking, spare, changed = (_first(list(keys)) for keys in (missing, unexpected, changes))
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


def _first(keys: Sequence[str]) -> str | Phrase:
    first, more = ", ".join(keys[:SHOWN]), len(keys) - SHOWN
    if more <= 0:
        return first
    return Phrase("and_more", "{first} and {more} more", first=first, more=more)
