"""A training from its first step to its best weights: held-out photos, early stopping, going on.

The state of a training is kept in a file. One that is interrupted, at whatever step, goes on from
there and ends with the same weights, bit by bit, on the same processor with as many threads.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vitviz.errors import VitvizError
from vitviz.files import whole_file
from vitviz.progress import Progress
from vitviz.training.plan import steps_an_epoch
from vitviz.training.trained_part import Inputs, logits_of
from vitviz.training.training import Moment, Training
from vitviz.zoo.state import DAMAGED

__all__ = ["Epoch", "History", "run"]

SAVED_EVERY = 60.0  # seconds, within an epoch


@dataclass(frozen=True)
class Epoch:
    """One pass over the training photos, and the held-out photos after it.

    Attributes:
        loss: cross-entropy in nats, mean over the epoch's steps, each before the weights moved.
        accuracy: share of the training photos that was right then.
        held_out_loss: cross-entropy of the held-out photos, in nats.
        held_out_accuracy: share of them that is right.
    """

    loss: float
    accuracy: float
    held_out_loss: float
    held_out_accuracy: float


@dataclass
class History:
    """What has happened so far.

    Attributes:
        moments: one a step.
        epochs: one a pass.
        best: the trained weights after the best epoch, by name.
        seconds: how long the training took, interruptions left out.
    """

    moments: list[Moment] = field(default_factory=list)
    epochs: list[Epoch] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def best_epoch(self) -> int:
        """The first epoch, from 0, with the most held-out photos right; of several with as many,
        the one with the lowest loss."""
        scores = [(epoch.held_out_accuracy, -epoch.held_out_loss) for epoch in self.epochs]
        return scores.index(max(scores))

    def has_stalled(self, patience: int) -> bool:
        """Whether the last `patience` epochs were no better than one before."""
        return bool(self.epochs) and len(self.epochs) - 1 - self.best_epoch >= patience


def run(
    training: Training,
    held_out: Inputs,
    targets: Tensor,
    *,
    patience: int,
    file: Path,
    fingerprint: str,
    progress: Progress,
) -> History:
    """Train to the end of the plan, or until it stalls; the best weights are in place afterwards.

    Args:
        training: at its start; it goes on from `file` if that is there.
        held_out: what enters the trained part, of photos that are not trained on.
        targets: index of each one's class, (photos,).
        patience: epochs without a better result after which it ends.
        file: where the state is kept.
        fingerprint: says what the state belongs to.
        progress: called with the finished share after every step.

    Raises:
        VitvizError: if the file belongs to something else, or the loss is no longer a number.
    """
    history = _go_on(training, file, fingerprint) if file.exists() else History()
    an_epoch = steps_an_epoch(len(training.targets), training.plan.batch)
    started = saved = time.monotonic()
    before = history.seconds
    while training.done < training.plan.steps and not history.has_stalled(patience):
        moment = training.step()
        if not math.isfinite(moment.loss):
            raise VitvizError(
                "loss_not_finite",
                "The loss is no number any more after {steps} steps; lower the rate.",
                steps=training.done,
            )
        history.moments.append(moment)
        finished = training.done % an_epoch == 0
        if finished:
            history.epochs.append(_epoch(history.moments[-an_epoch:], training, held_out, targets))
            if history.best_epoch == len(history.epochs) - 1:
                history.best = training.weights()
        now = time.monotonic()
        if finished or now - saved >= SAVED_EVERY:
            history.seconds = before + now - started
            _save(history, training, file, fingerprint)
            saved = now
        progress(training.done / training.plan.steps)
    training.set_weights(history.best)
    return history


def _epoch(moments: list[Moment], training: Training, held_out: Inputs, targets: Tensor) -> Epoch:
    logits = logits_of(training.part, held_out)
    return Epoch(
        sum(moment.cross_entropy for moment in moments) / len(moments),
        sum(moment.accuracy for moment in moments) / len(moments),
        float(F.cross_entropy(logits, targets)),
        float((logits.argmax(dim=-1) == targets).float().mean()),
    )


def _save(history: History, training: Training, file: Path, fingerprint: str) -> None:
    state = {
        "fingerprint": fingerprint,
        "training": training.state(),
        "moments": [asdict(moment) for moment in history.moments],
        "epochs": [asdict(epoch) for epoch in history.epochs],
        "best": history.best,
        "seconds": history.seconds,
    }
    with whole_file(file) as written:  # an interruption leaves the last state
        try:
            torch.save(state, written)
        except RuntimeError as error:  # torch hides what the disk said behind its own
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def _go_on(training: Training, file: Path, fingerprint: str) -> History:
    try:
        state: dict[str, Any] = torch.load(file, weights_only=True)
        same = state["fingerprint"] == fingerprint
    except DAMAGED as error:
        raise VitvizError(
            "state_not_read", "{file} cannot be read; delete it to start again.", file=file
        ) from error
    if not same:
        raise VitvizError(
            "state_of_others",
            "{file} is from an interrupted training with another model, other photos or "
            "other settings; repeat those, or delete the file to start again.",
            file=file,
        )
    training.restore(state["training"])
    return History(
        [Moment(**moment) for moment in state["moments"]],
        [Epoch(**epoch) for epoch in state["epochs"]],
        state["best"],
        state["seconds"],
    )
