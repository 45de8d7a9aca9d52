"""From the attention calls of a forward pass to the layers that can be shown on the photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from vitviz.errors import ModelError, Phrase
from vitviz.models.libraries import Tokens
from vitviz.models.vit import Vit
from vitviz.recording.causes import cause_of
from vitviz.recording.chain import is_chain
from vitviz.recording.find import NO_PLACES, find_layouts
from vitviz.recording.layout import Call, Layout
from vitviz.recording.places import in_place, is_read_in_front
from vitviz.recording.recorder import Recorder

__all__ = ["Layers", "sort_calls"]

ALTERED = Phrase("map_altered", "the softmax is changed before it meets the values")
SEVERAL = Phrase("several_calls", "one module attends more than once")


@dataclass(frozen=True, eq=False)
class Layers:
    """A model's layers on one input; the names are those of `Recording`."""

    layers: tuple[Call, ...]
    layouts: tuple[Layout, ...]
    left_out: tuple[str, ...]
    pool: Call | None
    grid: tuple[int, int]
    num_prefix_tokens: int
    has_class_token: bool
    is_chain: bool = True


def sort_calls(vit: Vit, recorder: Recorder, size: tuple[int, int]) -> Layers:
    """The layers of a forward pass on an input of this (height, width).

    Raises:
        ModelError: if none of the model's attention can be shown on the photo, or not its last
            layers, although patches look at patches there.
    """
    tokens, inside = vit.anatomy.tokens, _size_inside(vit, recorder, size)
    plain = tokens and _plain(recorder, tokens, inside)
    if plain and inside != size and any(s % n for s, n in zip(size, plain.grid, strict=True)):
        raise ModelError(
            "input_resized_inside",
            "{model} resizes its input from {given} to {inside} px by itself, and its patches are "
            "no whole pixels of it; let the transform give {inside} px.",
            model=vit.name,
            given="{} × {}".format(*size),
            inside="{} × {}".format(*inside),
        )
    found = plain if plain and _holds(vit, recorder, plain, size) else _placed(vit, recorder, size)
    return found if found.layouts else replace(found, is_chain=_is_chain(vit, found, size))


