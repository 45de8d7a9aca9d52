"""The weights in a file, whatever training scripts have wrapped them in."""

from __future__ import annotations

import argparse
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from pickle import PickleError, UnpicklingError
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from vitviz.errors import FAILURES, ModelError, Phrase

__all__ = [
    "DAMAGED",
    "Refused",
    "State",
    "check_parameter_count",
    "check_values",
    "first_of",
    "read_state",
]

State = dict[str, Tensor]

AVERAGES = ("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema", "teacher")
PLAIN = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "module",
    "student",
    "weights",
)
SETS = (*AVERAGES, *PLAIN)
"""Names under which training scripts save a model's weights, the best of several first."""

WRAPPERS = (
    "module.",
    "model.",
    "backbone.",
    "net.",
    "network.",
    "encoder.",
    "student.",
    "teacher.",
)
COMPILED = "_orig_mod."  # may stand before any part of a key
DEEP = 3  # containers in containers
SHOWN = 6  # names in a message
FIRST = 3  # keys of many

# What weights_only would refuse and is harmless: NumPy's numbers, and a script's arguments.
SCALAR: Any = np.float64(0).__reduce__()[0]  # what makes them again
HARMLESS: list[Any] = [
    argparse.Namespace,
    np.dtype,
    *(type(np.dtype(kind)) for kind in "?bhilqBHILQefd"),
    SCALAR,
    (SCALAR, "numpy.core.multiarray.scalar"),  # its name before NumPy 2
]

SPARE = 10**6  # numbers by which a model may be larger than four times its file


DAMAGED = (*FAILURES, ModelError, EOFError, PickleError, SafetensorError, struct.error)
"""What reading a file of weights raises that is cut off, damaged or something else."""


class Refused(ValueError):
    """Why weights are not used, as words that other languages find too."""

    def __init__(self, reason: Phrase) -> None:
        super().__init__(str(reason))
        self.reason = reason


def read_state(file: Path, device: str = "cpu") -> State:
    """A model's weights by their keys.

    Containers are looked into: an average or a teacher comes before what it was made from. Prefixes
    that all keys have, or that a backbone has beside a head, are stripped. Nothing in the file is
    run.

    Args:
        file: .safetensors, .pth, .pt or .bin.
        device: "meta" for shapes alone, which reads no numbers.

    Raises:
        ModelError: if the file holds no weights, or several models'.
    """
    content = _content(file, device)
    found = dict(_sets(content))
    if not found:
        held = list(content) if isinstance(content, Mapping) else [type(content).__name__]
        raise ModelError(
            "no_weights_in_file",
            "{file} holds no weights, but {held}; save the state_dict alone.",
            file=file.name,
            held=", ".join(map(str, held[:SHOWN])) or Phrase("nothing", "nothing"),
        )
    return _stripped(found[_chosen(found, file)])


def check_values(state: State) -> None:
    """Refused if weights are no floats or not finite."""
    for key, value in state.items():
        is_weight = key.endswith(("weight", "bias")) or value.ndim > 2
        if not value.is_floating_point() and (is_weight or value.is_complex()):
            raise Refused(
                Phrase(
                    "weights_no_floats",
                    "its weights are no floats: {key} is {dtype}; save them as float32.",
                    key=key,
                    dtype=str(value.dtype).removeprefix("torch."),
                )
            )
        if value.is_floating_point() and not bool(value.float().isfinite().all()):
            raise Refused(
                Phrase(
                    "weights_in_file_not_finite",
                    "its weights hold numbers that are not finite, as in {key}; the training broke "
                    "down, or the file is damaged.",
                    key=key,
                )
            )


