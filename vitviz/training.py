"""Fine-tuning: a private copy of a model, what of it is trained, the schedule and the loop.

A model is shared between visitors, so nothing here changes it: `private_copy` gives the one who
trains a head and last blocks of their own, while all frozen weights stay shared. What lies before
the trained part gives the same result in every step; `frozen_part` computes it once, exactly.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR
from torchvision.transforms import v2

from vitviz.errors import ModelError, VitvizError
from vitviz.progress import Progress, batches
from vitviz.recorder import AttentionCall, Recorder, SoftmaxCall
from vitviz.recording import block_names
from vitviz.zoo import Vit

__all__ = [
    "Moment",
    "Plan",
    "TrainedPart",
    "Training",
    "augmentation",
    "class_token_entropy",
    "features",
    "frozen_part",
    "hold_out",
    "initialise",
    "learning_rates",
    "private_copy",
    "random_crops",
    "schedule",
    "start",
    "trainable_parameters",
]

HOOKS = ("_forward_hooks", "_forward_pre_hooks")


@dataclass(frozen=True)
class Plan:
    """How a model is trained.

    Attributes:
        steps: of the optimiser.
        warmup: how many of them the learning rate rises.
        rate: the highest learning rate.
        blocks: how many of the last blocks are trained; 0 trains the head only.
        entropy: λ, how much the attention entropy of the class token counts in the loss.
        dropout: probability that a feature in front of the head is left out of a step.
        zero_head: start with a head of zeros, or with a random one.
        batch: photos a step.
        decay: AdamW's weight decay.
        seed: of the head, the batches and the dropout.
    """

    steps: int = 40
    warmup: int = 5
    rate: float = 1e-2
    blocks: int = 0
    entropy: float = 0.0
    dropout: float = 0.0
    zero_head: bool = True
    batch: int = 24
    decay: float = 0.01
    seed: int = 0


@dataclass(frozen=True)
class Moment:
    """One step of a training, as it was before the weights moved.

    Attributes:
        step: its number, from 0.
        rate: the learning rate.
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


def schedule(optimizer: torch.optim.Optimizer, steps: int, warmup: int) -> LRScheduler:
    """Linear warm-up, then half a cosine down to 0.

    In step s, from 0, each group's own rate is multiplied with (s + 1) / (w + 1) while s < w, and
    then with (1 + cos(π (s − w) / (S − w))) / 2. Loshchilov & Hutter 2016, arXiv 1608.03983; Goyal
    et al. 2017, arXiv 1706.02677.

    Raises:
        VitvizError: if there is no step left after the warm-up.
    """
    if not 0 <= warmup < steps:
        raise VitvizError(f"A warm-up of {warmup} steps does not fit into {steps} steps.")
    cosine = CosineAnnealingLR(optimizer, steps - warmup)
    if warmup == 0:
        return cosine
    rise = LinearLR(optimizer, 1 / (warmup + 1), total_iters=warmup)
    return SequentialLR(optimizer, [rise, cosine], [warmup])


