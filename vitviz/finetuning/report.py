"""What a fine-tuning did, as one HTML file that loads nothing else and can be printed."""

from __future__ import annotations

import html
from base64 import b64encode
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from vitviz.finetuning.charts import confusion_chart, curve_charts
from vitviz.finetuning.dataset import TrainingPhotos
from vitviz.heatmap import Heatmap
from vitviz.methods.explain import explain
from vitviz.photos.load import load_image
from vitviz.pictures.overlay import overlay, shared_scale
from vitviz.progress import Progress
from vitviz.recording.record import record
from vitviz.training.training import Moment
from vitviz.zoo.load import Vit

if TYPE_CHECKING:
    from vitviz.finetuning.result import Finetuned

__all__ = ["write_report"]

EXAMPLES = 6  # of all held-out photos, and of those that are wrong
SIDE = 240  # px of an example's longer side
MISTAKES = 10  # lines of the table
STYLE = Path(__file__).with_suffix(".css")


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
    title = html.escape(f"{result.out.resolve().name}: fine-tuning")
    examples = _examples(before, after, photos, logits, progress)
    charts = curve_charts(moments, result.epochs, result.best_epoch)
    curves = "".join(
        f"<figure><h3>{name}</h3>{_chart(chart, name)}</figure>" for name, chart in charts.items()
    )
    body = [
        f"<h1>{title}</h1>{_summary(result)}",
        f'<h2>Curves</h2><p class="quiet">{CURVES}</p><div class="charts">{curves}</div>',
        f"<h2>Held-out photos</h2>{_classes(result)}",
        f"<h2>Which class was taken for which</h2>{_confusion(result)}",
        f"<h2>Attention before and after</h2>{_attention(result)}{examples}",
        f"<h2>How it was trained</h2>{_settings(result)}",
        f"<h2>Skipped files</h2>{_skipped(result)}",
    ]
    sections = "\n".join(f"<section>{part}</section>" for part in body)
    style = STYLE.read_text(encoding="utf-8")
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{style}</style></head>\n"
        f"<body><main>{sections}</main></body></html>\n"
    )
    result.report.write_text(page, encoding="utf-8", errors="replace")


CURVES = (
    "Loss and accuracy of the training photos are those of each step before the weights moved; the "
    "held-out photos are measured after each epoch. The dotted line is the epoch whose weights "
    "were kept."
)


def _summary(result: Finetuned) -> str:
    """The result in a sentence and a few numbers."""
    trained, total = result.trained
    seconds = sum(result.seconds.values())
    numbers = {
        "held-out accuracy": f"{result.accuracy:.1%}",
        "photos": f"{sum(result.photos):,}",
        "classes": f"{len(result.labels):,}",
        "trained": f"{trained / total:.2%}",
        "best epoch": f"{result.best_epoch + 1} of {len(result.epochs)}",
        "time": f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s",
    }
    cells = "".join(
        f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in numbers.items()
    )
    right = sum(row[index] for index, row in enumerate(result.confusion))
    return (
        f"<p>{right:,} of {result.held_out:,} held-out photos are right. The model began as "
        f"{html.escape(result.base)}; {trained:,} of its {total:,} parameters were trained.</p>"
        f'<dl class="numbers">{cells}</dl>'
        '<p class="quiet">The held-out photos also chose the epoch whose weights were kept, so a '
        "fresh set of photos may give a little less. They were classified by the model as it was "
        "written, in float32.</p>"
    )


def _chart(figure: Figure, description: str) -> str:
    file = BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return _picture(file.getvalue(), "svg+xml", description, figure.get_figwidth())


def _picture(data: bytes, kind: str, description: str, inches: float | None = None) -> str:
    width = f' width="{inches * 96:.0f}"' if inches else ""
    code = b64encode(data).decode()
    return f'<img alt="{html.escape(description)}"{width} src="data:image/{kind};base64,{code}">'


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """Cells are HTML; `numbers` are the columns that are aligned to the right."""

    def line(tag: str, cells: Sequence[str]) -> str:
        return "".join(
            f'<{tag} class="number">{cell}</{tag}>' if i in numbers else f"<{tag}>{cell}</{tag}>"
            for i, cell in enumerate(cells)
        )

    head = f"<thead><tr>{line('th', heads)}</tr></thead>" if heads else ""
    body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    return f"<table>{head}<tbody>{body}</tbody></table>"


def _classes(result: Finetuned) -> str:
    """Per class: photos, and the share of held-out ones that is right."""
    rows = [
        (
            html.escape(label),
            f"{photos:,}",
            f"{sum(row):,}",
            f"{share:.1%}",
            f'<span class="bar"><i style="width:{share:.1%}"></i></span>',
        )
        for label, photos, row, share in zip(
            result.labels, result.photos, result.confusion, result.class_accuracy, strict=True
        )
    ]
    return _table(("class", "photos", "held out", "right", ""), rows, (1, 2, 3, 4))