def check_parameter_count(build: Callable[[], object], numbers: int) -> None:
    """Refused if a model would have far more parameters than there are numbers for it.

    It is built without memory, and given up as soon as it is too large.

    Args:
        build: makes the model.
        numbers: in its file.
    """
    most, thread, built = 4 * numbers + SPARE, threading.get_ident(), 0

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal built
        del module, name
        if parameter is None or threading.get_ident() != thread:
            return
        built += parameter.numel()
        if built > most:
            raise Refused(
                Phrase(
                    "model_larger_than_file",
                    "it would have more than {most:,} parameters, and its weights are only "
                    "{numbers:,} numbers; they do not belong together.",
                    most=most,
                    numbers=numbers,
                )
            )

    handle = register_module_parameter_registration_hook(count)
    try:
        with torch.device("meta"):
            build()
    except (NotImplementedError, RuntimeError):  # it needs numbers to be built
        pass
    finally:
        handle.remove()


def _content(file: Path, device: str) -> Any:
    if file.suffix != ".safetensors":
        try:
            with torch.serialization.safe_globals(HARMLESS):
                return torch.load(file, map_location=device, weights_only=True)
        except UnpicklingError as error:
            if "GLOBAL" not in str(error):
                raise Refused(  # torch's own words advise to run what is in it
                    Phrase("no_file_of_weights", "it is no file of weights, or a damaged one.")
                ) from error
            raise Refused(_needed(file)) from error
    with safe_open(file, framework="pt") as weights:
        if device != "meta":
            return {key: weights.get_tensor(key) for key in weights.keys()}  # noqa: SIM118
        shapes = {key: weights.get_slice(key).get_shape() for key in weights.keys()}  # noqa: SIM118
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


def _needed(file: Path) -> Phrase:
    """What a pickle would run."""
    needed = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    return Phrase(
        "more_than_weights",
        "it is more than weights and would run {needed}; save the state_dict alone.",
        needed=first_of(needed),
    )


def first_of(names: Sequence[str]) -> str | Phrase:
    """A few names, and how many more there are."""
    first, more = ", ".join(names[:FIRST]), len(names) - FIRST
    return (
        first
        if more <= 0
        else Phrase("and_more", "{first} and {more} more", first=first, more=more)
    )


def _sets(content: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], State]]:
    """The sets of weights in what was saved, by the names that lead there."""
    if not isinstance(content, Mapping) or len(path) > DEEP or "optim" in "".join(path):
        return
    tensors = {key: value for key, value in content.items() if isinstance(value, Tensor)}
    if tensors and all(isinstance(key, str) for key in tensors) and 2 * len(tensors) > len(content):
        yield path, tensors
        return
    for key, value in content.items():
        if isinstance(key, str):
            yield from _sets(value, (*path, key))


def _chosen(found: Mapping[tuple[str, ...], State], file: Path) -> tuple[str, ...]:
    """Which set of weights is the model's."""
    if len(found) == 1:
        return next(iter(found))
    ranks = {path: [SETS.index(name) for name in path if name in SETS] for path in found}
    known = {path: min(rank) for path, rank in ranks.items() if rank}
    best = [path for path, rank in known.items() if rank == min(known.values())]
    if len(best) == 1:
        return best[0]
    raise ModelError(
        "several_weights_in_file",
        "{file} holds the weights of several models: {held}; save one of them alone.",
        file=file.name,
        held=", ".join(".".join(path) for path in list(found)[:SHOWN]),
    )


def _stripped(state: State) -> State:
    """Without what wrappers have put in front of the keys, one after another."""
    state = {key.replace(COMPILED, ""): value for key, value in state.items()}
    while prefix := next((p for p in WRAPPERS if _is_wrapped(state, p)), None):
        state = {key.removeprefix(prefix): v for key, v in state.items() if _is_kept(key, prefix)}
    return state


def _is_wrapped(state: State, prefix: str) -> bool:
    """Whether all keys begin so, or those of a backbone that has another head beside it."""
    inside = sum(key.startswith(prefix) for key in state)
    return inside == len(state) > 0 or (prefix == "backbone." and 2 * inside > len(state))


def _is_kept(key: str, prefix: str) -> bool:
    """A classifier beside a backbone is kept; the layers of a head for its training are not."""
    return key.startswith(prefix) or key in ("head.weight", "head.bias")
