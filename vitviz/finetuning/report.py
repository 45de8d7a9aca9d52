"""What a fine-tuning did, as one HTML file that loads nothing else and can be printed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from vitviz.files import whole_file
from vitviz.finetuning.charts import confusion_chart, curve_charts
from vitviz.finetuning.dataset import TrainingPhotos
from vitviz.finetuning.result import Finetuned
from vitviz.heatmap import Heatmap
from vitviz.methods.explain import explain
from vitviz.photos.load import load_image
from vitviz.pictures.export import as_jpeg
from vitviz.pictures.html import inline, template
from vitviz.pictures.overlay import overlay, shared_scale
from vitviz.progress import Progress
from vitviz.recording.record import record
from vitviz.training.training import Moment
from vitviz.zoo.load import Vit

__all__ = ["write_report"]

EXAMPLES = 6  # of all held-out photos, and of those that are wrong
SIDE = 240  # px of an example's longer side
MISTAKES = 10  # lines of the table
PAGE = Path(__file__).with_suffix(".html")


def write_report(
    result: Finetuned,
    moments: Sequence[Moment],
    before: Vit,
    after: Vit,
    photos: TrainingPhotos,
    logits: Tensor,
    progress: Progress,
) -> None:
    """Write the report to `result.report`.

    Args:
        result: what was measured.
        moments: one a step.
        before, after: the model that the training began with, and the one that was written.
        photos: those that were trained on and held out.
        logits: what `after` says of the held-out photos, (photos, classes).
        progress: called with the finished share.
    """
    curves = curve_charts(moments, result.epochs, result.best_epoch)
    page = template(PAGE).render(
        result=result,
        curves={name: _drawn(chart) for name, chart in curves.items()},
        confusion=_drawn(confusion_chart(result.confusion, result.labels)),
        mistakes=_mistakes(result),
        shown=MISTAKES,
        examples=_examples(before, after, photos, logits, progress),
        settings=_settings(result),
    )
    with whole_file(result.report) as file:
        file.write(page.encode("utf-8", errors="replace"))


def _drawn(figure: Figure) -> dict[str, Any]:
    """A chart's address and width in pixels."""
    file = BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return {
        "picture": inline(file.getvalue(), "svg+xml"),
        "width": round(figure.get_figwidth() * 96),
    }


def _mistakes(result: Finetuned) -> list[tuple[str, str, int]]:
    """True class, given class and how many photos, the most frequent first."""
    found = [
        (result.labels[true], result.labels[given], count)
        for true, row in enumerate(result.confusion)
        for given, count in enumerate(row)
        if count and true != given
    ]
    return sorted(found, key=lambda mistake: -mistake[2])


def _examples(
    before: Vit, after: Vit, photos: TrainingPhotos, logits: Tensor, progress: Progress
) -> dict[str, list[dict[str, Any]]]:
    """Some held-out photos, evenly from all classes, and some that are wrong."""
    wrong = (logits.argmax(dim=-1) != photos.held_out_targets).nonzero().flatten().tolist()
    groups = {"From all classes": _spread(range(len(logits))), "Mistakes": _spread(wrong)}
    total = sum(map(len, groups.values()))
    done = 0

    def drawn(numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
        nonlocal done
        for number in numbers:
            file = photos.held_out_files[number]
            yield {
                "name": photos.folder.name(file),
                "label": after.labels[int(photos.held_out_targets[number])],
                **_example(before, after, file),
            }
            done += 1
            progress(done / total)

    return {title: list(drawn(numbers)) for title, numbers in groups.items() if numbers}


def _spread(numbers: Sequence[int]) -> list[int]:
    """A few of many, evenly."""
    count = min(EXAMPLES, len(numbers))
    return [numbers[len(numbers) * index // count] for index in range(count)]


def _example(before: Vit, after: Vit, file: Path) -> dict[str, Any]:
    """One photo, its attention in both models, its relevance in the second, and what that says."""
    photo = load_image(file)
    old, new = record(before, photo), record(after, photo)
    first, second = explain(old, "attention"), explain(new, "attention")
    scale = shared_scale([first, second])
    relevance = explain(new, "relevance")
    factor = SIDE / max(photo.size)
    width, height = (max(1, round(length * factor)) for length in photo.size)
    small = photo.resize((width, height), Image.Resampling.BICUBIC)

    def drawn(heat: Heatmap, scale: tuple[float, float]) -> Image.Image:
        return overlay(small, heat.scaled(factor), alpha=0.6, scale=scale)

    named = {"attention before": first, "attention after": second, "relevance after": relevance}
    notices = [f"{what}: {heat.notice}" for what, heat in named.items() if heat.notice]
    pictures = {
        "photo": small,
        "attention before": drawn(first, scale),
        "attention after": drawn(second, scale),
        "relevance after": drawn(relevance, relevance.range),
    }
    return {
        "best": new.predictions[0],
        "notices": notices,
        "pictures": {what: inline(as_jpeg(picture), "jpeg") for what, picture in pictures.items()},
    }


def _settings(result: Finetuned) -> dict[str, Any]:
    """Settings, and what followed from them."""
    settings, plan = result.settings, result.plan
    parts = {"head": "the head", "all": "the whole model"}
    bfloat16 = "used for all but the head" if plan.bfloat16 else "not used"
    return {
        "trained": parts.get(str(settings.train), f"the head and the last {settings.train} blocks"),
        "input size": f"{settings.size} px" if settings.size else "the model's own",
        "epochs": f"{len(result.epochs)} of {settings.epochs}",
        "photos a step": plan.batch,
        "learning rate": f"{plan.rate:g}, {plan.warmup} steps of warm-up, then cosine",
        "layer decay": plan.layer_decay,
        "weight decay": plan.decay,
        "augmentation": ", ".join(settings.augment) or "none",
        "attention entropy λ": plan.entropy,
        "held out": f"{settings.hold_out:.0%} of each class",
        "patience": f"{settings.patience} epochs",
        "seed": plan.seed,
        "bfloat16": bfloat16,
        "weights written": "float32",
        "threads": torch.get_num_threads(),
        "versions": f"torch {version('torch')}, timm {version('timm')}",
    }
