"""Whether a model's layers follow each other, each reading what the one before wrote.

Methods that go through all layers, such as rollout, multiply their maps. That says nothing of two
models whose numbers are added, or of attention modules side by side in one block.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from vitviz.models.core import channels_of, float_type
from vitviz.recording.changes import without_result
from vitviz.recording.noise import noise
from vitviz.recording.recorder import Recorder

__all__ = ["is_chain"]


def is_chain(module: nn.Module, size: tuple[int, int], layers: Sequence[str]) -> bool:
    """Whether what each layer attends to depends on the result of the one before.

    The model runs once with an autograd graph. Where no gradient leads from a layer to the next,
    through weights in int8 or a detach, it runs once more with the former switched off.

    Args:
        module: the model.
        size: (height, width) of its input.
        layers: names of the modules that attend, each once, in order.
    """
    pixels = noise(1, channels_of(module), *size).to(float_type(module))
    as_it_is = torch.autocast("cpu", enabled=False)
    with torch.inference_mode(False), torch.enable_grad(), as_it_is, Recorder(module) as recorder:
        module(pixels.clone().requires_grad_())
    calls = {call.module: number for number, call in enumerate(recorder.calls)}

    def reaches(before: str, after: str) -> bool:
        read, written = recorder.calls[calls[after]].value, recorder.attended.get(before)
        if written is not None and read.requires_grad:
            direction = noise(*read.shape, seed=1).to(read.dtype)
            [gradient] = torch.autograd.grad(
                read, written, direction, retain_graph=True, allow_unused=True
            )
            if gradient is not None and gradient.any():
                return True
        off = [without_result(before)]
        with torch.no_grad(), as_it_is, Recorder(module, changes=off) as without:
            module(pixels)
        return not torch.equal(without.calls[calls[after]].value, read)

    return all(reaches(before, after) for before, after in pairwise(layers))
