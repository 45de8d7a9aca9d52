"""The devices that a model can run on, and the float types that it can have there."""

from __future__ import annotations

import torch

from vitviz.errors import ModelError

__all__ = ["Device", "FloatType", "as_device", "as_float_type"]

Device = torch.device | str
FloatType = torch.dtype | str

FLOAT_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def as_device(device: Device) -> torch.device:
    """A device of this machine.

    Args:
        device: as torch names it, such as “cpu”, “cuda:1” or “mps”; or “auto”: CUDA where there is
            one, otherwise MPS, otherwise the processor.

    Raises:
        ModelError: if this machine has no such device.

    Examples:
        >>> as_device("cpu")
        device(type='cpu')
    """
    if device == "auto":
        mps = torch.backends.mps.is_available()
        device = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    try:
        found = torch.empty(1, device=device).device  # “cuda” is the first, “cuda:0”
    except (AssertionError, RuntimeError, NotImplementedError, TypeError) as error:
        raise _none(device) from error
    if found.type == "meta":  # it keeps no numbers
        raise _none(device)
    return found


def as_float_type(dtype: FloatType) -> torch.dtype:
    """A float type that models are run in.

    Args:
        dtype: as torch has it, or its name: “float32”, “bfloat16” or “float16”.

    Raises:
        ModelError: if it is another.

    Examples:
        >>> as_float_type("bfloat16")
        torch.bfloat16
    """
    for name, found in FLOAT_TYPES.items():
        if dtype in (name, found):
            return found
    raise ModelError(
        "no_float_type",
        "{dtype} is no type that models are run in; use one of {types}.",
        dtype=str(dtype).removeprefix("torch."),
        types=", ".join(FLOAT_TYPES),
    )


def _none(device: Device) -> ModelError:
    return ModelError(
        "no_device",
        "This machine has no device {device} to run models on; use auto, which takes the best "
        "that there is.",
        device=device,
    )
