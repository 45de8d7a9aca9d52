"""Teach a Vision Transformer what a convolutional network answers (knowledge distillation).

    python -m models.distil train.parquet more.parquet --val val.parquet \
        --teacher vitviz/data/models/efficientnet_lite2_in1k \
        --student vitviz/data/models/vit_small_patch14_in1k --minutes 10 --out runs/distilled

Teacher and student see the same random crops, many of them mixed with another, and the loss is
the divergence of their answers (Beyer et al. 2022, arXiv 2106.05237). Labels count a little, and
only those of thumbnails, which the teacher sees badly. A student of other classes gets a new head,
fitted to frozen class tokens first. The teacher costs as much as the student, so each of its
answers is used several times. The run ends a minute before its time is up; the best weights so far
are kept, and the same command goes on from the last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from timm.optim import create_optimizer_v2
from timm.utils import ModelEmaV3
from torch import Tensor, nn

import vitviz
from models.crops import PhotoStore
from models.evaluate import CLASSES, top_k
from models.photos import MEAN, STD, decode, eval_transform, read_table

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
TEACHER_TYPE = torch.float16 if DEVICE.type == "cuda" else torch.float32
FITTING = 60  # passes over the frozen class tokens


def autocast() -> torch.autocast:
    """bfloat16 on a GPU; most processors are slower in it."""
    return torch.autocast(DEVICE.type, torch.bfloat16, enabled=DEVICE.type == "cuda")


def new_student(folder: Path, drop_path: float) -> nn.Module:
    """A model folder's ViT; with other than the 1,000 classes it gets a head of zeros."""
    model: Any = timm.create_model(
        f"local-dir:{folder}", pretrained=True, dynamic_img_size=True, drop_path_rate=drop_path
    ).float()
    if model.num_classes != CLASSES:
        model.reset_classifier(CLASSES)
        nn.init.zeros_(model.head.weight)
    return model.to(DEVICE)


