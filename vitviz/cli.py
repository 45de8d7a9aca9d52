"""The command line: `python -m vitviz explain|evaluate|finetune|models|fetch|methods|coverage`."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vitviz.errors import MethodError, VitvizError
from vitviz.evaluation import METRICS, evaluate, read_boxes
from vitviz.export import write_npz, write_png
from vitviz.images import load_image
from vitviz.methods import METHODS, explain
from vitviz.model_cli import BAR, Answer, add_model_argument, add_model_commands, chosen_model
from vitviz.overlay import overlay
from vitviz.recording import Query, Recording, record
from vitviz.zoo import Vit

__all__ = ["main"]

BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, or 2 for bad input."""
    args = _parser().parse_args(arguments)
    try:
        result, text, failed = args.command(args)
    except VitvizError as error:
        print(f"vitviz: {error}", file=sys.stderr)
        return BAD_INPUT
    print(json.dumps(result, indent=2, ensure_ascii=False) if args.json else text)
    return BAD_INPUT if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vitviz", description="See what a ViT looks at.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    explaining = commands.add_parser("explain", help="write heatmaps of photos")
    explaining.add_argument("photos", nargs="+", metavar="PHOTO")
    add_model_argument(explaining)
    explaining.add_argument("--method", default="rollout", help=f"one of {', '.join(METHODS)}")
    explaining.add_argument("--layer", type=int, help="of method attention; default the last")
    explaining.add_argument("--head", type=int, help="of method attention; default their mean")
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
    explaining.set_defaults(command=_explain)
    _add_evaluate(commands)
    add_model_commands(commands)
    methods = commands.add_parser("methods", help="list the explanation methods")
    methods.set_defaults(command=_methods)
    for command in commands.choices.values():
        command.add_argument("--json", action="store_true", help="JSON on standard output")
    return parser


def _add_evaluate(commands: Any) -> None:
    evaluating = commands.add_parser("evaluate", help="measure methods over a folder of photos")
    evaluating.add_argument("folder", type=Path, metavar="FOLDER")
    add_model_argument(evaluating)
    evaluating.add_argument("--methods", nargs="+", metavar="METHOD", help="default all")
    evaluating.add_argument(
        "--metrics", nargs="+", metavar="METRIC", help=f"of {', '.join(METRICS)}; default all"
    )
    known = evaluating.add_mutually_exclusive_group()
    known.add_argument("--boxes", type=Path, metavar="F.csv", help="file,x0,y0,x1,y1 in pixels")
    known.add_argument("--masks", type=Path, metavar="DIR", help="a PNG for each photo")
    evaluating.add_argument("--limit", type=int, metavar="N", help="the first N photos only")
    evaluating.add_argument("--out", type=Path, required=True, metavar="results.csv")
    evaluating.set_defaults(command=_evaluate)


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
            f"There is no method “{args.method}”; choose one of {', '.join(METHODS)}."
        )
    vit = chosen_model(args)
    args.target, args.versus = _class_index(vit, args.target), _class_index(vit, args.versus)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VitvizError(f"The folder {args.out} cannot be made: {error.strerror}.") from error
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
    options = {k: v for k in ("layer", "head") if (v := getattr(args, k)) is not None}
    heat = explain(rec, args.method, args.query, args.target, versus=args.versus, **options)
    picture, numbers = Path(f"{out}.png"), Path(f"{out}.npz")
    try:
        write_png(overlay(photo, heat), picture)
        write_npz(heat, numbers)
    except OSError as error:
        raise VitvizError(f"{picture} cannot be written: {error.strerror}.") from error
    return {
        "photo": path,
        "model": vit.name,
        "method": args.method,
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
    names = [label.lower() for label in vit.labels]
    if name.isdecimal() and (not names or int(name) < len(names)):
        return int(name)
    if name.lower() in names:
        return names.index(name.lower())
    close = difflib.get_close_matches(name.lower(), names, n=3)
    hint = " or ".join(f"“{vit.labels[names.index(found)]}”" for found in close)
    raise VitvizError(
        f"{vit.name} knows no class “{name}”; "
        + (f"did you mean {hint}?" if hint else "give a class name or its index.")
    )


def _evaluate(args: argparse.Namespace) -> Answer:
    """Measure methods; a photo that cannot be measured is reported and the others go on."""
    boxes = read_boxes(args.boxes) if args.boxes else None
    with tqdm(total=1.0, bar_format=BAR, file=sys.stderr) as bar:
        found = evaluate(
            chosen_model(args),
            args.folder,
            methods=args.methods,
            metrics=args.metrics,
            boxes=boxes,
            masks=args.masks,
            limit=args.limit,
            out=args.out,
            progress=lambda share: bar.update(share - bar.n),
        )
    for error in found.errors:
        where = " ".join(filter(None, (error["photo"], error["method"])))
        print(f"vitviz: {where}: {error['error']}", file=sys.stderr)
    return asdict(found), found.table(), bool(found.errors)


def _methods(_: argparse.Namespace) -> Answer:
    rows = [
        {
            "id": method.id,
            "title": method.title,
            "question": method.question,
            "applies_to": method.applies_to,
            "class_specific": method.class_specific,
            "contrastive": method.contrastive,
            "has_query": method.has_query,
            "needs_gradient": method.needs_gradient,
            "slow": method.slow,
            "options": {name: option.title for name, option in method.options.items()},
            "reference": method.reference,
        }
        for method in METHODS.values()
    ]
    return rows, "\n".join(f"{r['id']:<17} {r['title']}: {r['question']}" for r in rows), False


def _line(row: dict[str, Any]) -> str:
    """One explained photo."""
    if "error" in row:
        return f"{row['photo']}: {row['error']}"
    best = ", ".join(f"{p['label']} {p['probability']:.0%}" for p in row["predictions"][:3])
    return f"{row['photo']}: {best or 'no classes'} → {row['overlay']}"
