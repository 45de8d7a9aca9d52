"""An explanation as numbers: one value a patch, and where the patches lie on the photo."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Literal
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitviz.arguments import check_fields, checked
from vitviz.errors import Phrase, VitvizError
from vitviz.files import whole_file

__all__ = ["Box", "Fingerprint", "Heatmap", "MadeFrom", "Scale", "load_heatmap"]

Box = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels of the photo; pixel centres lie at halves."""

Scale = tuple[float, float]
"""The values that the lowest and the highest colour of a picture stand for."""

FINGER = (16, 16)  # grey values of a fingerprint
SAME = 16.0  # of 255: mean difference up to which two fingerprints are of one photo
ROUNDING = 1e-5  # of the largest value: what float32 leaves of a map that is the same everywhere

README = """values: heatmap, float32 (rows, cols), one value a patch, row 0 at the top.
box: (left, top, right, bottom) of the photo, in its pixels, that the grid covers.
method: the explanation's id.
What it was made from; what there is not, such as the class of a map without one, is left out:
options: the method's options and their values, as JSON.
layer: the layer that it shows, from 0; left out for a map of all layers.
query: the token that looks: cls, or a patch as row,column.
target, target_label: the class that it explains, by index and name.
versus, versus_label: the class that it is explained against.
model: its name.
weights: SHA-256 of the model's weights.
input: SHA-256 of what the model was given, the photo as its transform made it.
edits: what was done to the model, one text for each edit, in order.
errors: standard errors of a map that was drawn at random, float32 (rows, cols).
photo_size, photo_grey: what tells its photo from another one: (width, height) and a coarse copy in
shades of grey."""


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """Enough of a photo to tell it from another one, also when it is brightened or made grey.

    Attributes:
        size: (width, height) in pixels.
        grey: a coarse copy in shades of grey.
    """

    size: tuple[float, float]
    grey: NDArray[np.uint8]

    @classmethod
    def of(cls, photo: Image.Image) -> Fingerprint:
        """A photo's."""
        coarse = photo.convert("L").resize(FINGER, Image.Resampling.BOX)
        return cls(photo.size, np.asarray(coarse))

    def fits(self, photo: Image.Image) -> bool:
        """Whether a picture is the photo in the same size, to a pixel."""
        other = Fingerprint.of(photo)
        grey = np.abs(self.grey.astype(float) - other.grey).mean()
        return np.allclose(self.size, other.size, atol=1) and bool(grey < SAME)


@dataclass(frozen=True)
class MadeFrom:
    """What a heatmap was made from: enough to make it again, and to tell it from any other.

    Attributes:
        method: an id in `METHODS`.
        options: of the method, those left at their defaults too.
        query: the token that looks, "cls" or a patch as (row, column); None where the method has
            none.
        target, target_label: the class that the map explains, by index and name; None for a map
            that is the same for every class.
        versus, versus_label: the class that it is explained against; None without one.
        model: the model's name.
        weights: SHA-256 of its weights, see `weights_hash`.
        input: SHA-256 of what the model was given, the photo as the transform made it.
        edits: what was done to the model, see `record`, each as text.
    """

    method: str
    options: Mapping[str, Any]
    query: Literal["cls"] | tuple[int, int] | None
    target: int | None
    target_label: str | None
    versus: int | None
    versus_label: str | None
    model: str
    weights: str
    input: str
    edits: tuple[str, ...] = ()

    @property
    def layer(self) -> int | None:
        """The layer that it shows, from 0; None for a map of all layers."""
        return self.options.get("layer")

    def entries(self) -> dict[str, Any]:
        """Each as text or a number, for a file; what there is not is left out."""
        query = self.query if isinstance(self.query, str | None) else ",".join(map(str, self.query))
        options = json.dumps(self.options)
        own = {**asdict(self), "options": options, "layer": self.layer, "query": query}
        own["edits"] = self.edits or None
        return {name: value for name, value in own.items() if value is not None}

    @classmethod
    def of_entries(cls, entries: Mapping[str, NDArray[Any]]) -> MadeFrom:
        """What such entries of a file say."""
        own = {name: entries[name] for name in cls.__dataclass_fields__ if name in entries}
        given: dict[str, Any] = {name: value.tolist() for name, value in own.items()}
        if (query := given.get("query")) not in (None, "cls"):
            row, col = map(int, query.split(","))
            given["query"] = (row, col)
        given["options"] = json.loads(given["options"])
        given["edits"] = tuple(given.get("edits", ()))
        left_out = ("query", "target", "target_label", "versus", "versus_label")
        nothing: dict[str, Any] = dict.fromkeys(left_out)
        return cls(**nothing | given)


