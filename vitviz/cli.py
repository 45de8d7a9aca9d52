"""The command line: `python -m vitviz explain|models|methods`."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vitviz.errors import MethodError, VitvizError
from vitviz.export import write_npz, write_png
from vitviz.images import load_image
from vitviz.methods import METHODS, explain
from vitviz.overlay import overlay
from vitviz.recording import Query, Recording, record
from vitviz.zoo import BUNDLED, Vit, bundled_models, load_model

__all__ = ["main"]

BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, or 2 for bad input."""
    args = _parser().parse_args(arguments)
    try:
        result, failed = args.command(args)
    except VitvizError as error:
        print(f"vitviz: {error}", file=sys.stderr)
        return BAD_INPUT
    print(json.dumps(result, indent=2, ensure_ascii=False) if args.json else _as_text(result))
    return BAD_INPUT if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vitviz", description="See what a ViT looks at.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    explaining = commands.add_parser("explain", help="write heatmaps of photos")
    explaining.add_argument("photos", nargs="+", metavar="PHOTO")
    explaining.add_argument("--model", help=f"bundled folder or timm name (default {BUNDLED})")
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
    explaining.add_argument("--out", type=Path, required=True, metavar="DIR")
    explaining.set_defaults(command=_explain)
    models = commands.add_parser("models", help="list the models on this machine")
    models.set_defaults(command=_models)
    methods = commands.add_parser("methods", help="list the explanation methods")
    methods.set_defaults(command=_methods)
    for command in (explaining, models, methods):
        command.add_argument("--json", action="store_true", help="JSON on standard output")
    return parser


def _query(text: str) -> Query:
    if text == "cls":
        return "cls"
    try:
        row, col = map(int, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither cls nor ROW,COL") from None
    return row, col


def _explain(args: argparse.Namespace) -> tuple[list[dict[str, Any]], bool]:
    """Explain each photo; one that cannot be read is reported and the others go on."""
    if args.method not in METHODS:
        raise MethodError(
            f"There is no method “{args.method}”; choose one of {', '.join(METHODS)}."
        )
    vit = load_model(args.model)
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
    return results, any("error" in result for result in results)


def _file_names(paths: Sequence[str]) -> list[str]:
    """The photos' names without ending; numbered where two folders hold the same name."""
    stems = [Path(path).stem for path in paths]
    return [
        stem if stems.count(stem) == 1 else f"{stem}-{stems[: i + 1].count(stem)}"
        for i, stem in enumerate(stems)
    ]


def _explain_one(vit: Vit, path: str, out: Path, args: argparse.Namespace) -> dict[str, Any]:
    photo = load_image(path)
    rec = record(vit, photo)
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


def _models(_: argparse.Namespace) -> tuple[list[dict[str, Any]], bool]:
    return [{"name": name, "default": name == BUNDLED} for name in bundled_models()], False


def _methods(_: argparse.Namespace) -> tuple[list[dict[str, Any]], bool]:
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
    return rows, False


def _as_text(rows: list[dict[str, Any]]) -> str:
    return "\n".join(_line(row) for row in rows)


def _line(row: dict[str, Any]) -> str:
    if "error" in row:
        return f"{row['photo']}: {row['error']}"
    if "photo" in row:
        best = ", ".join(f"{p['label']} {p['probability']:.0%}" for p in row["predictions"][:3])
        return f"{row['photo']}: {best or 'no classes'} → {row['overlay']}"
    if "question" in row:
        return f"{row['id']:<17} {row['title']}: {row['question']}"
    return f"{row['name']}{'  (default)' if row['default'] else ''}"
