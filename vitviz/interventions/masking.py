"""The model run again on its input with some patches replaced."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from vitviz.progress import Progress, batches
from vitviz.recording.recorder import Recorder
from vitviz.recording.recording import Recording

__all__ = ["grey", "mask_patches", "patch_sums", "read_masked"]


@torch.no_grad()
def grey(rec: Recording) -> Tensor:
    """The model's mean colour, (channels, 1, 1): 0 after its normalisation, be that in its
    transform or in the model itself, in front of the part that is a Vision Transformer."""
    module, core = rec.vit.running, rec.vit.anatomy.core_name

    def seen(colour: float) -> Tensor | None:
        with Recorder(module, watch=[core]) as recorder:
            rec.vit.run(torch.full_like(rec.pixels[None], colour).to(rec.vit.anatomy.float_type))
        given = recorder.inputs.get(core)
        return given.mean(dim=(0, 2, 3)) if isinstance(given, Tensor) and given.ndim == 4 else None

    none = rec.pixels.new_zeros(len(rec.pixels), 1, 1)
    if not core:
        return none
    black, white = seen(0.0), seen(1.0)
    if black is None or white is None or len(black) != len(none):
        return none
    return torch.nan_to_num(black / (black - white), posinf=0.0, neginf=0.0)[:, None, None]


def mask_patches(rec: Recording, hidden: Tensor, filling: Tensor) -> Tensor:
    """The model's input with patches replaced: (masks, 3, height, width), normalised.

    Args:
        rec: whose input.
        hidden: which patches each mask replaces, boolean (masks, rows, cols).
        filling: what is seen there instead, normalised; any shape that expands to the input's.
    """
    height, width = rec.patch_size
    pixels = hidden.repeat_interleave(height, dim=1).repeat_interleave(width, dim=2)
    below, beside = (a - b for a, b in zip(rec.pixels.shape[-2:], pixels.shape[-2:], strict=True))
    pixels = F.pad(pixels, (0, beside, 0, below))  # less than 0 cuts off what the model pads
    return torch.where(pixels[:, None], filling, rec.pixels)


def patch_sums(rec: Recording, pixels: Tensor) -> Tensor:
    """The sum of numbers of the input's pixels, (channels, height, width), in each patch and over
    the channels: (patches,)."""
    (rows, cols), (height, width) = rec.grid, rec.patch_size
    beside, below = cols * width - pixels.shape[-1], rows * height - pixels.shape[-2]
    whole = F.pad(pixels.sum(dim=0), (0, beside, 0, below))  # less than 0 cuts off what none sees
    return whole.view(rows, height, cols, width).sum(dim=(1, 3)).flatten()


@torch.no_grad()
def read_masked(
    rec: Recording,
    hidden: Tensor,
    filling: Tensor,
    read: Callable[[Tensor], Tensor],
    progress: Progress | None = None,
) -> Tensor:
    """What `read` takes from the logits, (masks, classes) → (masks,), under each mask.

    The masked inputs are made and run a few at a time. `progress` is called with the finished
    share after every few; what it raises ends the computation.
    """
    parts = batches(len(hidden), rec.num_tokens, progress or (lambda _: None))
    masked = (mask_patches(rec, hidden[part], filling) for part in parts)
    return torch.cat([read(rec.run(pixels)) for pixels in masked])
