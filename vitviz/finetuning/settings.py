"""What is trained of a model on a folder of photos, and how."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vitviz.arguments import check_fields
from vitviz.errors import VitvizError
from vitviz.training.augmentation import AUGMENTATIONS
from vitviz.training.plan import Plan, steps_an_epoch
from vitviz.training.trained_part import bfloat16_is_fast

__all__ = ["FinetuneSettings"]

RISING = 0.1  # share of the steps in which the learning rate rises
RATES = {"head": 1e-2, "blocks": 1e-3, "all": 5e-4}


@dataclass(frozen=True)
class FinetuneSettings:
    """How a model is fine-tuned.

    Attributes:
        train: “head”, “all”, or how many of the last blocks are trained besides the head.
        size: width and height of the model's input in pixels, a multiple of its patches; None keeps
            the model's own. Smaller is faster.
        epochs: how often each photo is seen, at most.
        batch: photos a step.
        rate: the highest learning rate, that of the head; None takes 0.01 for the head alone, 0.001
            for the last blocks and 0.0005 for the whole model.
        layer_decay: the rate of each block, as a share of the next one's. Bao et al. 2022, BEiT,
            arXiv 2106.08254.
        augment: random views: any of “crop”, “flip” and “colour”.
        entropy: λ, how much the attention entropy of the class token counts in the loss.
        hold_out: share of each class's photos that is not trained on.
        patience: epochs without a better held-out result after which the training ends.
        seed: of the split, the order of the photos and the random views.

    Raises:
        VitvizError: if a value is out of its range.

    Examples:
        >>> FinetuneSettings(train=4, size=112).rate is None  # that of the last blocks
        True
    """

    train: int | str = "head"
    size: int | None = None
    epochs: int = 20
    batch: int = 32
    rate: float | None = None
    layer_decay: float = 0.75
    augment: tuple[str, ...] = ()
    entropy: float = 0.0
    hold_out: float = 0.2
    patience: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "augment", tuple(self.augment))
        whole = isinstance(self.train, int) and self.train > 0
        for name, fits, range_ in (
            ("train", whole or self.train in ("head", "all"), "head, all or a number from 1"),
            ("size", self.size is None or self.size > 0, "a number from 1"),
            ("epochs", self.epochs > 0, "a number from 1"),
            ("batch", self.batch > 0, "a number from 1"),
            ("rate", self.rate is None or 0 < self.rate < math.inf, "above 0"),
            ("layer_decay", 0 < self.layer_decay <= 1, "above 0 and at most 1"),
            ("augment", set(self.augment) <= set(AUGMENTATIONS), f"of {', '.join(AUGMENTATIONS)}"),
            ("entropy", 0 <= self.entropy < math.inf, "at least 0"),
            ("hold_out", 0 < self.hold_out < 1, "between 0 and 1"),
            ("patience", self.patience > 0, "a number from 1"),
            ("seed", self.seed >= 0, "at least 0"),
        ):
            if not fits:
                raise VitvizError(
                    "setting_out_of_range",
                    "{setting} must be {range}, not {value!r}.",
                    setting=name,
                    range=range_,
                    value=getattr(self, name),
                )

    @property
    def blocks(self) -> int | None:
        """How many of the last blocks are trained; None is the whole model."""
        return self.train if isinstance(self.train, int) else {"head": 0, "all": None}[self.train]

    def plan(self, photos: int) -> Plan:
        """The same for a number of training photos, with all that follows from it."""
        steps = self.epochs * steps_an_epoch(photos, self.batch)
        rate = RATES["blocks" if isinstance(self.train, int) else self.train]
        return Plan(
            steps=steps,
            warmup=int(RISING * steps),
            rate=self.rate or rate,
            layer_decay=self.layer_decay,
            blocks=self.blocks,
            entropy=self.entropy,
            batch=self.batch,
            bfloat16=bfloat16_is_fast() and (self.blocks != 0 or bool(self.augment)),
            seed=self.seed,
        )
