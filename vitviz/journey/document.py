"""What the browser needs to show a recording's whole forward pass: a header and arrays.

Numbers that many tokens have are float16, exact to 3 digits; attention is not sent but its queries
and keys are, of which the browser makes any row. Where a layer adds a bias or a mask to its scores,
or where the queries were not seen, the maps themselves are sent, one byte a number.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vitviz.errors import MethodError, ModelError, Phrase, VitvizError
from vitviz.inside.head_outputs import head_outputs
from vitviz.inside.lens import Stream, logit_lens, norm_steps, residual_stream
from vitviz.methods.lens import token_lens
from vitviz.pictures.export import as_jpeg
from vitviz.pictures.input import input_picture
from vitviz.recording.calls import AttentionCall
from vitviz.recording.query import Query
from vitviz.recording.recording import Recording

__all__ = [
    "Document",
    "cls_document",
    "has_journey",
    "layer_arrays",
    "layer_maps",
    "named_arrays",
    "seen",
    "token_arrays",
]

TITLE = Phrase("journey", "the journey")
TOP = 5  # classes that are followed through all layers, and those that lead in one of them
MOST_FOLLOWED = 12
PLACE = re.compile(r"[a-z]+ (\d{1,4})(?:,(\d{1,4}))?", re.ASCII)  # of a layer or of a patch

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Document:
    """What the browser is given.

    Attributes:
        header: what JSON can hold: shapes, names, the classes that are followed.
        arrays: numbers by name, see `cls_document`, `layer_arrays` and `token_arrays`.
        missing: why something is not there: `stream` (vectors and lens), `vectors` (of a
            token at each station), `lens` (the classifier's reading), `matrices` (of all tokens
            in a block, and what is said of `stream`).
    """

    header: dict[str, Any]
    arrays: Arrays
    missing: dict[str, VitvizError]


def cls_document(rec: Recording) -> Document:
    """The whole as the class token sees it; in a model without one, as its classifier reads it.

    Arrays: `photo`, the model's input as a JPEG; those of `token_arrays` for "cls"; and where the
    model's blocks add attention and MLP one after the other, the logit lens: `best` (layers + 1,
    tokens), each token's most probable class, `best_value`, its value, and `followed` (layers + 1,
    tokens, classes), values of the classes in the header; and of what the classifier reads, which
    is not the class token in every model that has one, the same: `best cls`, `best_value cls`
    (layers + 1) and `followed cls` (layers + 1, classes).

    Where layers differ (windows, coarser grids), each layer's header has its own grid, and there
    are no vectors, matrices and lens.

    Raises:
        MethodError: if in some layer it is not tokens that look at tokens, or layers do not follow
            each other.
    """
    if not has_journey(rec):
        rec.require_plain(TITLE)
    header: dict[str, Any] = {
        "grid": rec.grid,
        "prefix": rec.num_prefix_tokens,
        "has_class_token": rec.has_class_token,
        "reads_class_token": _reads_class_token(rec),
        "layers": [_layer_header(rec, layer) for layer in range(rec.num_layers)],
        "patch": rec.patch_size,
        "outputs": rec.outputs,
        "model": rec.vit.name,
    }
    arrays: Arrays = {"photo": np.frombuffer(as_jpeg(seen(rec)), np.uint8)}
    missing: dict[str, VitvizError] = {}
    header |= _answer(rec)
    if not rec.is_plain:
        missing["matrices"] = _layers_differ(rec)
        return Document(header, arrays | _gaze(rec, "cls"), missing)
    try:
        stream = residual_stream(rec)
    except (MethodError, ModelError) as error:
        missing["stream"] = error
        return Document(header, arrays | _gaze(rec, "cls"), missing)
    try:
        # In a model without a class token any patch says whether there are vectors.
        vectors = _vectors(rec, stream, "cls" if rec.has_class_token else (0, 0))
        arrays |= vectors if rec.has_class_token else {}
    except (MethodError, ModelError) as error:
        missing["vectors"] = error
    try:
        arrays |= _lens(rec, stream, header) if rec.predictions else {}
    except ModelError as error:
        missing["lens"] = error
    return Document(header, arrays | _gaze(rec, "cls"), missing)


def has_journey(rec: Recording) -> bool:
    """Whether every layer's tokens look at tokens, be it in windows or on a grid of its own."""
    own = [(layout.kind, layout.prefix) for layout in rec.layouts]
    wanted = [(kind, rec.num_prefix_tokens) for kind in ("global", "windowed", "pooled keys")]
    return rec.is_chain and not rec.left_out and all(layout in wanted for layout in own)


