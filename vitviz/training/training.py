"""Fine-tuning: the plan, the schedule, and the loop that the course and `finetune` share.

What is random depends on the plan's seed and the number of the step, or is part of the training's
`state`: a training that goes on from a state ends with the same weights as one that never stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from timm.optim import create_optimizer_v2
from torch import Tensor

from vitviz.errors import VitvizError
from vitviz.recording.calls import AttentionCall, SoftmaxCall
from vitviz.recording.recorder import Recorder
from vitviz.training.plan import Plan, schedule, steps_an_epoch
from vitviz.training.trained_part import Inputs, TrainedPart, initialise, logits_of, private_copy
from vitviz.zoo.load import Vit

__all__ = ["Draw", "Moment", "Training", "check_plan", "class_token_entropy", "start"]

Draw = Callable[[Tensor, int], Tensor]
"""(numbers of photos, step) → their pixels in this step, (photos, 3, height, width)."""


@dataclass(frozen=True)
class Moment:
    """One step of a training, as it was before the weights moved.

    Attributes:
        step: its number, from 0.
        rate: the learning rate of the head.
        loss: what is made smaller: cross-entropy + λ · entropy.
        cross_entropy: mean over the batch, in nats.
        entropy: of the class token's attention in the last layer, from 0 to 1; None if λ is 0.
        accuracy: share of the batch that is right.
    """

    step: int
    rate: float
    loss: float
    cross_entropy: float
    entropy: float | None
    accuracy: float


class Training:
    """A part of a model on its way; each `step` moves its weights once.

    The same part, inputs and plan give the same weights. Each epoch takes the photos in another
    order, in batches that differ by at most one photo.

    Args:
        part: of a private copy, whose trainable parameters are trained.
        inputs: from `frozen_part`; or what gives the pixels of some photos in a step.
        targets: index of each photo's class, (photos,).
        plan: how.
    """

    def __init__(
        self, part: TrainedPart, inputs: Tensor | Draw, targets: Tensor, plan: Plan
    ) -> None:
        self.part, self.inputs, self.targets, self.plan = part, inputs, targets, plan
        self.done = 0
        self.optimizer = create_optimizer_v2(
            part.module, "adamw", plan.rate, plan.decay, layer_decay=plan.layer_decay
        )
        for group in self.optimizer.param_groups:
            group["lr"] *= group["lr_scale"]
        self.schedule = schedule(self.optimizer, plan.steps, plan.warmup)

    def step(self) -> Moment:
        """One batch, its loss, its gradients, and a small step against them."""
        drawn = self._drawn()
        targets = self.targets[drawn]
        known = self.inputs
        inputs = known[drawn] if isinstance(known, Tensor) else known(drawn, self.done)
        self.part.dropout.train()
        with Recorder(self.part) as recorder:
            logits = self.part(inputs)
        self.part.dropout.eval()
        loss = cross_entropy = F.cross_entropy(logits, targets)
        entropy = None
        if self.plan.entropy:
            spread = class_token_entropy(recorder.calls[-1])
            loss = loss + self.plan.entropy * spread
            entropy = float(spread.detach())
        moment = Moment(
            self.done,
            max(map(float, self.schedule.get_last_lr())),
            float(loss.detach()),
            float(cross_entropy.detach()),
            entropy,
            _accuracy(logits, targets),
        )
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.done += 1
        return moment

    def _drawn(self) -> Tensor:
        """Numbers of the photos of the next step."""
        count = len(self.targets)
        batches_an_epoch = steps_an_epoch(count, self.plan.batch)
        epoch, batch = divmod(self.done, batches_an_epoch)
        order = np.random.default_rng((self.plan.seed, epoch)).permutation(count)
        return torch.from_numpy(np.array_split(order, batches_an_epoch)[batch])

    def accuracy(self, inputs: Inputs, targets: Tensor) -> float:
        """Share of other photos that the present weights get right."""
        return _accuracy(logits_of(self.part, inputs), targets)

    def weights(self) -> dict[str, Tensor]:
        """A copy of all weights that are trained, by their names in the model."""
        named = self.part.module.named_parameters()
        return {name: p.detach().clone() for name, p in named if p.requires_grad}

    @torch.no_grad()
    def set_weights(self, weights: dict[str, Tensor]) -> None:
        """Go back to weights from `weights`."""
        known = dict(self.part.module.named_parameters())
        for name, weight in weights.items():
            known[name].copy_(weight)

    def state(self) -> dict[str, Any]:
        """All that the next steps depend on, as tensors and plain numbers."""
        return {
            "done": self.done,
            "weights": self.weights(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "dropout": self.part.dropout.generator.get_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state` of a training with the same part, inputs and plan."""
        self.done = state["done"]
        self.set_weights(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.part.dropout.generator.set_state(state["dropout"])


def check_plan(vit: Vit, plan: Plan) -> None:
    """Whether a model can be trained in this way.

    Raises:
        VitvizError: if the plan wants an entropy term and no block that could follow it.
    """
    if plan.entropy and (plan.blocks == 0 or vit.anatomy.pooling != "token"):
        raise VitvizError(
            "entropy_impossible",
            "The attention entropy needs a class token and a block to be trained.",
        )


def start(
    vit: Vit, labels: Sequence[str], inputs: Tensor | Draw, targets: Tensor, plan: Plan
) -> tuple[Vit, Training]:
    """A private copy of the model with a fresh head, and its training.

    Args:
        vit: the model, left as it is.
        labels: names of the new classes.
        inputs: from `frozen_part` with as many blocks as the plan trains; or what gives pixels.
        targets: index of each photo's class, (photos,).
        plan: how.

    Raises:
        ModelError: if the model's head is neither one matrix nor missing, or it has not as many
            blocks.
        VitvizError: if the plan wants an entropy term and no block that could follow it.
    """
    check_plan(vit, plan)
    own = private_copy(vit, labels, plan.blocks)
    part = TrainedPart(own, plan.blocks, plan.dropout, plan.seed, bfloat16=plan.bfloat16)
    initialise(part.head, zero=plan.zero_head, seed=plan.seed)
    return own, Training(part, inputs, targets, plan)


def class_token_entropy(call: AttentionCall | SoftmaxCall) -> Tensor:
    """How widely the class token looks: mean over photos and heads of −Σ a ln a / ln tokens.

    0 if it looks at one token, 1 if at all alike. It is part of the autograd graph, so that a loss
    may hold it.
    """
    row = call.rows(slice(0, 1))
    spread = torch.special.entr(row.clamp(min=torch.finfo(row.dtype).tiny)).sum(dim=-1)
    return spread.mean() / math.log(row.shape[-1])


def _accuracy(logits: Tensor, targets: Tensor) -> float:
    return float((logits.argmax(dim=-1) == targets).float().mean())
