"""From a folder of photos to a model: what the lesson on training does, on a folder of photos.

`finetune` reads the photos, trains, writes a model folder in timm's hub layout, measures what was
written on the held-out photos, and reports.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from PIL import Image
from safetensors import SafetensorError
from timm.models import save_for_hf
from torch import Tensor

from vitviz.arguments import checked
from vitviz.errors import VitvizError
from vitviz.files import make_folder, not_written
from vitviz.finetuning.dataset import Stages, TrainingPhotos, prepare
from vitviz.finetuning.report import write_report
from vitviz.finetuning.result import Finetuned
from vitviz.finetuning.settings import FinetuneSettings
from vitviz.models.weights import weights_hash
from vitviz.photos.folder import Opened, PhotoFolder, read_folder
from vitviz.recording.record import record
from vitviz.training.plan import Plan
from vitviz.training.run import History, run
from vitviz.training.trained_part import TrainedPart, logits_of, trainable_parameters
from vitviz.training.training import check_plan, start
from vitviz.zoo.load import BUNDLED, Vit, from_module, load_model

__all__ = ["finetune"]

STATE = "training.pt"


@checked
def finetune(
    folder: str | Path,
    out: str | Path,
    settings: FinetuneSettings | None = None,
    *,
    base: str | Path | None = None,
    progress: Callable[[str, float], object] = lambda _name, _share: None,
) -> Finetuned:
    """Train a model on a folder of photos that has one sub-folder a class.

    The same call goes on where an interrupted one stopped, and ends with the same weights, bit by
    bit. Held-out photos choose the best epoch and are what is reported.

    Args:
        folder: the photos, in the layout of torchvision's `ImageFolder`. Broken ones are skipped.
        out: a new folder: `config.json` and `model.safetensors` (float32: the weights that were
            measured) in timm's hub layout, and `report.html`.
        settings: what is trained, and how; None takes the defaults.
        base: the model to begin with, as `load_model` takes it.
        progress: called with the name of the present stage and its finished share, 0 to 1.

    Raises:
        VitvizError: if the folder, the settings or the model cannot be used, with what to do.

    Examples:
        >>> settings = FinetuneSettings(epochs=1, hold_out=0.5)
        >>> found = finetune("photos", "mine", settings)
        >>> found.labels, found.held_out
        (('cat', 'coffee'), 2)
    """
    settings, out, stages = settings or FinetuneSettings(), Path(out), Stages(progress)
    found = read_folder(folder)
    vit = _resized(load_model(base), settings.size)
    trained = _trained(vit, found, settings)
    _new_folder(out)
    photos = prepare(vit, found, settings, stages)
    plan = settings.plan(len(photos.targets))
    own, history = _train(vit, photos, plan, settings, out / STATE, stages)
    _save(own, out)
    written = load_model(out.resolve())
    logits = _logits(written, photos, stages)
    result = Finetuned(
        out,
        out / "report.html",
        str(base or BUNDLED),
        settings,
        plan,
        found.labels,
        tuple(photos.folder.counts),
        photos.folder.skipped,
        trained,
        tuple(history.epochs),
        history.best_epoch,
        _confusion(photos.held_out_targets, logits),
        {**stages.seconds, "Training": history.seconds},
    )
    with stages("Report") as reported:
        write_report(result, history.moments, vit, written, photos, logits, reported)
    (out / STATE).unlink()
    return result


def _trained(vit: Vit, found: PhotoFolder, settings: FinetuneSettings) -> tuple[int, int]:
    """How many numbers are trained, and of how many; refuses what would fail after hours."""
    record(vit, Image.new("RGB", (64, 64)))  # a model whose attention cannot be shown
    check_plan(vit, settings.plan(len(found.files)))
    classes = len(found.labels)
    total = trainable_parameters(vit, classes, None)
    return trainable_parameters(vit, classes, settings.blocks), total


def _resized(vit: Vit, size: int | None) -> Vit:
    """A model that was just loaded, for inputs of another size; position embeddings are
    interpolated once and for all."""
    if size is None:
        return vit
    patch = vit.anatomy.cut_patch
    if patch and size % patch[0]:
        raise VitvizError(
            "size_is_no_multiple",
            "The patches of {model} have {patch} px; {size} px is no multiple.",
            model=vit.name,
            patch=patch[0],
            size=size,
        )
    if not vit.anatomy.set_input_size((size, size)):
        raise VitvizError(
            "one_input_size", "{model} has one input size only; leave the size out.", model=vit.name
        )
    return from_module(vit.module, vit.labels, name=vit.name)


def _new_folder(out: Path) -> None:
    """The new folder; an unfinished training may be in it, a model may not."""
    if (out / "config.json").exists() and not (out / STATE).exists():
        raise VitvizError(
            "model_exists",
            "There is a model in {folder} already; name another folder, or delete it.",
            folder=out,
        )
    make_folder(out)


def _train(
    vit: Vit,
    photos: TrainingPhotos,
    plan: Plan,
    settings: FinetuneSettings,
    file: Path,
    stages: Stages,
) -> tuple[Vit, History]:
    """The trained private copy, with its best weights, and what happened on the way."""
    own, training = start(vit, photos.folder.labels, photos.inputs, photos.targets, plan)
    with stages("Training") as progress:
        history = run(
            training,
            photos.held_out_inputs,
            photos.held_out_targets,
            patience=settings.patience,
            file=file,
            fingerprint=_fingerprint(vit, photos.folder, plan, settings),
            progress=progress,
        )
    return own, history


def _fingerprint(vit: Vit, photos: PhotoFolder, plan: Plan, settings: FinetuneSettings) -> str:
    """The same for the same weights, photos (by name and content) and settings only."""
    files = [(photos.name(file), _content(file)) for file in photos.files]
    made_of = [asdict(plan), asdict(settings), files, weights_hash(vit.module)]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()


def _content(file: Path) -> str:
    """Hash of a file's bytes."""
    with file.open("rb") as read:
        return hashlib.file_digest(read, "sha256").hexdigest()


def _save(vit: Vit, out: Path) -> None:
    """A folder in timm's hub layout; the transform is described by its size and the model's own
    configuration."""
    size = vit.transform(Image.new("RGB", (64, 64))).shape
    try:
        save_for_hf(
            vit.module,
            out,
            safe_serialization=True,
            model_config={"label_names": list(vit.labels)},
            data_config={"input_size": tuple(size)},
        )
    except (OSError, SafetensorError) as error:
        raise not_written(out, error) from error
    config, weights = out / "config.json", out / "model.safetensors"
    weights.chmod(config.stat().st_mode)  # it was written for its owner only


def _logits(vit: Vit, photos: TrainingPhotos, stages: Stages) -> Tensor:
    """What the written model says of the held-out photos, opened once more: (photos, classes)."""
    pixels = Opened(photos.held_out_files, vit.transform, most=0)
    with stages("Measuring") as progress:
        return logits_of(TrainedPart(vit, None), pixels, progress)


def _confusion(targets: Tensor, logits: Tensor) -> tuple[tuple[int, ...], ...]:
    classes = logits.shape[1]
    counts = torch.bincount(classes * targets + logits.argmax(dim=-1), minlength=classes**2)
    return tuple(map(tuple, counts.view(classes, classes).tolist()))
