"""`vitviz explain`: heatmaps of photos."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vitviz.commands.common import Answer, add_model_argument, chosen_model
from vitviz.commands.options import add_options, chosen_options
from vitviz.errors import MethodError, VitvizError
from vitviz.methods.explain import METHODS, explain
from vitviz.methods.target import class_called
from vitviz.photos.load import load_image
from vitviz.pictures.export import write_npz, write_png
from vitviz.pictures.overlay import overlay
from vitviz.recording.record import record
from vitviz.recording.recording import Query, Recording
from vitviz.zoo.load import Vit

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the verb to a parser's commands."""
    explaining = commands.add_parser("explain", help="write heatmaps of photos")
    explaining.add_argument("photos", nargs="+", metavar="PHOTO")
    add_model_argument(explaining)
    explaining.add_argument("--method", default="rollout", help=f"one of {', '.join(METHODS)}")
    explaining.add_argument("--query", type=_query, default="cls", metavar="cls|ROW,COL")
    explaining.add_argument(
        "--target", metavar="CLASS", help="class name or index; default the top prediction"
    )
    explaining.add_argument(
        "--versus", metavar="CLASS", help="explain the target rather than this class"
    )
    explaining.add_argument(
        "--whole", action="store_true", help="the whole photo instead of the square in its middle"
    )
    explaining.add_argument("--out", type=Path, required=True, metavar="DIR")
    add_options(explaining)
    explaining.set_defaults(command=_explain)


def _query(text: str) -> Query:
    if text == "cls":
        return "cls"
    try:
        row, col = map(int, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither cls nor ROW,COL") from None
    return row, col


def _explain(args: argparse.Namespace) -> Answer:
    """Explain each photo; one that cannot be read is reported and the others go on."""
    if args.method not in METHODS:
        raise MethodError(
            "no_such_method",
            "There is no method “{method}”; choose one of {methods}.",
            method=args.method,
            methods=", ".join(METHODS),
        )
    args.options = chosen_options(METHODS[args.method], args)
    vit = chosen_model(args)
    args.target, args.versus = _class_index(vit, args.target), _class_index(vit, args.versus)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VitvizError(
            "folder_not_made",
            "The folder {folder} cannot be made: {reason}.",
            folder=args.out,
            reason=error.strerror,
        ) from error
    results: list[dict[str, Any]] = []
    names = _file_names(args.photos)
    for path, name in zip(tqdm(args.photos, unit="photo", file=sys.stderr), names, strict=True):
        try:
            results.append(_explain_one(vit, path, args.out / f"{name}_{args.method}", args))
        except VitvizError as error:
            results.append({"photo": path, "error": str(error)})
    text = "\n".join(map(_line, results))
    return results, text, any("error" in result for result in results)


def _file_names(paths: Sequence[str]) -> list[str]:
    """The photos' names without ending; numbered where two folders hold the same name."""
    stems = [Path(path).stem for path in paths]
    return [
        stem if stems.count(stem) == 1 else f"{stem}-{stems[: i + 1].count(stem)}"
        for i, stem in enumerate(stems)
    ]


def _explain_one(vit: Vit, path: str, out: Path, args: argparse.Namespace) -> dict[str, Any]:
    photo = load_image(path)
    rec = record(vit, photo, whole=args.whole)
    heat = explain(rec, args.method, args.query, args.target, versus=args.versus, **args.options)
    picture, numbers = Path(f"{out}.png"), Path(f"{out}.npz")
    try:
        write_png(overlay(photo, heat), picture)
        write_npz(heat, numbers)
    except OSError as error:
        raise VitvizError(
            "file_not_written",
            "{file} cannot be written: {reason}.",
            file=picture,
            reason=error.strerror,
        ) from error
    return {
        "photo": path,
        "model": vit.name,
        "method": args.method,
        "options": heat.made_from.options if heat.made_from else {},
        "predictions": _top(rec),
        "grid": list(rec.grid),
        "box": list(heat.box),
        "overlay": str(picture),
        "values": str(numbers),
    }


def _top(rec: Recording) -> list[dict[str, Any]]:
    return [
        {"label": p.label, "index": p.index, "probability": round(p.probability, 6)}
        for p in rec.predictions[:5]
    ]


def _class_index(vit: Vit, name: str | None) -> int | None:
    """A class by its index or its name, whatever the case; None stays None."""
    if name is None:
        return None
    if name.isdecimal() and (not vit.labels or int(name) < len(vit.labels)):
        return int(name)
    return class_called(vit, name)


def _line(row: dict[str, Any]) -> str:
    """One explained photo."""
    if "error" in row:
        return f"{row['photo']}: {row['error']}"
    best = ", ".join(f"{p['label']} {p['probability']:.0%}" for p in row["predictions"][:3])
    return f"{row['photo']}: {best or 'no classes'} → {row['overlay']}"
