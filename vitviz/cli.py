"""The command line: `python -m vitviz explain|evaluate|finetune|models|methods`."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vitviz.augmentation import AUGMENTATIONS
from vitviz.coverage import cover_family, report
from vitviz.errors import MethodError, VitvizError
from vitviz.evaluation import METRICS, evaluate, read_boxes
from vitviz.export import write_npz, write_png
from vitviz.families import FAMILIES
from vitviz.finetune import finetune
from vitviz.finetune_settings import FinetuneSettings
from vitviz.images import load_image
from vitviz.methods import METHODS, explain
from vitviz.overlay import overlay
from vitviz.recording import Query, Recording, record
from vitviz.zoo import BUNDLED, Vit, bundled_models, load_model

__all__ = ["main"]

BAD_INPUT = 2
INTERRUPTED = 130
BAR = "{l_bar}{bar}| {elapsed}<{remaining}"

Answer = tuple[Any, str, bool]
"""What a command found: as data, as text, and whether something in its input was bad."""


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
    explaining.add_argument(
        "--whole", action="store_true", help="the whole photo instead of the square in its middle"
    )
    explaining.add_argument("--out", type=Path, required=True, metavar="DIR")
    explaining.set_defaults(command=_explain)
    _add_evaluate(commands)
    _add_finetune(commands)
    models = commands.add_parser("models", help="list the models on this machine")
    models.set_defaults(command=_models)
    methods = commands.add_parser("methods", help="list the explanation methods")
    methods.set_defaults(command=_methods)
    _add_coverage(commands)
    for command in commands.choices.values():
        command.add_argument("--json", action="store_true", help="JSON on standard output")
    return parser


def _add_evaluate(commands: Any) -> None:
    evaluating = commands.add_parser("evaluate", help="measure methods over a folder of photos")
    evaluating.add_argument("folder", type=Path, metavar="FOLDER")
    evaluating.add_argument("--model", help=f"bundled folder or timm name (default {BUNDLED})")
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


def _add_coverage(commands: Any) -> None:
    covering = commands.add_parser("coverage", help="check which of timm's models can be shown")
    covering.add_argument("--families", nargs="+", metavar="TITLE", help="default all")
    covering.add_argument("--out", type=Path, metavar="FILE.md")
    covering.set_defaults(command=_coverage)


def _add_finetune(commands: Any) -> None:
    usual = FinetuneSettings()
    tuning = commands.add_parser(
        "finetune",
        help="train a model on your own classes",
        description="Train a model on a folder of photos that has one sub-folder a class, and "
        "write it with a report. The same command goes on where an interrupted one stopped.",
    )
    tuning.add_argument("folder", type=Path, metavar="FOLDER", help="one sub-folder a class")
    tuning.add_argument("--base", metavar="MODEL", help=f"to begin with (default {BUNDLED})")
    tuning.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    for name, kind, metavar, text in (
        ("train", _trained, "head|K|all", "the head, also the last K blocks, or all"),
        ("size", int, "PX", "input of the model; a smaller one is faster"),
        ("epochs", int, "N", "how often each photo is seen, at most"),
        ("batch", int, "N", "photos a step"),
        ("rate", float, "R", "highest learning rate"),
        ("layer_decay", float, "D", "rate of a block, as a share of the next one's"),
        ("entropy", float, "L", "weight of the attention entropy in the loss"),
        ("hold_out", float, "SHARE", "of each class, not trained on but measured"),
        ("patience", int, "N", "epochs without progress before the end"),
        ("seed", int, "N", "of the split, the order and the views"),
    ):
        default = getattr(usual, name)
        shown = "by what is trained" if name == "rate" else "the model's own"
        tuning.add_argument(
            f"--{name.replace('_', '-')}",
            type=kind,
            default=default,
            metavar=metavar,
            help=f"{text} (default {shown if default is None else default})",
        )
    tuning.add_argument(
        "--augment",
        nargs="+",
        default=[],
        metavar="KIND",
        help=f"random views of the photos: any of {', '.join(AUGMENTATIONS)} (default none)",
    )
    tuning.set_defaults(command=_finetune)


def _trained(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


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
            load_model(args.model),
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


def _coverage(args: argparse.Namespace) -> Answer:
    """Check the representative of each family; all of timm takes several minutes."""
    chosen = [f for f in FAMILIES if args.families is None or f.title in args.families]
    if len(chosen) < len(args.families or ()):
        raise VitvizError(f"Choose families of {', '.join(f.title for f in FAMILIES)}.")
    bar = tqdm(chosen, unit="family", file=sys.stderr)
    covered = [(family, cover_family(family)) for family in bar]
    text = report(covered)
    if args.out is not None:
        args.out.write_text(text, encoding="utf-8")
    rows = [{"family": family.title, **asdict(found)} for family, found in covered]
    return rows, text, False


def _finetune(args: argparse.Namespace) -> Answer:
    """Train; skipped files are named on standard error."""
    args.augment = tuple(args.augment)
    names = [setting.name for setting in fields(FinetuneSettings)]
    settings = FinetuneSettings(**{name: getattr(args, name) for name in names})
    with tqdm(total=1.0, bar_format=BAR, file=sys.stderr) as bar:

        def show(stage: str, share: float) -> None:
            if not bar.desc.startswith(stage):
                bar.reset()
                bar.set_description(stage)
            bar.update(share - bar.n)

        try:
            done = finetune(args.folder, args.out, settings, base=args.base, progress=show)
        except KeyboardInterrupt:
            bar.write("vitviz: interrupted; the same command goes on.", file=sys.stderr)
            raise SystemExit(INTERRUPTED) from None
    for skipped in done.skipped:
        print(f"vitviz: skipped {skipped.file}: {skipped.error}", file=sys.stderr)
    result = asdict(done) | {
        "out": str(done.out),
        "report": str(done.report),
        "held_out": done.held_out,
        "accuracy": done.accuracy,
        "class_accuracy": done.class_accuracy,
    }
    text = f"{done.out}: {done.accuracy:.1%} of {done.held_out} held-out photos → {done.report}"
    return result, text, False


def _models(_: argparse.Namespace) -> Answer:
    rows = [{"name": name, "default": name == BUNDLED} for name in bundled_models()]
    text = "\n".join(f"{r['name']}{'  (default)' if r['default'] else ''}" for r in rows)
    return rows, text, False


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
