"""What any module can be asked, and the part of a model that is a Vision Transformer by itself."""

from __future__ import annotations

import torch
from torch import nn

from vitviz.models.libraries import BLOCK_LISTS, pretrained_config, says_origin, tokens_of

__all__ = ["channels_of", "core_of", "device_of", "float_type"]


def float_type(module: nn.Module) -> torch.dtype:
    """The float type of a module's weights."""
    types = (p.dtype for p in module.parameters() if p.is_floating_point())
    return next(types, torch.float32)


def device_of(module: nn.Module) -> torch.device:
    """Where a module's weights are; the processor if it has none."""
    return next((p.device for p in module.parameters()), torch.device("cpu"))


def channels_of(module: nn.Module) -> int:
    """How many channels a model's input has: those of its first convolution; 3 without one, or
    where timm says that none sees the pixels, as in CSATv2, which reads their frequencies."""
    if pretrained_config(module).get("first_conv") == []:
        return 3
    convolutions = (m for m in module.modules() if isinstance(m, nn.Conv2d) and m.groups == 1)
    return next((m.in_channels for m in convolutions), 3)


def core_of(module: nn.Module) -> str:
    """The name of the one part that is a Vision Transformer by itself; "" for the model as a whole.

    Something may be wrapped around it: a normalisation, a head of one's own, an adapter, or another
    library's class.
    """
    for says in (_says_tokens, says_origin, _keeps_blocks):
        names = [name for name, part in module.named_modules() if says(part)]
        outermost = [n for n in names if not any(n != o and _is_inside(n, o) for o in names)]
        if len(outermost) == 1:
            return outermost[0]
    return ""


def _says_tokens(part: nn.Module) -> bool:
    return tokens_of(part) is not None


def _keeps_blocks(part: nn.Module) -> bool:
    def keeps(name: str) -> bool:
        try:
            return isinstance(part.get_submodule(name), (nn.Sequential, nn.ModuleList))
        except AttributeError:
            return False

    return any(map(keeps, BLOCK_LISTS))


def _is_inside(name: str, other: str) -> bool:
    return not other or name.startswith(f"{other}.")