def _layers_differ(rec: Recording) -> ModelError:
    return ModelError(
        "layers_differ",
        "The layers of {model} have windows or grids of their own: a block has no one matrix and "
        "no vectors to open, and there is no prediction before the end; the maps of its heads are "
        "exact.",
        model=rec.vit.name,
    )


def _answer(rec: Recording) -> dict[str, Any]:
    """The classes that lead at the end, for a model whose classifier cannot read earlier tokens."""
    leading = rec.predictions[:TOP]
    return {
        "answer": [(p.index, p.value) for p in leading],
        "labels": {p.index: p.label for p in leading},
    }


def _reads_class_token(rec: Recording) -> bool:
    """Whether the classifier does; BEiT's and others read the patches although there is one."""
    return rec.has_class_token and rec.vit.anatomy.pooling not in ("avg", "map")


def seen(rec: Recording) -> Image.Image:
    """The part of the model's input that its patches cover."""
    (height, width), (rows, cols) = rec.patch_size, rec.grid
    return input_picture(rec.vit, rec.pixels).crop((0, 0, cols * width, rows * height))


def token_arrays(rec: Recording, query: Query) -> Arrays:
    """What belongs to one token that leads, float16; names end in its place, such as “gaze cls” or
    “gaze 3,4”.

    `gaze` (heads of all layers, tokens): where it looks; flat where layers have grids of their own.
    `state` (layers + 1, width): the token before each block and at the end; `normed`, `attention`
    and `mlp` (layers, width): after the norm in front of the attention, and what the two parts add;
    `heads` (heads of all layers, dim): what each head's weighted sum is. The vectors are left out
    where they are not known.
    """
    if not rec.is_plain:
        return _gaze(rec, query)
    try:
        return _gaze(rec, query) | _vectors(rec, residual_stream(rec), query)
    except (MethodError, ModelError):
        return _gaze(rec, query)


def _gaze(rec: Recording, query: Query) -> Arrays:
    rows = [rec.attention_row(layer, query) for layer in range(rec.num_layers)]
    whole = torch.cat(rows) if rec.is_plain else torch.cat([row.flatten() for row in rows])
    return {f"gaze {_place(query)}": _half(whole)}


def _vectors(rec: Recording, stream: Stream, query: Query) -> Arrays:
    """What one token is at each station of each block.

    Raises:
        ModelError, MethodError: if a station of the model's blocks is not known.
    """
    token, layers = int(rec.query_weights(query).argmax()), range(rec.num_layers)
    heads = [head_outputs(rec, layer, query).joined for layer in layers]
    found = {
        "state": stream.states[:, token],
        "normed": torch.stack([norm_steps(rec, stream, layer, token).result for layer in layers]),
        "attention": stream.attention[:, token],
        "mlp": stream.mlp[:, token],
        "heads": torch.cat([h.unflatten(0, (rec.num_heads(i), -1)) for i, h in enumerate(heads)]),
    }
    return {f"{name} {_place(query)}": _half(values) for name, values in found.items()}


def _place(query: Query) -> str:
    return "cls" if isinstance(query, str) else ",".join(map(str, query))


