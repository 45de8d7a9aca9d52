"""A recording in a file: numbers only, so that one from elsewhere can do no harm."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vitviz.arguments import checked
from vitviz.errors import VitvizError
from vitviz.files import whole_file
from vitviz.heatmap import Fingerprint
from vitviz.models.outputs import Outputs
from vitviz.models.vit import Vit
from vitviz.models.weights import cached_weights_hash
from vitviz.photos.given import PhotoLike, as_photo
from vitviz.recording.calls import AttentionCall, SoftmaxCall
from vitviz.recording.layout import Call, Layout
from vitviz.recording.recording import Recording
from vitviz.zoo.load import load_model

__all__ = ["load_recording", "save_recording"]

FORMAT = "vitviz recording 1"
PLAIN = ("grid", "num_prefix_tokens", "has_class_token", "box", "seconds", "left_out", "is_chain")
"""Fields of a recording that are written as they are."""


@checked
def save_recording(rec: Recording, path: str | Path) -> None:
    """Write a recording to a file, in the format of safetensors: its queries, keys and values as
    they are, without the model and the photo. About 15 MB for the bundled one.

    Raises:
        VitvizError: if the recording is one of an edited model, or the file cannot be written.

    Examples:
        >>> rec.save("cat.vitviz")
        >>> again = load_recording("cat.vitviz", vit)
        >>> torch.equal(again.attention(6), rec.attention(6))
        True
    """
    if rec.edits:
        raise VitvizError(
            "edits_not_saved",
            "A recording of an edited model is not saved; save the one without edits, and record "
            "the photo with the edits again.",
        )
    tensors: dict[str, Tensor] = {"pixels": rec.pixels, "logits": rec.logits}
    if rec.norms is not None:
        tensors["norms"] = rec.norms
    if rec.fingerprint is not None:
        tensors["photo"] = torch.from_numpy(np.array(rec.fingerprint.grey))
    for n, layout in enumerate(rec.layouts):
        tensors |= {f"layouts.{n}.queries": layout.queries, f"layouts.{n}.keys": layout.keys}
    calls = [_written(call, f"layers.{n}", tensors) for n, call in enumerate(rec.layers)]
    described = {
        "model": rec.vit.name,
        "weights": cached_weights_hash(rec.vit.module),
        "reading": asdict(rec.reading),
        "photo": rec.fingerprint and rec.fingerprint.size,
        "layers": calls,
        "pool": rec.pool and _written(rec.pool, "pool", tensors),
        "layouts": [[each.kind, each.grid, each.prefix] for each in rec.layouts],
        **{name: getattr(rec, name) for name in PLAIN},
    }
    content = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    with whole_file(Path(path)) as file:
        file.write(save(content, {"format": FORMAT, "recording": json.dumps(described)}))


@checked
def load_recording(
    path: str | Path, vit: Vit | None = None, photo: PhotoLike | None = None
) -> Recording:
    """The recording in a file that `Recording.save` wrote: its numbers are the same, and so is what
    is computed of them, within rounding.

    Args:
        path: of the file.
        vit: the model that it is of; by default the one of its name, as `load_model` loads it.
        photo: the photo that was recorded, for `rec.photo`, which is None without it.

    Raises:
        VitvizError: if the file is no recording, the model has other weights than the one that was
            recorded, or this is another photo.
        ImageError: if the photo is not readable.
        ModelError, ModelUnavailable: if no model is given, and that of its name is not to be had.

    Examples:
        >>> rec.save("cat.vitviz")
        >>> load_recording("cat.vitviz").predictions[0].label
        'Egyptian cat'
    """
    described, tensors = _read(Path(path))
    size = described["photo"]
    finger = Fingerprint(tuple(size), tensors["photo"].numpy()) if size else None
    image = None if photo is None else _its_photo(path, as_photo(photo), finger)
    vit = load_model(described["model"]) if vit is None else vit
    if cached_weights_hash(vit.module) != described["weights"]:
        raise VitvizError(
            "recorded_with_other_weights",
            "{file} was recorded with other weights than {model} has; give the model that it was "
            "recorded with.",
            file=path,
            model=vit.name,
        )
    plain = {name: described[name] for name in PLAIN}
    tuples = {name: tuple(plain[name]) for name in ("grid", "box", "left_out")}
    return Recording(
        vit,
        tensors["pixels"],
        tensors["logits"],
        tuple(_call(each, f"layers.{n}", tensors) for n, each in enumerate(described["layers"])),
        described["pool"] and _call(described["pool"], "pool", tensors),
        **plain | tuples,
        norms=tensors.get("norms"),
        layouts=_layouts(described, tensors),
        photo=image,
        fingerprint=finger,
        reading=Outputs(**described["reading"]),
    )


def _its_photo(file: str | Path, photo: Image.Image, finger: Fingerprint | None) -> Image.Image:
    """The photo, if it is the one that was recorded."""
    if finger and finger.fits(photo):
        return photo
    raise VitvizError(
        "recorded_other_photo",
        "{file} was not recorded of this photo; give the photo that it is of, or none.",
        file=file,
    )


def _layouts(described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> tuple[Layout, ...]:
    """Where the tokens of each layer lie."""
    return tuple(
        Layout(
            kind,
            tuple(grid),
            prefix,
            tensors[f"layouts.{n}.queries"],
            tensors[f"layouts.{n}.keys"],
        )
        for n, (kind, grid, prefix) in enumerate(described["layouts"])
    )


def _read(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a file says of a recording, and its tensors by name."""
    try:
        with safe_open(file, framework="pt") as content:
            about: Mapping[str, str] = content.metadata() or {}
            if about.get("format") == FORMAT:
                tensors = {name: content.get_tensor(name) for name in content.offset_keys()}
                found: dict[str, Any] = json.loads(about["recording"])
                return found, tensors
    except FileNotFoundError as error:
        raise VitvizError(
            "recording_not_there", "There is no file {file}; check the path.", file=file
        ) from error
    except (OSError, SafetensorError, ValueError):
        pass
    raise VitvizError(
        "no_recording",
        "{file} is no recording that Vitviz wrote; write one with Recording.save.",
        file=file,
    )


def _written(call: Call, name: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """What describes a call; its tensors are added to `tensors`, by names that begin with its."""
    fields = {key: getattr(call, key) for key in call.__dataclass_fields__}
    own = {key: value for key, value in fields.items() if isinstance(value, Tensor)}
    tensors |= {f"{name}.{key}": value for key, value in own.items()}
    return {key: value for key, value in fields.items() if key not in own}


def _call(described: Mapping[str, Any], name: str, tensors: Mapping[str, Tensor]) -> Call:
    start = f"{name}."
    own = {key.removeprefix(start): t for key, t in tensors.items() if key.startswith(start)}
    fields: dict[str, Any] = {**described, **own}
    return AttentionCall(**fields) if "scale" in fields else SoftmaxCall(**fields)