@dataclass(frozen=True, eq=False, repr=False)
class Heatmap:
    """Patch values of one explanation.

    Attributes:
        values: float32 (rows, cols), finite and not negative, in the method's own units.
        box: the part of the photo that the grid covers.
        method: the id in `METHODS` that made it.
        made_from: what it was made from; None for values of one's own.
        fingerprint: of the photo that it is a map of; None where nobody says.
        errors: standard errors of the values, float32 (rows, cols), of a method that draws samples;
            None for any other. A value that the method cuts at 0 has that of the number it was.

    Raises:
        VitvizError: if a value is negative or not finite, which no method may return, or values or
            box are of another kind.

    Examples:
        >>> heat
        <Heatmap rollout: 16 × 16 patches, 0.00136 to 0.0832, of vit_small_patch14_in1k>
        >>> np.asarray(heat) is heat.values
        True
        >>> heat.values.dtype, heat.values.shape
        (dtype('float32'), (16, 16))
        >>> [round(edge) for edge in heat.box]  # the middle of a photo of 451 × 300 px
        [75, 0, 376, 300]
        >>> round(float(heat.shares.values.sum()), 3)
        1.0
    """

    values: NDArray[np.float32]
    box: Box
    method: str
    made_from: MadeFrom | None = None
    fingerprint: Fingerprint | None = None
    errors: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if self.values.dtype.kind not in "fiub" or self.values.size == 0:
            raise VitvizError(
                "values_no_numbers",
                "The values of a heatmap are an array of numbers, one a patch, not {dtype} "
                "{shape}.",
                dtype=self.values.dtype,
                shape=self.values.shape,
            )
        left, top, right, bottom = self.box
        if not (left < right and top < bottom and np.isfinite(np.array(self.box, float)).all()):
            raise VitvizError(
                "box_without_area",
                "The box of a heatmap is (left, top, right, bottom) in pixels, not {box}.",
                box=self.box,
            )
        object.__setattr__(self, "values", np.asarray(self.values, np.float32))
        if self.values.ndim != 2 or not np.isfinite(self.values).all() or self.values.min() < 0:
            raise VitvizError(
                "values_not_finite",
                "The values of a heatmap are one a patch, (rows, columns), finite and not "
                "negative; those of {method} are not.",
                method=self.method,
            )

    def __repr__(self) -> str:
        (rows, cols), (low, high) = self.values.shape, self.range
        return (
            f"<Heatmap {self.method}{self._asked()}: {rows} × {cols} patches, "
            f"{low:.3g} to {high:.3g}{f', of {self.made_from.model}' if self.made_from else ''}>"
        )

    def _asked(self) -> str:
        """What it is a map of, in words: the class, the layer and the head, the patch."""
        made = self.made_from
        if made is None:
            return ""
        words = [f" of {made.target_label}"] if made.target is not None else []
        words += [f" rather than {made.versus_label}"] if made.versus is not None else []
        parts = ((name, made.options.get(name)) for name in ("layer", "head"))
        words += [f", {name} {value}" for name, value in parts if value is not None]
        words += [f", patch {made.query}"] if isinstance(made.query, tuple) else []
        return "".join(words)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The values, for `np.asarray` and whatever else takes an array."""
        return np.array(self.values, dtype, copy=copy)

    @cached_property
    def range(self) -> Scale:
        """Smallest and largest value: the scale a picture of this map alone uses."""
        return float(self.values.min()), float(self.values.max())

    @property
    def notice(self) -> Phrase | None:
        """What has to be said beside a map that shows nothing; None for any other.

        Examples:
            >>> print(Heatmap(np.zeros((2, 2), np.float32), (0, 0, 1, 1), "mine").notice)
            This map is 0 everywhere: nothing was found.
        """
        low, high = self.range
        if high == 0:
            return Phrase("map_is_zero", "This map is 0 everywhere: nothing was found.")
        if high - low <= ROUNDING * high and self.values.size > 1:
            return Phrase(
                "map_is_constant",
                "This map has one value everywhere and says nothing of places; differences in "
                "colour are rounding.",
            )
        return None

    @property
    def shares(self) -> Heatmap:
        """The same map in shares of its sum, so that maps of different units can be compared."""
        total = float(self.values.sum())
        if not total:
            return self
        errors = None if self.errors is None else self.errors / total
        return replace(self, values=self.values / total, errors=errors)

    @checked
    def on_grid(self, grid: tuple[int, int]) -> Heatmap:
        """The same map on a finer grid, whose patches have the value of the one that covers them:
        so are maps of layers with grids of their own compared.

        Raises:
            VitvizError: if the grid is not a multiple of the map's.

        Examples:
            >>> heat.on_grid((32, 32)).values.shape
            (32, 32)
        """
        (rows, cols), (own_rows, own_cols) = grid, self.values.shape
        if min(grid) < 1 or rows % own_rows or cols % own_cols:
            raise VitvizError(
                "map_does_not_fit",
                "A map of {own_rows} × {own_cols} patches does not fit on a grid of {rows} × "
                "{cols}; take a multiple of it.",
                own_rows=own_rows,
                own_cols=own_cols,
                rows=rows,
                cols=cols,
            )

        def finer(values: NDArray[np.float32]) -> NDArray[np.float32]:
            return values.repeat(rows // own_rows, axis=0).repeat(cols // own_cols, axis=1)

        errors = None if self.errors is None else finer(self.errors)
        return replace(self, values=finer(self.values), errors=errors)

    @checked
    def scaled(self, factor: float) -> Heatmap:
        """The same map for a copy of the photo that is `factor` times as large.

        Raises:
            VitvizError: if this is no number.

        Examples:
            >>> overlay(photo.resize((902, 600)), heat.scaled(2)).size
            (902, 600)
        """
        left, top, right, bottom = (factor * edge for edge in self.box)
        finger = self.fingerprint
        if finger is not None:
            width, height = finger.size
            finger = replace(finger, size=(factor * width, factor * height))
        return replace(self, box=(left, top, right, bottom), fingerprint=finger)

    @checked
    def save(self, file: str | PathLike[str] | BinaryIO) -> None:
        """Write the numbers as a NumPy archive, with all that is known of their making, which
        explains itself in its entry `readme`. A picture is what `overlay` gives.

        Args:
            file: NAME.npz, or a binary file that is open for writing.

        Raises:
            VitvizError: if the name has another ending, or the file cannot be written.

        Examples:
            >>> heat.save("rollout.npz")
            >>> with np.load("rollout.npz") as saved:
            ...     print(saved["method"], saved["values"].shape, saved["query"])
            rollout (16, 16) cls
        """
        if not isinstance(file, str | PathLike):
            entries = self.made_from.entries() if self.made_from else {}
            entries |= {"method": self.method, "box": np.array(self.box), "readme": README}
            if self.errors is not None:
                entries["errors"] = self.errors
            if (finger := self.fingerprint) is not None:
                entries |= {"photo_size": np.array(finger.size), "photo_grey": finger.grey}
            np.savez_compressed(file, values=self.values, **entries)
            return
        if (path := Path(file)).suffix.lower() != ".npz":
            raise VitvizError(
                "heatmap_file_ending",
                "A heatmap is saved as its numbers, in a file NAME.npz, not in {file}; "
                "overlay(photo, heat).save(…) writes it as a picture.",
                file=path.name,
            )
        with whole_file(path) as opened:
            self.save(opened)


@checked
def load_heatmap(path: str | PathLike[str]) -> Heatmap:
    """The map in a file that `Heatmap.save` wrote, with all that is known of its making.

    Raises:
        VitvizError: if there is no such file, or it is no map.

    Examples:
        >>> heat.save("rollout.npz")
        >>> again = load_heatmap("rollout.npz")
        >>> np.array_equal(again.values, heat.values), again.made_from == heat.made_from
        (True, True)
    """
    try:
        with np.load(path, allow_pickle=False) as saved:
            entries: dict[str, NDArray[Any]] = dict(saved)
        left, top, right, bottom = entries["box"].tolist()
        finger = None
        if "photo_size" in entries:
            finger = Fingerprint(tuple(entries["photo_size"].tolist()), entries["photo_grey"])
        return Heatmap(
            entries["values"],
            (left, top, right, bottom),
            str(entries["method"]),
            MadeFrom.of_entries(entries) if "weights" in entries else None,
            finger,
            entries.get("errors"),
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise VitvizError(
            "no_heatmap",
            "{file} is no map that Vitviz wrote; check the path, and write one with Heatmap.save.",
            file=path,
        ) from error
