"""What of a model can be shown, found out by asking it: `python -m vitviz coverage`."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from vitviz.coverage.families import Family, representative
from vitviz.errors import MethodError, ModelError
from vitviz.methods.explain import METHODS, explain
from vitviz.models.vit import Vit, from_module
from vitviz.recording.changes import without_result
from vitviz.recording.layout import Call
from vitviz.recording.places import COARSE
from vitviz.recording.query import Query
from vitviz.recording.record import record
from vitviz.recording.recorder import Recorder
from vitviz.recording.recording import Recording

__all__ = ["Coverage", "cover", "cover_family"]

PROBES = 6  # patches a layer whose place is checked


@dataclass(frozen=True)
class Coverage:
    """What was found out about one model.

    Attributes:
        maps: how its layers look, each kind with the number of layers.
        left_out: how many attention modules are not shown.
        checks: what held, by name: "logits" are those without recording, each "row" of a map sums
            to 1 (to less where a window holds padding), "values" weighted by the map are what the
            model computed, "places": a patch's value depends most on the pixels in its place.
        methods: ids of the methods that apply.
        reason: why nothing can be shown, or "".
    """

    maps: dict[str, int]
    left_out: int
    checks: dict[str, bool]
    methods: tuple[str, ...]
    reason: str

    @property
    def exact(self) -> bool:
        """Whether maps are shown and every check held."""
        return bool(self.maps) and all(self.checks.values())


def cover(module: nn.Module) -> Coverage:
    """Record a copy of a model of timm, with whatever weights it has, and check what is
    recorded."""
    module, generator = copy.deepcopy(module), torch.Generator().manual_seed(0)
    vit, photo = from_module(module), _photo()
    for layer in module.modules():
        if isinstance(layer, nn.Linear) and not layer.weight.any():  # a head that starts at zero
            nn.init.normal_(layer.weight, std=0.1, generator=generator)
    try:
        rec = record(vit, photo)
    except ModelError as error:
        return Coverage({}, _attention_modules(vit, photo), {}, (), str(error))
    with torch.no_grad():
        plain = module(rec.pixels[None])[0]
    checks = {
        "logits": rec.logits.numel() == 0 or torch.equal(plain, rec.logits),
        "rows": all(_rows_sum_to_one(rec, layer) for layer in _token_layers(rec)),
        "values": _values_agree(vit, rec),
        "places": _are_in_place(rec),
    }
    kinds = Counter(str(rec.kind(layer)) for layer in range(rec.num_layers))
    if rec.pool is not None:
        kinds["pooling"] = 1
    methods = tuple(id for id in METHODS if _applies(rec, id))
    return Coverage(dict(kinds), len(rec.left_out), checks, methods, "")


def cover_family(family: Family) -> Coverage:
    """The same for a family's representative, with random weights."""
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay his own
        torch.manual_seed(0)
        module = representative(family)
    return cover(module)


def _photo() -> Image.Image:
    """Smooth random colours."""
    coarse = np.random.default_rng(0).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((256, 256), Image.Resampling.BICUBIC)


def _attention_modules(vit: Vit, photo: Image.Image) -> int:
    """How many modules attend in some way that cannot be shown."""
    with torch.no_grad(), Recorder(vit.module) as recorder:
        vit.module(vit.transform(photo)[None])
    names = [call.module for call in recorder.calls]
    names += [name for name, shape in recorder.altered if len(shape) > 2]
    return len(set(names))


def _token_layers(rec: Recording) -> Iterator[int]:
    return (layer for layer in range(rec.num_layers) if rec.kind(layer) != "channel")


def _query(rec: Recording, layer: int, patch: tuple[int, int]) -> Query:
    """A patch of the layer as one of the recording's, or the class token if no patch looks."""
    if rec.kind(layer) == "class attention":
        return "cls"
    rows, cols = rec.layer_grid(layer)
    return patch[0] * rec.grid[0] // rows, patch[1] * rec.grid[1] // cols


