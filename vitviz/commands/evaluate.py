"""`vitviz evaluate`: methods measured over a folder."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vitviz.commands.answer import GOES_ON, Answer, to_stderr
from vitviz.commands.bar import share_bar
from vitviz.commands.lock import locked
from vitviz.commands.model_choice import add_model_argument, chosen_model
from vitviz.measures.annotations import read_boxes
from vitviz.measures.curves import STEPS
from vitviz.measures.evaluation import ENGINES, evaluate
from vitviz.measures.faithfulness import MAPS
from vitviz.measures.metrics import METRICS

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the verb to a parser's commands."""
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
    evaluating.add_argument(
        "--steps", type=int, default=STEPS, metavar="N", help=f"of each curve (default {STEPS})"
    )
    evaluating.add_argument(
        "--seeds", type=int, default=MAPS, metavar="N", help=f"random maps (default {MAPS})"
    )
    evaluating.add_argument(
        "--width",
        type=float,
        metavar="W",
        help="stop early, as soon as every mean's interval is at most so wide; photos are then "
        "measured in a random order",
    )
    evaluating.add_argument(
        "--engine",
        default=ENGINES[0],
        metavar="ENGINE",
        help=f"of {', '.join(ENGINES)}; ray: the cluster that RAY_ADDRESS names, or this machine "
        f"(default {ENGINES[0]})",
    )
    evaluating.add_argument(
        "--workers", type=int, metavar="N", help="processes of ray (default one a processor)"
    )
    evaluating.add_argument("--out", type=Path, required=True, metavar="results.csv")
    evaluating.set_defaults(command=_evaluate, interrupted=GOES_ON)


def _evaluate(args: argparse.Namespace) -> Answer:
    """Measure methods; a photo that cannot be measured is reported and the others go on."""
    boxes = read_boxes(args.boxes) if args.boxes else None
    lock = args.out.with_name(f".{args.out.name}.lock")
    with locked(lock, args.out), share_bar() as bar:
        found = evaluate(
            chosen_model(args),
            args.folder,
            methods=args.methods,
            metrics=args.metrics,
            boxes=boxes,
            masks=args.masks,
            limit=args.limit,
            steps=args.steps,
            seeds=args.seeds,
            width=args.width,
            engine=args.engine,
            workers=args.workers,
            out=args.out,
            progress=lambda share: bar.update(share - bar.n),
        )
    for error in found.errors:
        where = " ".join(filter(None, (error["photo"], error["method"])))
        to_stderr(f"{where}: {error['error']}")
    return asdict(found), found.table(), bool(found.errors)
