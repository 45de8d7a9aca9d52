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
from typing import Any, Literal

import numpy as np
from jinja2 import Environment
from numpy.typing import NDArray

from vitviz.arguments import checked
from vitviz.files import whole_file
from vitviz.heatmap import Heatmap
from vitviz.journey.document import cls_document, layer_arrays, seen
from vitviz.methods.explain import METHODS
from vitviz.pictures.export import as_jpeg
from vitviz.pictures.overlay import colorize, overlay
from vitviz.recording.recording import Recording

__all__ = ["bundle", "page", "stylesheet", "words", "write_page"]

Language = Literal["en", "zh"]
HERE = files("vitviz.journey")
MODULES = (  # each after those that it imports
    "numbers", "source", "time", "layout", "dom", "paint", "vectors", "scene", "classes", "tour",
    "block", "head", "number", "journey",
)  # fmt: skip
COLORMAP = "inferno"


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
        MethodError: if the model does not have one map over all tokens in each layer.
        VitvizError: if the file cannot be written.

    Examples:
        >>> vitviz.write_page(rec, "cat.html", [vitviz.explain(rec, "rollout")])
    """
    with whole_file(Path(path)) as file:
        file.write(page(rec, heats, language=language).encode())


def page(rec: Recording, heats: Sequence[Heatmap] = (), *, language: Language = "en") -> str:
    """The text of `write_page`'s file."""
    document = cls_document(rec)
    arrays = dict(document.arrays)
    for layer in range(rec.num_layers):
        arrays |= layer_arrays(rec, layer)
    said = words(language)
    missing = {name: str(error) for name, error in document.missing.items()}
    header = {**document.header, "missing": missing}
    spoken = {"header": header, "words": said, "palette": palette()}
    return _template().render(
        language=language,
        words=said,
        header=header,
        header_json=json.dumps(spoken, ensure_ascii=False).replace("<", "\\u003c"),
        arrays={name: _packed(values) for name, values in arrays.items()},
        maps=[_map(rec, heat) for heat in heats],
        css=stylesheet(),
        script=bundle(),
    )


def _packed(values: NDArray[Any]) -> str:
    return b64encode(zlib.compress(np.ascontiguousarray(values).tobytes(), 9)).decode()


def _map(rec: Recording, heat: Heatmap) -> dict[str, str | None]:
    """A map over the model's input, as the page's template needs it."""
    photo = seen(rec)
    shown = Heatmap(heat.values, (0, 0, photo.width, photo.height), heat.method)
    picture = b64encode(as_jpeg(overlay(photo, shown))).decode()
    notice = str(heat.notice) if heat.notice else None
    title = METHODS[heat.method].title if heat.method in METHODS else heat.method
    return {"picture": f"data:image/jpeg;base64,{picture}", "title": title, "notice": notice}


@cache
def _template() -> Any:
    # What a model or a file is called may hold anything; the texts that are code are ours.
    environment = Environment(autoescape=True)
    source = (HERE / "page.html").read_text(encoding="utf-8")
    for code in ("css", "script", "header_json"):
        source = source.replace(f"{{{{ {code} }}}}", f"{{{{ {code} | safe }}}}")
    return environment.from_string(source)


@cache
def words(language: Language) -> dict[str, Any]:
    """The journey's texts in one language."""
    return tomllib.loads((HERE / "texts" / f"{language}.toml").read_text(encoding="utf-8"))


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