def divergence(logits: Tensor, answers: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the student's answers from these, in nats a crop."""
    return F.kl_div(logits.float().log_softmax(dim=1), answers, reduction="batchmean")


def resized(pixels: Tensor, size: int) -> Tensor:
    if pixels.shape[-1] == size:
        return pixels
    return F.interpolate(pixels, size, mode="bilinear", antialias=True)


def rectangles(shares: Tensor, size: int, x: Tensor, y: Tensor) -> Tensor:
    """1 inside a square that covers this share of an image, 0 outside: (n, 1, size, size).

    `x` and `y`, from 0 to 1, say where between the borders it lies. All are (n, 1, 1, 1).
    """
    side = shares.sqrt()
    at = (torch.arange(size, device=shares.device) + 0.5) / size
    left, top = x * (1 - side), y * (1 - side)
    across = (at > left) & (at < left + side)
    down = (at[:, None] > top) & (at[:, None] < top + side)
    return (across & down).to(shares.dtype)


class Lessons:
    """Crops with the teacher's answers about them.

    Attributes:
        seen: how many crops have been given.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.seen = args, 0
        table = pd.concat([read_table(path) for path in args.train], ignore_index=True)
        self.photos = PhotoStore(table, DEVICE)
        self.labels = torch.tensor(table.label.to_numpy())
        self.teacher = vitviz.load_model(args.teacher).module
        self.teacher.to(DEVICE, TEACHER_TYPE).to(memory_format=torch.channels_last)
        self.generator = torch.Generator().manual_seed(0)
        self.mean, self.std = (torch.tensor(v, device=DEVICE)[:, None, None] for v in (MEAN, STD))
        self.kept = list[Tensor]()  # pixels and answers of `keep` crops
        self.asked = 0  # how many of them have been filled

    def batch(self, size: int, count: int) -> tuple[Tensor, Tensor]:
        """The student's input at `size` px, (n, 3, size, size), and the probabilities to learn,
        (n, 1000).

        Once `keep` crops are kept, one batch in `reuse` is new and takes the place of the oldest;
        the others are drawn from what is kept.
        """
        if not self.kept or self.kept[0].shape[-1] != size:
            self.kept, self.asked = self._room(size), 0
        if self.asked >= self.args.keep and (self.seen // count) % self.args.reuse:
            rows = torch.randint(self.args.keep, (count,), device=DEVICE)
            lesson = [kept[rows] for kept in self.kept]
        else:
            lesson = self._new(size, count)
            first = self.asked % self.args.keep
            for kept, new in zip(self.kept, lesson, strict=True):
                kept[first : first + count] = new
            self.asked += count
        self.seen += count
        pixels, answers = lesson
        flipped = self._random(count) < 0.5
        pixels = torch.where(flipped, pixels.flip(-1), pixels) / 255
        return (pixels - self.mean) / self.std, answers.float()

    def _room(self, size: int) -> list[Tensor]:
        kinds = ((3, size, size), torch.uint8), ((CLASSES,), torch.half)
        return [torch.empty(self.args.keep, *shape, dtype=t, device=DEVICE) for shape, t in kinds]

    def _random(self, count: int) -> Tensor:
        drawn = torch.rand(count, 1, 1, 1, generator=self.generator)
        return drawn.to(DEVICE, non_blocking=True)

    def _new(self, size: int, count: int) -> list[Tensor]:
        """New crops, of which a share is mixed with another: in every second batch both shine
        through (mixup, arXiv 1710.09412), else a rectangle is pasted (CutMix, arXiv 1905.04899)."""
        crops = self.photos.draw(count, self.args.least, self.generator)
        pixels = self.photos.pixels(crops, max(size, self.args.teacher_size))
        drawn = self._random(count)
        other = share = torch.where(drawn < self.args.mix, drawn / self.args.mix / 2, 0.0)
        if (self.asked // count) % 2:
            other = rectangles(share, pixels.shape[-1], self._random(count), self._random(count))
        pixels = torch.lerp(pixels, pixels.flip(0), other)
        answers = self._labelled(crops.photo, share.flatten(), self._ask(pixels))
        return [(255 * resized(pixels, size)).round().byte(), answers]

    @torch.no_grad()
    def _ask(self, pixels: Tensor) -> Tensor:
        inputs = (resized(pixels, self.args.teacher_size) - 0.5) / 0.5
        inputs = inputs.to(TEACHER_TYPE, memory_format=torch.channels_last)
        return self.teacher(inputs).float().softmax(dim=1)

    def _labelled(self, photos: Tensor, other: Tensor, answers: Tensor) -> Tensor:
        """Answers that are drawn a little to the labels of the thumbnails among two photos.

        The photo of the reverse place in the batch covers the share `other` of each crop, (n,).
        """
        labels = self.labels[photos]
        weight = torch.where(self.photos.sharp[photos] | (labels < 0), 0.0, self.args.labels)
        labels = labels.clamp(min=0)[:, None].to(DEVICE, non_blocking=True)
        weight = weight.to(DEVICE, non_blocking=True)
        own, others = weight * (1 - other), weight.flip(0) * other
        answers = answers * (1 - own - others)[:, None]
        answers.scatter_add_(1, labels, own[:, None])
        return answers.scatter_add_(1, labels.flip(0), others[:, None])


class Distillation:
    """One run: lessons, student, its average, and how long it has been going."""

    def __init__(self, args: argparse.Namespace, lessons: Lessons) -> None:
        self.started = time.monotonic()
        self.args, self.lessons = args, lessons
        self.val = read_table(args.val)[: args.val_photos]
        self.model: Any = new_student(args.student, args.drop_path)
        self.ema = ModelEmaV3(self.model, decay=args.ema, use_warmup=True)
        self.optimizer = create_optimizer_v2(
            self.model, "adamw", args.rate, 0.05, layer_decay=args.layer_decay, betas=(0.9, 0.98)
        )
        self.elapsed, self.steps = 0.0, 0
        self.val_pixels = torch.empty(0, 3, 0, 0)
        self.best = (0, 0.0)  # px and top-1: what a larger size gives counts more

    def spent(self) -> float:
        """Seconds this run has taken so far, in all its parts."""
        return self.elapsed + time.monotonic() - self.started

    def done(self) -> float:
        """Which share of its time is over; 1 a minute before the limit."""
        return self.spent() / (60 * (self.args.minutes - 1))

    def size(self) -> int:
        """The student's size now, in px: each stage is a size and a share of the time."""
        end = np.cumsum([share for _, share in self.args.stages])
        stage = min(int(np.searchsorted(end, self.done(), "right")), len(end) - 1)
        return self.args.stages[stage][0]

    def fit_head(self) -> None:
        """The head on frozen class tokens, many passes over the same crops."""
        tokens, answers = [], []
        while self.lessons.seen < self.args.head_crops:
            pixels, found = self.lessons.batch(self.size(), self.args.batch)
            with torch.no_grad(), autocast():
                last = self.model.forward_features(pixels)
                tokens.append(self.model.forward_head(last, pre_logits=True).float())
            answers.append(found)
        x, y = torch.cat(tokens), torch.cat(answers)
        batch = min(256, len(x))
        head = self.model.head
        optimizer = torch.optim.AdamW(head.parameters(), weight_decay=0.05)
        steps = FITTING * math.ceil(len(x) / batch)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, steps)
        for _ in range(FITTING):
            for rows in torch.randperm(len(x)).to(DEVICE).split(batch):
                loss = divergence(head(x[rows]), y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        self.ema.set(self.model)
        self.say(f"head fitted, loss {loss.detach():.3f}")

    def step(self) -> Tensor:
        """One batch; returns its loss."""
        pixels, answers = self.lessons.batch(self.size(), self.args.batch)
        rise = min(1.0, (self.steps + 1) / self.args.warmup)
        cosine = 0.01 + 0.99 * (1 + math.cos(math.pi * min(self.done(), 1.0))) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = self.args.rate * group["lr_scale"] * rise * cosine
        self.model.train()
        with autocast():
            logits = self.model(pixels)
        loss = divergence(logits, answers)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.ema.update(self.model)
        self.steps += 1
        return loss.detach()

    @torch.inference_mode()
    def evaluate(self) -> None:
        """Top-1 and top-5 of the average on validation photos; the best weights are kept."""
        if self.val_pixels.shape[-1] != self.size():
            transform = eval_transform(self.size())
            with ThreadPoolExecutor() as threads:
                prepared = threads.map(lambda data: transform(decode(data)), self.val.image)
            self.val_pixels = torch.stack(list(prepared)).to(DEVICE)
        with autocast():
            logits = [self.ema.module(part).float().cpu() for part in self.val_pixels.split(64)]
        targets = torch.tensor(self.val.label.to_numpy())
        first, five = (float(top_k(torch.cat(logits), targets, k).double().mean()) for k in (1, 5))
        self.say(f"{len(targets)} photos: top-1 {100 * first:.1f} %, top-5 {100 * five:.1f} %")
        if (self.size(), first) >= self.best:
            self.best = (self.size(), first)
            save_file(self.ema.module.state_dict(), self.args.out / "model.safetensors")

    def say(self, text: str) -> None:
        print(
            f"{self.spent():.0f} s, {self.size()} px, {self.lessons.seen} crops: {text}", flush=True
        )

    def save(self) -> None:
        state = {
            "elapsed": self.spent(),
            "steps": self.steps,
            "seen": self.lessons.seen,
            "best": self.best,
            "model": self.model.state_dict(),
            "ema": self.ema.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        unfinished = self.args.out / "checkpoint.tmp"
        torch.save(state, unfinished)
        unfinished.replace(self.args.out / "checkpoint.pt")

    def resume(self) -> None:
        state = torch.load(self.args.out / "checkpoint.pt", DEVICE, weights_only=True)
        self.elapsed, self.steps, self.best = state["elapsed"], state["steps"], state["best"]
        self.lessons.seen = state["seen"]
        self.lessons.generator.manual_seed(state["seen"])
        self.model.load_state_dict(state["model"])
        self.ema.module.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])

    def run(self) -> None:
        (self.args.out / "classes.json").write_text(json.dumps(list(range(CLASSES))))
        if (self.args.out / "checkpoint.pt").exists():
            self.resume()
        elif not self.model.head.weight.any():
            self.fit_head()
        if DEVICE.type == "cuda":
            torch.backends.cudnn.benchmark = True
            for block in self.model.blocks:
                block.compile(dynamic=False)  # one program for all blocks of a size
        saved, losses = time.monotonic(), list[Tensor]()
        while self.done() < 1:
            losses.append(self.step())
            if len(losses) == 50:
                self.say(f"loss {torch.stack(losses).mean():.3f}")
                losses.clear()
            if time.monotonic() - saved > self.args.save_every:
                self.evaluate()
                self.save()
                saved = time.monotonic()
        self.evaluate()
        self.save()


