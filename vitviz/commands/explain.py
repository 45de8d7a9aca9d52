"""`vitviz explain`: heatmaps of photos."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from vitviz.commands.answer import Answer, Interrupted, in_one_line
from vitviz.commands.lock import locked
from vitviz.commands.model_choice import add_model_argument, chosen_model
from vitviz.commands.names import STDIN, FileNames
from vitviz.commands.options import add_options, chosen_options
from vitviz.errors import VitvizError, VitvizWarning
from vitviz.files import make_folder, whole_file
from vitviz.heatmap import Heatmap
from vitviz.journey.page import page
from vitviz.methods.explain import METHODS, explain, method_called
from vitviz.methods.method import Method
from vitviz.methods.target import class_called
from vitviz.models.outputs import written
from vitviz.photos.depth import STRETCHED
from vitviz.photos.load import load_image
from vitviz.pictures.export import write_png
from vitviz.pictures.figure import check_ending, figure
from vitviz.pictures.overlay import overlay
from vitviz.recording.query import Query
from vitviz.recording.record import record
from vitviz.recording.recording import Recording
from vitviz.zoo.load import Vit

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the verb to a parser's commands."""
    explaining = commands.add_parser("explain", help="write heatmaps of photos")
    explaining.add_argument("photos", nargs="+", metavar="PHOTO", help="- reads standard input")
    add_model_argument(explaining)
    explaining.add_argument(
        "--method",
        action="append",
        dest="methods",
        help=f"one of {', '.join(METHODS)}; may be given again for more; default rollout",
    )
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
    explaining.add_argument(
        "--page", action="store_true", help="also one HTML file with the photo's whole journey"
    )
    explaining.add_argument(
        "--figure",
        type=Path,
        metavar="PATH",
        help="also one figure, photos × methods: a PDF, SVG or PNG",
    )
    explaining.add_argument("--out", type=Path, required=True, metavar="DIR")
    add_options(explaining)
    explaining.set_defaults(command=_explain, interrupted="what was finished is written")


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
    methods = [method_called(id) for id in dict.fromkeys(args.methods or ["rollout"])]
    args.options = chosen_options(methods, args)
    if args.figure:
        check_ending(args.figure)
    vit = chosen_model(args)
    args.target, args.versus = _class_index(vit, args.target), _class_index(vit, args.versus)
    make_folder(args.out)
    results: list[dict[str, Any]] = []
    try:
        with locked(args.out / ".lock", args.out):
            _explain_all(vit, args, results)
    except KeyboardInterrupt:
        raise Interrupted(_answer(results)) from None
    return _answer(results)


def _answer(results: list[dict[str, Any]]) -> Answer:
    text = "\n".join(map(_line, results))
    return results, text, any("error" in result for result in results)


def _explain_all(vit: Vit, args: argparse.Namespace, results: list[dict[str, Any]]) -> None:
    """Add what is found to the results; it ends where nothing can be written any more."""
    names = FileNames(args.out, args.photos)
    rows: dict[str, tuple[Image.Image, dict[str, Heatmap]]] = {}
    for path in tqdm(args.photos, unit="photo", file=sys.stderr):
        try:
            photo = load_image(sys.stdin.buffer if path == STDIN else path)
            rec = record(vit, photo, whole=args.whole)
            for method in map(method_called, args.options):
                heat = _asked(rec, method, args)
                results.append(_written(rec, heat, path, names, args))
                if args.figure:
                    rows.setdefault(path, (photo, {}))[1][method.title] = heat
        except VitvizError as error:
            results.append({"photo": path, "error": str(error)})
            if error.id == "file_not_written":
                return
    if rows:
        _draw(rows, args.figure, results)


