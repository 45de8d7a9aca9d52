"""What the browser needs to show a recording's whole forward pass: a header and arrays.

Numbers that many tokens have are float16, exact to 3 digits; attention is not sent but its queries
and keys are, of which the browser makes any row. Where a layer adds a bias or a mask to its scores,
or where the queries were not seen, the maps themselves are sent, one byte a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitviz.errors import MethodError, ModelError, Phrase
from vitviz.inside.head_outputs import head_outputs
from vitviz.inside.lens import Stream, logit_lens, norm_steps, residual_stream, token_lens
from vitviz.pictures.export import as_jpeg
from vitviz.pictures.input import input_picture
from vitviz.recording.calls import AttentionCall
from vitviz.recording.query import Query
from vitviz.recording.recording import Recording

__all__ = ["Document", "cls_document", "layer_arrays", "token_arrays"]

TITLE = Phrase("journey", "the journey")
TOP = 5  # classes that are followed through all layers, and those that lead in one of them
MOST_FOLLOWED = 12

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Document:
    """What the browser is given.

    Attributes:
        header: what JSON can hold: shapes, names, the classes that are followed.
        arrays: numbers by name, see `cls_document`, `layer_arrays` and `token_arrays`.
    """

    header: dict[str, Any]
    arrays: Arrays


def cls_document(rec: Recording) -> Document:
    """The whole as the class token sees it; in a model without one, as its classifier reads it.

    Arrays: `photo`, the model's input as a JPEG; those of `token_arrays` for "cls"; and where the
    model's blocks add attention and MLP one after the other, `lengths` (3, layers + 1, tokens) of
    every token's state, of what attention added and of what the MLP added (0 before the first), and
    the logit lens of every token: `best` (layers + 1, tokens), the most probable class, and its
    value `best_value`, and `followed` (layers + 1, tokens, classes), values of a few classes.

    Raises:
        MethodError: if the model does not have one map over all tokens in each layer.
    """
    rec.require_plain(TITLE)
    header: dict[str, Any] = {
        "grid": rec.grid,
        "prefix": rec.num_prefix_tokens,
        "has_class_token": rec.has_class_token,
        "pooling": np.round(rec.query_weights("cls").tolist(), 6).tolist(),
        "layers": [_layer_header(rec, layer) for layer in range(rec.num_layers)],
        "patch": rec.patch_size,
        "outputs": rec.outputs,
        "model": rec.vit.name,
        "predictions": [[p.index, p.label, p.value] for p in rec.predictions[:TOP]],
    }
    arrays: Arrays = {"photo": np.frombuffer(_photo(rec), np.uint8)}
    try:
        stream = residual_stream(rec)
    except ModelError as error:
        header["no_stream"] = error
    else:
        arrays["lengths"] = _lengths(stream)
        if rec.predictions:
            arrays |= _lens(rec, stream, header)
    return Document(header, arrays | token_arrays(rec, "cls"))


def token_arrays(rec: Recording, query: Query) -> Arrays:
    """What belongs to one token that leads, float16; names end in its place, such as “gaze cls” or
    “gaze 3,4”.

    `gaze` (heads of all layers, tokens): where it looks. Where the model's blocks allow it, and the
    query is one token: `state`, `normed`, `attention` and `mlp` (layers, width): the token before
    each block, after the norm in front of its attention, and what the two parts add; `heads` (heads
    of all layers, dim): what each head's weighted sum is.
    """
    place = query if query == "cls" else ",".join(map(str, query))
    gaze = torch.cat([rec.attention_row(layer, query) for layer in range(rec.num_layers)])
    arrays = {"gaze": gaze, **_stations(rec, query)}
    return {f"{name} {place}": _half(values) for name, values in arrays.items()}


def _stations(rec: Recording, query: Query) -> dict[str, Tensor]:
    """What one token is at each station of each block; nothing where that is not known."""
    tokens = rec.query_weights(query).nonzero().flatten()
    if len(tokens) > 1:
        return {}
    token, layers = int(tokens), range(rec.num_layers)
    try:
        stream = residual_stream(rec)
        normed = [norm_steps(rec, stream, layer, token).result for layer in layers]
        heads = [head_outputs(rec, layer, query).joined for layer in layers]
    except (MethodError, ModelError):
        return {}
    return {
        "state": stream.states[:, token],
        "normed": torch.stack(normed),
        "attention": stream.attention[:, token],
        "mlp": stream.mlp[:, token],
        "heads": torch.cat(
            [h.unflatten(0, (rec.num_heads(layer), -1)) for layer, h in enumerate(heads)]
        ),
    }


def layer_arrays(rec: Recording, layer: int) -> Arrays:
    """What any row of a layer's attention is made from, named by the layer: `query 7` and `key 7`,
    float16 (heads, tokens, dim) each; or, where they do not make it alone, `map 7`, bytes (heads,
    tokens, tokens) in 255ths of each row's largest value, `most 7`, float32 (heads, tokens)."""
    call = rec.layers[layer]
    if isinstance(call, AttentionCall) and _is_product(call):
        return {f"query {layer}": _half(call.query[0]), f"key {layer}": _half(call.key[0])}
    attention = rec.attention(layer)
    most = attention.amax(dim=-1)
    levels = (attention / most[..., None].clamp(min=1e-30) * 255).round()
    return {f"map {layer}": levels.byte().numpy(), f"most {layer}": most.numpy()}