def _confusion(result: Finetuned) -> str:
    """The matrix, and its largest entries off the diagonal."""
    chart = confusion_chart(result.confusion, result.labels)
    is_small = len(result.labels) <= 12
    mistakes = [
        (count, result.labels[true], result.labels[given])
        for true, row in enumerate(result.confusion)
        for given, count in enumerate(row)
        if count and true != given
    ]
    mistakes.sort(key=lambda mistake: -mistake[0])
    rows = [
        (html.escape(true), html.escape(given), str(count))
        for count, true, given in mistakes[:MISTAKES]
    ]
    more = f"<p>and {len(mistakes) - MISTAKES} more pairs.</p>" if mistakes[MISTAKES:] else ""
    table = _table(("true class", "given class", "photos"), rows, (2,)) + more
    figure = _chart(chart, "Confusion matrix")
    return (
        f'<div class="{"columns" if is_small else "wide"}">'
        f'<figure class="{"fits" if is_small else "scroll"}">{figure}</figure>'
        f"<div><h3>Most frequent mistakes</h3>{table if rows else '<p>None.</p>'}</div></div>"
    )


def _attention(result: Finetuned) -> str:
    """What the pictures show."""
    text = (
        "Attention: where the class token looks in the last layer, mean of its heads; both "
        "pictures of a photo have one scale. Relevance: what raised the score of the class that "
        "the fine-tuned model gives."
    )
    if result.plan.blocks == 0:
        text += " Only the head was trained, so attention is the same before and after."
    return f'<p class="quiet">{text}</p>'


def _examples(
    before: Vit, after: Vit, photos: TrainingPhotos, logits: Tensor, progress: Progress
) -> str:
    """Some held-out photos, evenly from all classes, and some that are wrong."""
    wrong = (logits.argmax(dim=-1) != photos.held_out_targets).nonzero().flatten().tolist()
    groups = {
        "From all classes": _spread(range(len(logits))),
        "Mistakes": _spread(wrong),
    }
    total = sum(map(len, groups.values()))
    done, found = 0, []
    for title, numbers in groups.items():
        figures = []
        for number in numbers:
            label = after.labels[int(photos.held_out_targets[number])]
            file = photos.held_out_files[number]
            figures.append(_example(before, after, file, photos.folder.name(file), label))
            done += 1
            progress(done / total)
        if figures:
            found.append(f'<h3>{title}</h3><div class="examples">{"".join(figures)}</div>')
    return "".join(found)


def _spread(numbers: Sequence[int]) -> list[int]:
    """A few of many, evenly."""
    count = min(EXAMPLES, len(numbers))
    return [numbers[len(numbers) * index // count] for index in range(count)]


def _example(before: Vit, after: Vit, file: Path, name: str, label: str) -> str:
    """One photo, its attention in both models, and its relevance in the second."""
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

    pictures = {
        "photo": small,
        "attention before": drawn(first, scale),
        "attention after": drawn(second, scale),
        "relevance after": drawn(relevance, relevance.range),
    }
    cells = "".join(
        f"<div>{_picture(_jpeg(picture), 'jpeg', f'{name}: {what}')}<span>{what}</span></div>"
        for what, picture in pictures.items()
    )
    best = new.predictions[0]
    said = f"{label} → {best.label}, {best.probability:.0%}"
    return (
        f'<figure><div class="four">{cells}</div>'
        f"<figcaption>{html.escape(said)} · {html.escape(name)}</figcaption></figure>"
    )


def _jpeg(picture: Image.Image) -> bytes:
    file = BytesIO()
    picture.save(file, "JPEG", quality=88)
    return file.getvalue()


def _settings(result: Finetuned) -> str:
    """Settings, what followed from them, and times."""
    settings, plan = result.settings, result.plan
    parts = {"head": "the head", "all": "the whole model"}
    bfloat16 = "used for all but the head" if plan.bfloat16 else "not used"
    values: dict[str, Any] = {
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
    rows = [(name, html.escape(str(value))) for name, value in values.items()]
    times = [(name, f"{seconds:.1f} s") for name, seconds in result.seconds.items()]
    return (
        f'<div class="columns"><div><h3>Settings</h3>{_table((), rows)}</div>'
        f"<div><h3>Time</h3>{_table((), times, (1,))}</div></div>"
    )


def _skipped(result: Finetuned) -> str:
    if not result.skipped:
        return "<p>None.</p>"
    rows = [(html.escape(skipped.file), html.escape(skipped.error)) for skipped in result.skipped]
    return _table(("file", "why"), rows)
