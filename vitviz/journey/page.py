"""A recording as one HTML file that needs no server and no network."""

from __future__ import annotations

import json
import re
import tomllib
import zlib
from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jinja2 import Environment

from vitviz.arguments import checked
from vitviz.errors import MethodError, VitvizError
from vitviz.files import whole_file
from vitviz.heatmap import Heatmap
from vitviz.journey.document import Arrays, cls_document, layer_arrays, layer_maps, seen
from vitviz.methods.explain import METHODS
from vitviz.methods.made_from import same_recording
from vitviz.pictures.export import as_jpeg
from vitviz.pictures.overlay import colorize, overlay
from vitviz.recording.recording import Recording

__all__ = ["Language", "bundle", "page", "palette", "stylesheet", "words", "write_page"]

Language = Literal["en", "zh"]
HERE = files("vitviz.journey")
MODULES = (  # each after those that it imports
    "numbers", "source", "time", "layout", "dom", "paint", "vectors", "scene", "classes", "tour",
    "block", "head", "number", "journey",
)  # fmt: skip
COLORMAP = "inferno"
MOST_BYTES = 7_800_000  # of numbers and maps in a file, which is to stay below 8 MB


@checked
def write_page(
    rec: Recording,
    path: str | PathLike[str],
    heats: Sequence[Heatmap] = (),
    *,
    language: Language = "en",
) -> None:
    """Write a recording as one interactive HTML file: the photo's whole journey through the model.

    Args:
        rec: from `record`.
        path: of the file.
        heats: maps of this recording to be shown below.
        language: of its texts.

    Raises:
        MethodError: if in some layer of the model it is not tokens that look at tokens, or a map is
            one of another recording.
        VitvizError: if there is no such language, or the file cannot be written.

    Examples:
        >>> write_page(rec, "cat.html", [heat])
    """
    with whole_file(Path(path)) as file:
        file.write(page(rec, heats, language=language).encode())


def page(rec: Recording, heats: Sequence[Heatmap] = (), *, language: Language = "en") -> str:
    """The text of `write_page`'s file."""
    if language not in get_args(Language):
        raise VitvizError(
            "no_such_language",
            "There is no language {language!r}; choose one of {languages}.",
            language=language,
            languages=", ".join(get_args(Language)),
        )
    document = cls_document(rec)
    header, arrays = document.header, _packed(document.arrays)
    texts, missing = words(language), [*document.missing]
    maps = [_map(rec, heat, texts) for heat in heats]
    room = MOST_BYTES - _size(arrays) - sum(len(shown["picture"]) for shown in maps)
    layers = _layers(rec, room) if rec.is_plain else {}
    if not layers:
        missing.append("layers")
    header |= {
        "missing": {name: texts["missing"][_reason(rec, name)] for name in missing},
        "layers": [  # those that are sent as maps without what queries and keys need
            {"heads": about["heads"]} if f"map {layer}" in layers else about
            for layer, about in enumerate(header["layers"])
        ],
    }
    spoken = {"header": header, "words": texts, "palette": palette()}
    return _template().render(
        language=language,
        words=texts,
        model=rec.vit.name,
        edits=list(map(str, rec.edits)),
        spoken=json.dumps(spoken, ensure_ascii=False).replace("<", "\\u003c"),
        arrays=arrays | layers,
        maps=maps,
        css=stylesheet(),
        script=bundle(),
    )


def _reason(rec: Recording, missing: str) -> str:
    """The text that says why something is missing; a stream of an edited model was patched."""
    return "patched" if missing == "stream" and rec.edits else missing


def _layers(rec: Recording, most: int) -> dict[str, str]:
    """What every token's attention is made from, or the maps where they are smaller and that is too
    large; nothing where both are."""
    for of_layer in (layer_arrays, layer_maps):
        packed: dict[str, str] = {}
        for layer in range(rec.num_layers):
            packed |= _packed(of_layer(rec, layer))
            if _size(packed) > most:
                break
        else:
            return packed
    return {}


def _size(packed: dict[str, str]) -> int:
    return sum(map(len, packed.values()))


def _packed(arrays: Arrays) -> dict[str, str]:
    """Arrays as they lie in the file: deflated, as base64."""
    return {
        name: b64encode(zlib.compress(values.tobytes(), 9)).decode()
        for name, values in arrays.items()
    }


def _map(rec: Recording, heat: Heatmap, said: dict[str, Any]) -> dict[str, str]:
    """A map over the model's input, as the page's template needs it, with the page's words.

    Raises:
        MethodError: if it is one of another recording.
    """
    if heat.made_from and not same_recording(rec, heat.made_from):
        raise MethodError(
            "map_not_of_page",
            "The map “{method}” was made from another photo or another model than the recording "
            "that the page shows; give maps of this recording.",
            method=heat.method,
        )
    photo = seen(rec)
    shown = Heatmap(heat.values, (0, 0, photo.width, photo.height), heat.method)
    picture = b64encode(as_jpeg(overlay(photo, shown))).decode()
    notice = said["notices"].get(heat.notice.id, str(heat.notice)) if heat.notice else ""
    title = said["methods"].get(heat.method) or (
        METHODS[heat.method].title if heat.method in METHODS else heat.method
    )
    return {"picture": f"data:image/jpeg;base64,{picture}", "title": title, "notice": notice}


@cache
def _template() -> Any:
    # What a model or a file is called may hold anything; the texts that are code are ours.
    source = (HERE / "page.html").read_text(encoding="utf-8")
    return Environment(autoescape=True).from_string(source)


@cache
def words(language: Language) -> dict[str, Any]:
    """The journey's texts in one language."""
    return tomllib.loads((HERE / "texts" / f"{language}.toml").read_text(encoding="utf-8"))


@cache
@cache
def palette(colormap: str = COLORMAP) -> str:
    """The 256 colours of a colour map, RGB bytes as base64."""
    colours = colorize(np.linspace(0, 1, 256, dtype=np.float32), colormap, (0, 1))
    return b64encode(np.ascontiguousarray(colours).tobytes()).decode()


@cache
def bundle() -> str:
    """The component's modules as one script that defines `mountJourney` and `makeSource`."""
    parts = ((HERE / "web" / f"{name}.js").read_text(encoding="utf-8") for name in MODULES)
    # What a module imports is among these, and nothing outside the script uses what one exports.
    return re.sub(r"^import .*\n|^export \{.*\}\n|^export ", "", "\n".join(parts), flags=re.M)


@cache
def stylesheet() -> str:
    """The component's style."""
    return (HERE / "web" / "journey.css").read_text(encoding="utf-8")