def _is_product(call: AttentionCall) -> bool:
    """Whether softmax(scale · q·k) is all of it."""
    return call.mask is None and not call.is_causal


def _layer_header(rec: Recording, layer: int) -> dict[str, Any]:
    call = rec.layers[layer]
    heads = rec.num_heads(layer)
    if not isinstance(call, AttentionCall) or not _is_product(call):
        return {"heads": heads}
    group = heads // call.key.shape[1]  # query heads that share a key head
    return {"heads": heads, "scale": call.scale, "dim": call.query.shape[-1], "group": group}


def _photo(rec: Recording) -> bytes:
    """The part of the model's input that its patches cover, as a JPEG."""
    (height, width), (rows, cols) = rec.patch_size, rec.grid
    return as_jpeg(input_picture(rec.vit, rec.pixels).crop((0, 0, cols * width, rows * height)))


def _lengths(stream: Stream) -> NDArray[np.float16]:
    nothing = torch.zeros_like(stream.states[:1])
    added = [torch.cat([nothing, part]) for part in (stream.attention, stream.mlp)]
    return _half(torch.stack([stream.states, *added]).norm(dim=-1))


def _lens(rec: Recording, stream: Stream, header: dict[str, Any]) -> Arrays:
    """The classifier's reading of every token after every layer; the classes' names go into the
    header."""
    try:
        own = rec.values(logit_lens(rec, stream))  # (layers + 1, classes), of “cls”
        of_tokens = [rec.values(token_lens(rec, states)) for states in stream.states]
    except ModelError as error:
        header["no_lens"] = error
        return {}
    leading = dict.fromkeys([*own[-1].topk(min(TOP, own.shape[1])).indices.tolist()])
    leading |= dict.fromkeys(reversed(own.argmax(dim=1).tolist()))
    followed = list(leading)[:MOST_FOLLOWED]
    best = torch.stack([values.max(dim=1).indices for values in of_tokens])
    named = sorted({*followed, *best.flatten().tolist()})
    label = {p.index: p.label for p in rec.predictions}
    header |= {"followed": followed, "labels": {index: label[index] for index in named}}
    return {
        "best": best.numpy().astype(np.uint16),
        "best_value": _half(torch.stack([values.amax(dim=1) for values in of_tokens])),
        "followed": _half(torch.stack([values[:, followed] for values in of_tokens])),
        "followed cls": _half(own[:, followed]),
    }


def _half(values: Tensor) -> NDArray[np.float16]:
    return values.detach().cpu().numpy().astype(np.float16)