def learning_rates(rate: float, steps: int, warmup: int) -> list[float]:
    """The learning rate of every step, by running the schedule that a training uses."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], rate)
    plan = schedule(optimizer, steps, warmup)
    rates = []
    for _ in range(steps):
        rates.append(float(plan.get_last_lr()[0]))
        optimizer.step()
        plan.step()
    return rates


def trainable_parameters(vit: Vit, classes: int, blocks: int | None) -> int:
    """How many numbers are trained: those of a new head of `classes` classes and, with `blocks`
    above 0, of the last blocks and the final norm; None counts the whole model.

    Raises:
        ModelError: if the model's head is not one matrix, or it has not as many blocks.
    """
    head = _head(vit)
    new_head = classes * (head.in_features + 1)
    if blocks is None:
        return new_head + _count(vit.module) - _count(head)
    return new_head + sum(_count(part) for part in _last_parts(vit, blocks))


def private_copy(vit: Vit, labels: Sequence[str], blocks: int = 0) -> Vit:
    """The model with a new head, and with last blocks and final norm of its own to be trained.

    All other weights are those of `vit`: shared, not copied, and not trainable.

    Args:
        vit: the model, left as it is.
        labels: names of the new classes.
        blocks: how many of the last blocks are copied.

    Raises:
        ModelError: if the model's head is not one matrix, or it has not as many blocks.
    """
    _head(vit)
    own = {id(p) for part in _last_parts(vit, blocks) for p in part.parameters()}
    known: dict[int, Any] = {
        id(p): nn.Parameter(p.detach(), requires_grad=False)
        for p in vit.module.parameters()
        if id(p) not in own
    }
    for module in vit.module.modules():  # others may be recording it just now
        known |= {id(getattr(module, hooks)): OrderedDict() for hooks in HOOKS}
    copy: Any = deepcopy(vit.module, known)
    copy.reset_classifier(len(labels))
    return Vit(copy.eval(), vit.name, tuple(labels), vit.transform)


def initialise(head: nn.Linear, plan: Plan) -> None:
    """Zeros, or normal numbers that give logits about as large as one feature; bias is 0.

    A head of zeros makes all C classes equally probable, so that the first loss is ln C.
    """
    generator = torch.Generator().manual_seed(plan.seed)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.zero_()
        if not plan.zero_head:
            head.weight.normal_(std=head.in_features**-0.5, generator=generator)


def features(vit: Vit, pixels: Tensor) -> Tensor:
    """What the classifier reads: (photos, 3, height, width) → (photos, width)."""
    module: Any = vit.module
    with torch.no_grad():
        return module.forward_head(module.forward_features(pixels), pre_logits=True)


def frozen_part(
    vit: Vit, pixels: Sequence[Tensor], blocks: int = 0, progress: Progress = lambda _: None
) -> Tensor:
    """What enters the trained part: the same in every step, so it is computed once.

    Args:
        vit: the model.
        pixels: of each photo, (3, height, width), as the transform made them.
        blocks: how many of the last blocks are trained.
        progress: called with the finished share after every few photos.

    Returns:
        (photos, width), the features that the head reads; with blocks above 0 the tokens that enter
        the first of these blocks, (photos, tokens, width).

    Raises:
        ModelError: if these blocks, the final norm and the head alone do not give the model's
            logits from those tokens.
    """
    module: Any = vit.module
    tokens = module.patch_embed.num_patches
    parts = []
    for part in batches(len(pixels), tokens, progress):
        photos = torch.stack(list(pixels[part]))
        parts.append(_tokens_before(vit, photos, blocks) if blocks else features(vit, photos))
    return torch.cat(parts)


def _tokens_before(vit: Vit, photos: Tensor, blocks: int) -> Tensor:
    """What enters the last `blocks` blocks: (photos, tokens, width)."""
    _last_parts(vit, blocks)
    first = block_names(vit.module)[-blocks]
    with torch.no_grad(), Recorder(vit.module, watch=[first]) as recorder:
        logits = vit.module(photos)
    tokens: Tensor = recorder.inputs[first]
    with torch.no_grad():
        again = TrainedPart(vit, blocks)(tokens)
    if not torch.allclose(again, logits, atol=1e-4):
        raise ModelError(f"The last blocks of {vit.name} cannot be trained on their own.")
    return tokens


class SeededDropout(nn.Dropout):
    """Dropout with random numbers of its own: other threads draw from PyTorch's common ones.

    Srivastava et al. 2014, Journal of Machine Learning Research 15.
    """

    def __init__(self, p: float, seed: int) -> None:
        super().__init__(p)
        self._generator = torch.Generator().manual_seed(seed)

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return input
        kept = torch.empty_like(input).bernoulli_(1 - self.p, generator=self._generator)
        return input * kept / (1 - self.p)


class TrainedPart(nn.Module):
    """The last blocks, the final norm and the head; or the head alone.

    Args:
        vit: the model that owns them.
        blocks: how many of its last blocks.
        dropout: in front of the head, while `training`.
        seed: of the dropout.
    """

    def __init__(self, vit: Vit, blocks: int = 0, dropout: float = 0.0, seed: int = 0) -> None:
        super().__init__()
        self._module: Any = vit.module
        self._blocks = blocks
        self.dropout = SeededDropout(dropout, seed)
        self.head = _head(vit)

    def forward(self, inputs: Tensor) -> Tensor:
        """What `frozen_part` gives → logits, (photos, classes)."""
        found = inputs
        if self._blocks:
            for block in self._module.blocks[-self._blocks :]:
                found = block(found)
            found = self._module.forward_head(self._module.norm(found), pre_logits=True)
        return self.head(self.dropout(found))


class Training:
    """A part of a model on its way; each `step` moves its weights once.

    The same part, inputs and plan give the same weights.

    Args:
        part: of a private copy, whose trainable parameters are trained.
        inputs: from `frozen_part`.
        targets: index of each photo's class, (photos,).
        plan: how.
    """

    def __init__(self, part: TrainedPart, inputs: Tensor, targets: Tensor, plan: Plan) -> None:
        self.part, self.inputs, self.targets, self.plan = part, inputs, targets, plan
        self.done = 0
        trained = [p for p in part.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, plan.rate, weight_decay=plan.decay)
        self.schedule = schedule(self.optimizer, plan.steps, plan.warmup)
        self._generator = torch.Generator().manual_seed(plan.seed)

    def step(self) -> Moment:
        """One batch, its loss, its gradients, and a small step against them."""
        drawn = torch.randperm(len(self.inputs), generator=self._generator)[: self.plan.batch]
        targets = self.targets[drawn]
        self.part.dropout.train()
        with Recorder(self.part) as recorder:
            logits = self.part(self.inputs[drawn])
        self.part.dropout.eval()
        loss = cross_entropy = F.cross_entropy(logits, targets)
        entropy = None
        if self.plan.entropy:
            spread = class_token_entropy(recorder.calls[-1])
            loss = loss + self.plan.entropy * spread
            entropy = float(spread.detach())
        moment = Moment(
            self.done,
            float(self.schedule.get_last_lr()[0]),
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

    @torch.no_grad()
    def accuracy(self, inputs: Tensor, targets: Tensor) -> float:
        """Share of other photos, such as held-out ones, that the present weights get right."""
        return _accuracy(self.part(inputs), targets)


def start(
    vit: Vit, labels: Sequence[str], inputs: Tensor, targets: Tensor, plan: Plan
) -> tuple[Vit, Training]:
    """A private copy of the model with a fresh head, and its training.

    Args:
        vit: the model, left as it is.
        labels: names of the new classes.
        inputs: from `frozen_part` with as many blocks as the plan trains.
        targets: index of each photo's class, (photos,).
        plan: how.

    Raises:
        ModelError: if the model's head is not one matrix, or it has not as many blocks.
        VitvizError: if the plan wants an entropy term and no block that could follow it.
    """
    if plan.entropy and not (plan.blocks and getattr(vit.module, "global_pool", "") == "token"):
        raise VitvizError("The attention entropy needs a class token and a block to be trained.")
    own = private_copy(vit, labels, plan.blocks)
    part = TrainedPart(own, plan.blocks, plan.dropout, plan.seed)
    initialise(part.head, plan)
    return own, Training(part, inputs, targets, plan)


def class_token_entropy(call: AttentionCall | SoftmaxCall) -> Tensor:
    """How widely the class token looks: mean over photos and heads of −Σ a ln a / ln tokens.

    0 if it looks at one token, 1 if at all alike. It is part of the autograd graph, so that a loss
    may hold it.
    """
    row = call.rows(slice(0, 1))
    spread = torch.special.entr(row.clamp(min=torch.finfo(row.dtype).tiny)).sum(dim=-1)
    return spread.mean() / math.log(row.shape[-1])


def hold_out(counts: Sequence[int], least: int = 3) -> tuple[list[int], list[int]]:
    """Which photos train and which are held out: the last one of each class.

    Args:
        counts: photos of each class; they lie one class behind the other.
        least: photos that each class must have.

    Returns:
        Indices of the training photos and of those held out.

    Raises:
        VitvizError: if there is one class only, or a class has too few photos.
    """
    if len(counts) < 2:
        raise VitvizError("There is only one class; a classifier needs at least two.")
    if min(counts) < least:
        raise VitvizError(f"A class has {min(counts)} photos; each needs at least {least}.")
    last = set((np.cumsum(counts) - 1).tolist())
    return [index for index in range(sum(counts)) if index not in last], sorted(last)


def augmentation(side: int, *, crop: bool, flip: bool, colour: bool) -> v2.Compose:
    """A random view of a photo, for training: part of it, mirrored, in other colours.

    Args:
        side: width and height of the view in pixels.
        crop: take 30 to 100 % of the photo's area; otherwise its middle.
        flip: mirror every second view.
        colour: change brightness, contrast, saturation and hue.
    """
    steps: list[nn.Module] = (
        [v2.RandomResizedCrop(side, scale=(0.3, 1.0))]
        if crop
        else [v2.Resize(side), v2.CenterCrop(side)]
    )
    if flip:
        steps.append(v2.RandomHorizontalFlip())
    if colour:
        steps.append(v2.ColorJitter(0.4, 0.4, 0.4, 0.1))
    return v2.Compose(steps)


def random_crops(photo: Image.Image, count: int, seed: int) -> list[Image.Image]:
    """Squares of 70 to 100 % of a photo's shorter side, every second one mirrored.

    The same seed gives the same crops, whatever other threads draw.
    """
    generator = np.random.default_rng(seed)
    crops = []
    for number in range(count):
        side = round(min(photo.size) * generator.uniform(0.7, 1.0))
        left, top = (int(generator.integers(0, length - side + 1)) for length in photo.size)
        part = photo.crop((left, top, left + side, top + side))
        crops.append(ImageOps.mirror(part) if number % 2 else part)
    return crops


def _accuracy(logits: Tensor, targets: Tensor) -> float:
    return float((logits.argmax(dim=-1) == targets).float().mean())


def _head(vit: Vit) -> nn.Linear:
    """The classifier, one matrix."""
    classifier = getattr(vit.module, "get_classifier", lambda: None)()
    if not isinstance(classifier, nn.Linear):
        raise ModelError(f"The classifier of {vit.name} is not one matrix; it cannot be replaced.")
    return classifier


def _last_parts(vit: Vit, blocks: int) -> list[nn.Module]:
    """What is trained besides the head: the last blocks and the norms behind them."""
    if blocks == 0:
        return []
    module: Any = vit.module
    count = len(block_names(module))
    if not 0 < blocks <= count:
        raise ModelError(f"{vit.name} has {count} blocks that can be trained, not {blocks}.")
    norms = [getattr(module, name, None) for name in ("norm", "fc_norm")]
    return [*module.blocks[-blocks:], *(norm for norm in norms if norm is not None)]


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