def named_arrays(rec: Recording, names: Collection[object]) -> Arrays:
    """The arrays that a browser asks for by name; a name that there is not is left out."""
    asked = {name: PLACE.fullmatch(name) for name in names if isinstance(name, str)}
    found: Arrays = {}
    for row, col in {match.groups() for match in asked.values() if match}:
        if col is not None:
            with suppress(VitvizError):  # no such patch
                found |= token_arrays(rec, (int(row), int(col)))
        elif int(row) < rec.num_layers and rec.is_plain:  # a windowed layer's would be very large
            found |= layer_arrays(rec, int(row))
    return {name: values for name, values in found.items() if name in asked}


def layer_arrays(rec: Recording, layer: int) -> Arrays:
    """What any row of a layer's attention is made from, named by the layer: `query 7` and `key 7`,
    float16 (heads, tokens, dim) each; or, where they do not make it alone, `layer_maps`."""
    call = rec.layers[layer]
    if isinstance(call, AttentionCall) and _is_product(call):
        return {f"query {layer}": _half(call.query[0]), f"key {layer}": _half(call.key[0])}
    return layer_maps(rec, layer)


def layer_maps(rec: Recording, layer: int) -> Arrays:
    """A layer's maps themselves: `map 7`, bytes (heads, tokens, tokens) in 255ths of each row's
    largest value, and those, `most 7`, float32 (heads, tokens)."""
    attention = rec.attention(layer)
    most = attention.amax(dim=-1)
    levels = (attention / most[..., None].clamp(min=torch.finfo(torch.float32).tiny) * 255).round()
    return {f"map {layer}": levels.byte().numpy(), f"most {layer}": most.numpy()}


def _is_product(call: AttentionCall) -> bool:
    """Whether softmax(scale · q·k) is all of it."""
    return call.mask is None and not call.is_causal


def _layer_header(rec: Recording, layer: int) -> dict[str, Any]:
    call = rec.layers[layer]
    heads = rec.num_heads(layer)
    if not rec.is_plain:
        return {"heads": heads, "grid": rec.layer_grid(layer)}
    if not isinstance(call, AttentionCall) or not _is_product(call):
        return {"heads": heads}
    group = heads // call.key.shape[1]  # query heads that share a key head
    return {"heads": heads, "scale": call.scale, "dim": call.query.shape[-1], "group": group}


def _lens(rec: Recording, stream: Stream, header: dict[str, Any]) -> Arrays:
    """The classifier's reading of every token after every layer; the classes' names go into the
    header.

    Raises:
        ModelError: if the classifier does not read the last tokens alone.
    """
    own = rec.values(logit_lens(rec, stream))  # (layers + 1, classes), of “cls”
    leading = dict.fromkeys(own[-1].topk(min(TOP, own.shape[1])).indices.tolist())
    leading |= dict.fromkeys(reversed(own.argmax(dim=1).tolist()))
    followed = list(leading)[:MOST_FOLLOWED]
    best, best_value, values = map(
        torch.stack, zip(*(_read(rec, states, followed) for states in stream.states), strict=True)
    )
    own_best = own.max(dim=1)
    named = sorted({*followed, *best.flatten().tolist(), *own_best.indices.tolist()})
    label = {p.index: p.label for p in rec.predictions}
    header |= {"followed": followed, "labels": {index: label[index] for index in named}}
    return {
        "best": best.numpy().astype(np.uint16),
        "best_value": _half(best_value),
        "best cls": own_best.indices.numpy().astype(np.uint16),
        "best_value cls": _half(own_best.values),
        "followed": _half(values),
        "followed cls": _half(own[:, followed]),
    }


def _read(rec: Recording, states: Tensor, followed: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Of one layer's tokens: the most probable class and its value (tokens,), and the values of the
    classes that are followed. Those of all classes and layers at once may be a gigabyte."""
    values = rec.values(token_lens(rec, states))
    best = values.max(dim=1)
    return best.indices, best.values, values[:, followed]


def _half(values: Tensor) -> NDArray[np.float16]:
    return values.detach().cpu().numpy().astype(np.float16)