def stage(text: str) -> tuple[int, float]:
    size, share = text.split(":")
    return int(size), float(share)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("train", type=Path, nargs="+", help=".parquet files or ImageFolders")
    add("--val", type=Path, required=True)
    add("--val-photos", type=int, default=1000, help="the first ones, to choose by")
    add("--teacher", type=Path, required=True, help="a model folder")
    add("--student", type=Path, required=True, help="a model folder")
    add("--out", type=Path, required=True)
    add("--minutes", type=float, required=True, help="the limit")
    add("--stages", type=stage, nargs="+", default=[(112, 0.6), (224, 0.4)], help="px:share")
    add("--batch", type=int, default=512 if DEVICE.type == "cuda" else 32)
    add("--rate", type=float, default=5e-4)
    add("--warmup", type=int, default=100, help="steps")
    add("--layer-decay", type=float, default=0.8)
    add("--drop-path", type=float, default=0.0)
    add("--ema", type=float, default=0.998)
    add("--least", type=float, default=0.25, help="the least share of a photo's area in a crop")
    add("--mix", type=float, default=0.6, help="share of new crops that are mixtures")
    add("--labels", type=float, default=0.3, help="share of a thumbnail's label in what is learnt")
    add("--keep", type=int, default=256, help="batches of crops that are kept")
    add("--reuse", type=int, default=4, help="how often each answer of the teacher is used")
    add("--teacher-size", type=int, default=224, help="px")
    add("--head-crops", type=int, default=16384)
    add("--save-every", type=float, default=60, help="seconds")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    args.keep *= args.batch
    Distillation(args, Lessons(args)).run()


if __name__ == "__main__":
    main()