def _size_inside(vit: Vit, recorder: Recorder, size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of what the model's core was given, or of its input."""
    given = recorder.inputs.get(vit.anatomy.core_name)
    if not isinstance(given, Tensor) or given.ndim != 4:
        return size
    return given.shape[-2], given.shape[-1]


def _holds(vit: Vit, recorder: Recorder, plain: Layers, size: tuple[int, int]) -> bool:
    """Whether the patches are in place; a model that the coverage run does not check is asked once
    for this size. Some shuffle them (MAE)."""
    if vit.anatomy.is_timms:
        return True
    tokens = torch.arange(plain.num_prefix_tokens + plain.grid[0] * plain.grid[1])
    layout = Layout("global", plain.grid, plain.num_prefix_tokens, tokens, tokens)
    layouts = [layout if call in plain.layers else None for call in recorder.calls]
    return all(vit.layouts.get(("plain", size), lambda: in_place(vit.module, size, layouts)))


def _is_chain(vit: Vit, found: Layers, size: tuple[int, int]) -> bool:
    """Whether each layer reads what the one before wrote; timm's blocks do so, and where they are
    not all that attends, a model is asked once for this size."""
    names = [call.module for call in found.layers]
    blocks = [next((b for b in vit.anatomy.blocks if n.startswith(f"{b}.")), "") for n in names]
    if vit.anatomy.is_timms and all(blocks) and all(a != b for a, b in pairwise(blocks)):
        return True
    return vit.layouts.get(size, lambda: is_chain(vit.module, size, names), "chain")


def _plain(recorder: Recorder, declared: Tokens, size: tuple[int, int]) -> Layers | None:
    """Each layer's self-attention over all tokens, and the pooling head's call if there is one;
    None if there is other attention as well."""
    grid, prefix = declared.grid_of(size), declared.num_prefix_tokens
    tokens = prefix + grid[0] * grid[1]
    calls, all_or_patches = recorder.calls, (tokens, tokens - prefix)
    layers = [call for call in calls if call.shape[0] == 1 and call.shape[2:] == (tokens, tokens)]
    others = [call for call in calls if call not in layers]
    pools = [c for c in others if c.shape[2] < tokens and c.shape[3] in all_or_patches]
    if (
        any(len(shape) > 2 for _, shape in recorder.altered)
        or not layers
        or len({call.module for call in layers}) < len(layers)
        or others != pools[:1]
    ):
        return None
    pool = pools[0] if pools else None
    return Layers(tuple(layers), (), (), pool, grid, prefix, declared.has_class_token)


def _placed(vit: Vit, recorder: Recorder, size: tuple[int, int]) -> Layers:
    """The calls whose queries and keys can be placed, by asking the model once for this size."""
    if not recorder.calls and not recorder.altered:
        raise cause_of(vit, recorder, (), size) or ModelError(
            "no_attention",
            "{model} has no attention map: like a convolutional network, it holds no attention "
            "from token to token; choose a Vision Transformer, or use predict and cnn_gradcam.",
            model=vit.name,
        )
    layouts = vit.layouts.get(size, lambda: find_layouts(vit.module, size, _prefixes(vit)))
    names = [call.module for call in recorder.calls]
    shown = [
        (call, layout)
        for call, layout in zip(recorder.calls, layouts, strict=True)
        if isinstance(layout, Layout) and names.count(call.module) == 1
    ]
    seen = {call.module for call, _ in shown}
    attending = [*names, *_altered(recorder)]
    left_out = tuple(dict.fromkeys(name for name in attending if name not in seen))
    if not any(layout.kind != "channel" for _, layout in shown):
        raise cause_of(vit, recorder, layouts, size) or _not_placed(vit, names, layouts)
    if not vit.anatomy.is_timms:  # the coverage run says what is left out of timm's families
        _require_last(vit, recorder, layouts, shown)
    if plain := _alike(vit, recorder, shown, size):
        return plain
    finest = max(layout.grid for _, layout in shown)
    return Layers(
        tuple(call for call, _ in shown),
        tuple(layout for _, layout in shown),
        left_out,
        None,
        finest,
        max(layout.prefix for _, layout in shown),
        _has_class_token(vit, shown, size),
    )


def _prefixes(vit: Vit) -> list[int]:
    """Numbers of tokens that may stand in front of the patches."""
    declared, tokens = vit.anatomy.num_prefix_tokens, vit.anatomy.tokens
    prefixes = {0, 1, 2} if declared is None else {0, declared}
    return sorted(prefixes if tokens is None else prefixes | {tokens.num_prefix_tokens})


def _not_placed(vit: Vit, names: Sequence[str], layouts: Sequence[Layout | Phrase]) -> ModelError:
    """The error where no call could be placed; it says how many tokens stand behind the patches, if
    that is why."""
    for name, found in zip(names, layouts, strict=True):
        if isinstance(found, Phrase) and found.id == "tokens_behind":
            return ModelError(
                "attention_not_placed",
                "The attention of {model} is no map from token to token whose places are known, so "
                "it cannot be shown on the photo. In {layer}, {reason}.",
                model=vit.name,
                layer=name,
                reason=found,
            )
    return ModelError(
        "attention_not_shown",
        "The attention of {model} is no map from token to token whose places are known, so it "
        "cannot be shown on the photo; choose another Vision Transformer.",
        model=vit.name,
    )


def _has_class_token(vit: Vit, shown: Sequence[tuple[Call, Layout]], size: tuple[int, int]) -> bool:
    """Whether one stands in front of the patches of a model that does not declare its tokens: by
    the name of its parameter, or since the model's numbers are read from it."""
    if not any(layout.prefix for _, layout in shown):
        return False
    call, last = shown[-1]

    def is_read() -> bool:
        return is_read_in_front(vit.module, size, call.module, last.prefix)

    return vit.anatomy.has_class_parameter or vit.layouts.get(size, is_read, "class token")


def _altered(recorder: Recorder) -> list[str]:
    """Modules whose softmax did not become a map, leaving out those over a mere vector."""
    return [name for name, shape in recorder.altered if len(shape) > 2]


def _require_last(
    vit: Vit,
    recorder: Recorder,
    layouts: Sequence[Layout | Phrase],
    shown: Sequence[tuple[Call, Layout]],
) -> None:
    """ModelError if the last layer in which patches look at patches is not among those shown."""
    names = {call.module for call, _ in shown}
    shapes = {call.shape[2:] for call, _ in shown}
    reasons = dict.fromkeys(_altered(recorder), ALTERED)
    for call, found in zip(recorder.calls, layouts, strict=True):
        is_decoders = found is NO_PLACES and call.shape[2:] not in shapes
        if call.module not in names and not is_decoders:
            reasons[call.module] = SEVERAL if isinstance(found, Layout) else found
    named = (name for name, _ in vit.module.named_modules())
    order = [name for name in named if name in names or name in reasons]
    if order[-1] in reasons:
        raise ModelError(
            "last_layers_not_placed",
            "The last layers of {model} cannot be shown on the photo, and the first alone would "
            "mislead. In {layer}, {reason}.",
            model=vit.name,
            layer=order[-1],
            reason=reasons[order[-1]],
        )


def _alike(
    vit: Vit, recorder: Recorder, shown: Sequence[tuple[Call, Layout]], size: tuple[int, int]
) -> Layers | None:
    """The layers of a model that does not declare its tokens, if each has one map over all of them
    in order, as in a plain ViT."""
    _, first = shown[0]
    order = torch.arange(len(first.queries))
    alike = [
        call
        for call, layout in shown
        if (layout.kind, layout.prefix, layout.grid) == ("global", first.prefix, first.grid)
        and torch.equal(layout.queries, order)
        and torch.equal(layout.keys, order)
    ]
    tokens = Tokens(lambda _: first.grid, first.prefix, _has_class_token(vit, shown, size))
    plain = _plain(recorder, tokens, size)
    return plain if plain and all(call in alike for call in plain.layers) else None