def _draw(
    rows: Mapping[str, tuple[Image.Image, Mapping[str, Heatmap]]],
    path: Path,
    results: list[dict[str, Any]],
) -> None:
    """The figure of all photos, each under the name of its file."""
    names = [Path(photo).name for photo in rows]
    titles = names if len(set(names)) == len(names) else list(rows)
    maps = [heats for _, heats in rows.values()]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VitvizWarning)  # the notices are in the answer
            photos = [photo for photo, _ in rows.values()]
            figure(photos, dict(zip(titles, maps, strict=True)), path)
    except VitvizError as error:
        results.append({"photo": str(path), "error": str(error)})


def _asked(rec: Recording, method: Method, args: argparse.Namespace) -> Heatmap:
    """The map, asked what it can be asked; what no method can be asked, the method refuses."""
    every = [method_called(id) for id in args.options]

    def given(flag: str, value: Any, nothing: Any = None) -> Any:
        taken = any(getattr(one, flag) for one in every)
        return value if getattr(method, flag) or not taken else nothing

    query = given("has_query", args.query, "cls")
    target = given("class_specific", args.target)
    versus = given("contrastive", args.versus)
    return explain(rec, method.id, query, target, versus=versus, **args.options[method.id])


def _written(
    rec: Recording, heat: Heatmap, path: str, names: FileNames, args: argparse.Namespace
) -> dict[str, Any]:
    """A map's files, and what is to be said of them."""
    photo, vit = rec.photo, rec.vit
    assert photo is not None
    journey = page(rec, [heat]) if args.page else ""
    picture, numbers = names.of(path, _shown(heat, args), heat)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VitvizWarning)  # the notice is in the answer
        drawn = overlay(photo, heat)
    with whole_file(picture) as file:
        write_png(drawn, file)
    with whole_file(numbers) as file:
        heat.save(file)
    if journey:
        with whole_file(picture.with_suffix(".html")) as file:
            file.write(journey.encode())
    return {
        "photo": path,
        "stretched": photo.info.get(STRETCHED),
        "model": vit.name,
        "method": heat.method,
        "options": heat.made_from.options if heat.made_from else {},
        "outputs": rec.outputs,
        "predictions": _top(rec),
        "grid": list(rec.grid),
        "box": list(heat.box),
        "left_out": list(rec.left_out),
        "notice": str(heat.notice) if heat.notice else None,
        "overlay": str(picture),
        "values": str(numbers),
        "page": str(picture.with_suffix(".html")) if journey else None,
    }


def _shown(heat: Heatmap, args: argparse.Namespace) -> str:
    """The method and what was asked of it, for a file's name: attention_layer-6_head-2."""
    options = heat.made_from.options if heat.made_from else {}
    asked = {name: options[name] for name in args.options[heat.method]}
    made = heat.made_from
    if made and isinstance(made.query, tuple):
        asked["query"] = "-".join(map(str, made.query))
    asked |= (
        {"target": args.target, "versus": made.versus} if made and made.target is not None else {}
    )
    parts = [f"{name}-{value}" for name, value in asked.items() if value is not None]
    return "_".join([heat.method, *parts, *(["whole"] if args.whole else [])])


def _top(rec: Recording) -> list[dict[str, Any]]:
    kind = "score" if rec.outputs == "score" else "probability"
    return [
        {"label": p.label, "index": p.index, kind: round(p.value, 6)} for p in rec.predictions[:5]
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
        return in_one_line(f"{row['photo']}: {row['error']}")
    outputs, stretched = row["outputs"], row["stretched"]
    kind = "score" if outputs == "score" else "probability"
    best = ", ".join(f"{p['label']} {written(p[kind], outputs, 0)}" for p in row["predictions"][:3])
    notes = [f"not shown: {', '.join(row['left_out'])}"] if row["left_out"] else []
    notes += [row["notice"]] if row["notice"] else []
    notes += ["greys stretched from {:.6g} to {:.6g}".format(*stretched)] if stretched else []
    return "\n  ".join(
        map(in_one_line, [f"{row['photo']}: {best or 'no classes'} → {row['overlay']}", *notes])
    )