def _patches(rec: Recording, layer: int) -> list[tuple[int, int]]:
    """Some patches of a layer, chosen at random, that are no neighbours and share no key."""
    rows, cols = rec.layer_grid(layer)
    pooled = any(
        rec.kind(other) == "pooled keys" and rec.layer_grid(other) == (rows, cols)
        for other in range(rec.num_layers)
    )
    apart = 2 * max(rows // COARSE, 1) if pooled else 1
    order = np.random.default_rng(rows).permutation(rows * cols).tolist()
    chosen: list[tuple[int, int]] = []
    for row, col in (divmod(patch, cols) for patch in order):
        if all(max(abs(row - r), abs(col - c)) > apart for r, c in chosen[:PROBES]):
            chosen.append((row, col))
    return chosen[:PROBES]


def _rows_sum_to_one(rec: Recording, layer: int) -> bool:
    """Whether rows of some patches that look sum to 1, or to less by what padding gets."""
    for patch in _patches(rec, layer):
        query = _query(rec, layer, patch)
        if rec.looks(layer, query):
            sums = rec.attention_row(layer, query).sum(dim=-1)
            padded = rec.kind(layer) == "windowed"
            if (sums > 1 + 1e-4).any() or (not padded and (sums < 1 - 1e-4).any()):
                return False
    return True


def _values_agree(vit: Vit, rec: Recording) -> bool:
    """Whether attention @ values is what the model's own attention gave, in every call."""
    with torch.enable_grad(), Recorder(vit.module) as recorder:
        vit.module(rec.pixels[None].to(vit.anatomy.float_type).requires_grad_())
    shown = {call.module for call in rec.layers}
    for call in recorder.calls:
        if call.module in shown:
            computed = recorder.attended[call.module]
            value = call.value.repeat_interleave(call.shape[1] // call.value.shape[1], dim=1)
            ours = call.rows(slice(None)) @ value
            if not torch.allclose(ours, computed.reshape(ours.shape), atol=1e-4, rtol=1e-3):
                return False
    return True


def _are_in_place(rec: Recording) -> bool:
    """Whether values stand for the patches that the recording says.

    The pixels of some patches are changed, one patch at a time: of these patches' values, the one
    said to be the changed patch's must change more than the others. This needs neither layouts nor
    gradients. Attention is switched off for it, so that nothing moves between patches in the layers
    before; where a layer is reached through attention alone, this cannot be asked.
    """
    layers = list(_token_layers(rec))
    before = _calls(rec, rec.pixels)
    for grid in {rec.layer_grid(layer) for layer in layers}:
        of_grid = [layer for layer in layers if rec.layer_grid(layer) == grid]
        patches = _patches(rec, of_grid[0])
        after = [_calls(rec, _changed(rec, grid, patch)) for patch in patches]
        for layer in of_grid:
            name = rec.layers[layer].module
            changes = [calls[name].value - before[name].value for calls in after]
            moved = torch.stack([_of_patches(rec, layer, c, patches) for c in changes])
            own = moved.argmax(dim=1) == torch.arange(len(patches))
            if rec.kind(layer) == "pooled keys":
                own |= ~moved.any(dim=1)  # a convolution's stride may pass a patch by
            if any(change.any() for change in changes) and not own.all():
                return False
    return True


def _changed(rec: Recording, grid: tuple[int, int], patch: tuple[int, int]) -> Tensor:
    """The input with noise in the place of one patch of a grid."""
    height, width = rec.pixels.shape[1] / grid[0], rec.pixels.shape[2] / grid[1]
    rows = slice(round(patch[0] * height), round((patch[0] + 1) * height))
    cols = slice(round(patch[1] * width), round((patch[1] + 1) * width))
    pixels = rec.pixels.clone()
    generator = torch.Generator().manual_seed(0)
    pixels[:, rows, cols] += torch.randn(pixels[:, rows, cols].shape, generator=generator)
    return pixels


@torch.no_grad()
def _calls(rec: Recording, pixels: Tensor) -> dict[str, Call]:
    """The attention calls on an input with attention switched off, by their module."""
    with Recorder(rec.vit.module, changes=[without_result()]) as recorder:
        rec.vit.module(pixels[None])
    return {call.module: call for call in recorder.calls}


def _of_patches(
    rec: Recording, layer: int, values: Tensor, patches: list[tuple[int, int]]
) -> Tensor:
    """Length of the value in which each patch is looked at, 0 if it is not: (patches,).

    Args:
        values: of the layer's call, (windows, heads, keys, dim).
    """
    keys, cols = values.shape[2], rec.layer_grid(layer)[1]
    numbers = torch.tensor([row * cols + col for row, col in patches])
    slots = rec.num_prefix_tokens + numbers
    if rec.layouts:
        slots = rec.layouts[layer].keys[rec.layouts[layer].prefix + numbers]
    lengths = values[slots // keys, :, slots % keys].flatten(1).norm(dim=-1)
    return lengths.where(slots >= 0, 0.0)


def _applies(rec: Recording, method: str) -> bool:
    """Whether a method gives a map of this model."""
    try:
        explain(rec, method, "cls", None, **_cheap(rec, method))
    except MethodError:
        return False
    return True


def _cheap(rec: Recording, method: str) -> dict[str, Any]:
    """Options with which a method is quick: whether it applies does not depend on them."""
    options = dict(METHODS[method].quick)
    if METHODS[method].raw_attention:
        options["layer"] = next(x for x in _token_layers(rec) if rec.looks(x, "cls"))
    return options
