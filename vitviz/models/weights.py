"""Which weights a model has, as one hash: results of some are never taken for those of others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import chain
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from vitviz.models.torch_private import changes_in_place, parts_of

__all__ = ["as_floats", "cached_weights_hash", "follow", "tensor_hash", "weights_hash"]

Changes = list[tuple[int, int]]

_followed: WeakKeyDictionary[nn.Module, Changes] = WeakKeyDictionary()
_known: WeakKeyDictionary[nn.Module, tuple[Changes, str]] = WeakKeyDictionary()


def weights_hash(module: nn.Module) -> str:
    """SHA-256 of a model's parameters and buffers, as 64 hexadecimal digits.

    The name, float type, shape and bits of each count, and nothing else: the same weights on
    another device or in another file have the same hash. About 0.2 seconds for a ViT-S.
    """
    return tensor_hash(_tensors(module))


def cached_weights_hash(module: nn.Module) -> str:
    """The same, computed again only when a tensor was replaced or changed in place since.

    Changes through `Tensor.data`, which PyTorch itself does not count, go unnoticed here.
    """
    changes = _changes(module)
    known = _known.get(module)
    if known is None or known[0] != changes:
        known = _known[module] = changes, weights_hash(module)
    return known[1]


def follow(copied: nn.Module, module: nn.Module) -> None:
    """Give a copy of a module its weights, unless they are those that it was given last, as far as
    `cached_weights_hash` notices it."""
    changes = _changes(module)
    if _followed.get(copied) != changes:
        copied.load_state_dict(module.state_dict())
        _followed[copied] = changes


def as_floats(weight: Tensor) -> Tensor:
    """A weight as ordinary numbers in float32, without a gradient, also where it is quantised."""
    return weight.detach().dequantize().float()


def tensor_hash(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """SHA-256 of named tensors of any type, as 64 hexadecimal digits."""
    found = hashlib.sha256()
    for name, tensor in tensors:
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        # NumPy has no bfloat16, but its bytes.
        found.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()


def _changes(module: nn.Module) -> Changes:
    """Where each tensor lies, and how often it was changed."""
    return [(t.data_ptr(), changes_in_place(t)) for _, t in _tensors(module)]


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """A model's parameters and buffers; of those that are made of others, as torchao quantises,
    these."""
    for name, tensor in chain(module.named_parameters(), module.named_buffers()):
        yield from parts_of(name, tensor)
