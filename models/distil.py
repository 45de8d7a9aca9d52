"""Teach a Vision Transformer what a convolutional network answers (knowledge distillation).

    python -m models.distil train.parquet more.parquet --val val.parquet \
        --teacher efficientnet_lite2.safetensors --student models/vit_small_patch14_photos246 \
        --minutes 10 --out runs/distilled

Teacher and student see the same random crops; the loss is the divergence of their answers
(Beyer et al. 2022, arXiv 2106.05237). A new head is fitted to frozen class tokens first. On a
GPU every crop is new, and mixed with another one; on a processor, where the teacher is dear, its
answers about a pool of crops are kept and replayed. The same command goes on from a checkpoint.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import timm
import torch
import torch.nn.functional as F
from models.crops import Crops, PhotoStore
from models.evaluate import top_k_by_source, outputs
from models.photos import MEAN, STD, Photos, eval_transform, read_table
from safetensors.torch import load_file, save_file
from timm.optim import create_optimizer_v2
from timm.utils import ModelEmaV3
from torch import Tensor, nn

TEACHER = "tf_efficientnet_lite2"
CLASSES = 1000


class Teacher:
    """EfficientNet-Lite2, frozen: crops from 0 to 1 → probabilities (n, 1000)."""

    def __init__(self, weights: Path, device: torch.device) -> None:
        model = timm.create_model(TEACHER)
        model.load_state_dict(load_file(weights), strict=False)
        self.model = model.eval().to(device, memory_format=torch.channels_last)

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> Tensor:
        inputs = ((pixels - 0.5) / 0.5).contiguous(memory_format=torch.channels_last)
        return self.model(inputs).float().softmax(dim=1)


def new_student(folder: Path, frozen: int, drop_path: float) -> nn.Module:
    """A model folder's ViT with a head of 1,000 zero rows; what lies before block `frozen` fixed."""
    model: Any = timm.create_model(f"local-dir:{folder}", pretrained=True, drop_path_rate=drop_path)
    model = model.float()
    model.reset_classifier(CLASSES)
    nn.init.zeros_(model.head.weight)
    model.requires_grad_(False)
    for part in (*model.blocks[frozen:], model.norm, model.head):
        part.requires_grad_(True)
    return model


class Distillation:
    """One run: the photos, both models, and how long it has been going."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.photos = PhotoStore(
            pd.concat([read_table(path) for path in args.train], ignore_index=True), self.device
        )
        self.val = read_table(args.val) if args.val else None
        self.teacher = Teacher(args.teacher, self.device)
        self.model: Any = new_student(args.student, args.frozen, args.drop_path).to(self.device)
        self.optimizer = create_optimizer_v2(
            self.model, "adamw", args.rate, 0.05, layer_decay=args.layer_decay, betas=(0.9, 0.98)
        )
        self.elapsed, self.steps, self.seen = 0.0, 0, 0
        self.generator = torch.Generator().manual_seed(0)
        self.pool = self.photos.draw(args.pool, args.least, self.generator) if args.pool else None
        if args.pool:
            file, shape = args.out / "answers.npy", (args.pool, CLASSES)
            mode = "r+" if file.exists() else "w+"
            self.answers = np.lib.format.open_memmap(file, mode, np.float16, shape)
        self.mean = torch.tensor(MEAN, device=self.device)[:, None, None]
        self.std = torch.tensor(STD, device=self.device)[:, None, None]

    def batch(self, size: int, count: int) -> tuple[Tensor, Tensor]:
        """Crops at the student's size, and the teacher's answers about them."""
        if self.pool is None:
            crops = self.photos.draw(count, self.args.least, self.generator)
            pixels = self.photos.pixels(crops, max(size, self.args.teacher_size))
            share = torch.rand(len(pixels), 1, 1, 1, generator=self.generator).to(self.device)
            share = torch.where(share < self.args.mix, share / self.args.mix / 2, 0.0)
            pixels = (1 - share) * pixels + share * pixels.flip(0)
            answers = self.teacher(self.resized(pixels, self.args.teacher_size))
        else:
            first = self.seen % self.args.pool
            numbers = torch.from_numpy(self.order()[first : first + count])
            pixels, answers = self.replayed(numbers, size)
        flipped = torch.rand(len(pixels), 1, 1, 1, generator=self.generator).to(self.device) < 0.5
        pixels = torch.where(flipped, pixels.flip(-1), pixels)
        return (self.resized(pixels, size) - self.mean) / self.std, answers

    def order(self) -> np.ndarray:
        """In which order this pass goes through the pool."""
        return np.random.default_rng(self.seen // self.args.pool).permutation(self.args.pool)

    def replayed(self, numbers: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Crops of the pool; the teacher is asked about those it has not answered."""
        assert self.pool is not None
        answers = torch.from_numpy(self.answers[numbers.numpy()])
        new = answers.sum(dim=1) < 0.5
        pixels = self.photos.pixels(
            self.pool[numbers], max(size, self.args.teacher_size) if new.any() else size
        )
        if new.any():
            found = self.teacher(self.resized(pixels[new], self.args.teacher_size))
            answers[new] = found.half().cpu()
            self.answers[numbers[new].numpy()] = answers[new].numpy()
        return pixels, answers.to(self.device).float()

    @staticmethod
    def resized(pixels: Tensor, size: int) -> Tensor:
        if pixels.shape[-1] == size:
            return pixels
        return F.interpolate(pixels, size, mode="bilinear", antialias=True)

    def fit_head(self, crops: int, size: int) -> None:
        """The head on frozen class tokens, many passes over the same crops."""
        tokens, answers = [], []
        while self.seen < crops:
            pixels, found = self.batch(size, self.args.batch)
            with torch.no_grad(), self.autocast():
                token = self.model.forward_head(
                    self.model.forward_features(pixels), pre_logits=True
                )
            tokens.append(token.float())
            answers.append(found)
            self.seen += len(pixels)
            if len(tokens) % 20 == 0:
                print(f"head: {self.seen} crops, {self.spent():.0f} s", flush=True)
        x, y = torch.cat(tokens), torch.cat(answers)
        optimizer = torch.optim.AdamW(self.model.head.parameters(), 2e-3, weight_decay=0.05)
        passes = 60
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, 4e-3, passes * (len(x) // 256 + 1)
        )
        for _ in range(passes):
            for rows in torch.randperm(len(x), device=x.device).split(256):
                loss = divergence(self.model.head(x[rows]), y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        print(f"head fitted to {len(x)} crops: loss {float(loss):.3f}", flush=True)

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")

    def spent(self) -> float:
        """Seconds this run has taken so far, in all its parts."""
        return self.elapsed + time.monotonic() - self.started

    def progress(self) -> float:
        return self.spent() / (60 * self.args.minutes)

    def size_now(self) -> int:
        """The student's size: each stage is size:share of the time."""
        end = 0.0
        for size, share in self.args.stages:
            end += share
            if self.progress() < end:
                return size
        return self.args.stages[-1][0]

    def step(self) -> float:
        size = self.size_now()
        pixels, answers = self.batch(size, self.args.batch)
        now = self.progress()
        rise = min(1.0, (self.steps + 1) / self.args.warmup)
        for group in self.optimizer.param_groups:
            cosine = 0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * min(now, 1.0)))
            group["lr"] = self.args.rate * group.get("lr_scale", 1.0) * rise * cosine
        self.model.train()
        with self.autocast():
            logits = self.model(pixels)
        loss = divergence(logits.float(), answers)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.ema.update(self.model)
        self.steps += 1
        self.seen += len(pixels)
        return float(loss.detach())

    def save(self) -> None:
        state = {
            "elapsed": self.spent(),
            "steps": self.steps,
            "seen": self.seen,
            "model": self.model.state_dict(),
            "ema": self.ema.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        unfinished = self.args.out / "checkpoint.tmp"
        torch.save(state, unfinished)
        unfinished.replace(self.args.out / "checkpoint.pt")

    def resume(self) -> None:
        state = torch.load(self.args.out / "checkpoint.pt", weights_only=True)
        self.elapsed, self.steps, self.seen = state["elapsed"], state["steps"], state["seen"]
        self.model.load_state_dict(state["model"])
        self.ema.module.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])

    def evaluate(self) -> float:
        """Top-1 of the average's on some validation photos, by which the best weights are kept."""
        assert self.val is not None
        some = self.val[: self.args.val_photos]
        data = Photos(some, list(range(CLASSES)), eval_transform(self.size_now()))
        model = self.ema.module.to("cpu")
        report = top_k_by_source(outputs(model, data), torch.tensor(data.targets), some.source)
        self.ema.module.to(self.device)
        print(f"after {self.seen} crops at {self.size_now()} px: {json.dumps(report)}", flush=True)
        return float(np.mean([row["top1"] for row in report.values()]))

    def run(self) -> None:
        self.ema = ModelEmaV3(self.model, decay=self.args.ema, use_warmup=True)
        self.started = time.monotonic()
        if (self.args.out / "checkpoint.pt").exists():
            self.resume()
        else:
            self.fit_head(self.args.head_crops, self.args.stages[0][0])
            self.ema.set(self.model)
            self.save()
            self.evaluate()
        saved = tested = time.monotonic()
        losses: list[float] = []
        while self.progress() < 1:
            losses.append(self.step())
            if self.steps % 25 == 0:
                print(
                    f"{self.spent():.0f} s, {self.size_now()} px, {self.seen} crops, "
                    f"loss {np.mean(losses):.3f}",
                    flush=True,
                )
                losses = []
            if time.monotonic() - saved > self.args.save_every:
                self.save()
                saved = time.monotonic()
            if time.monotonic() - tested > self.args.test_every:
                self.evaluate()
                tested = time.monotonic()
        self.save()
        self.evaluate()
        save_file(self.ema.module.state_dict(), self.args.out / "model.safetensors")


def divergence(logits: Tensor, answers: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the student's answers from the teacher's, in nats a crop."""
    return F.kl_div(logits.log_softmax(dim=1), answers, reduction="batchmean")


def stage(text: str) -> tuple[int, float]:
    size, share = text.split(":")
    return int(size), float(share)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", type=Path, nargs="+")
    parser.add_argument("--val", type=Path)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--student", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--stages", type=stage, nargs="+", default=[(112, 0.7), (224, 0.3)])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--warmup", type=int, default=50)
    parser.add_argument("--layer-decay", type=float, default=0.8)
    parser.add_argument("--frozen", type=int, default=4)
    parser.add_argument("--drop-path", type=float, default=0.0)
    parser.add_argument("--ema", type=float, default=0.99)
    parser.add_argument("--least", type=float, default=0.3)
    parser.add_argument("--mix", type=float, default=0.5)
    parser.add_argument("--pool", type=int, default=0)
    parser.add_argument("--teacher-size", type=int, default=192)
    parser.add_argument("--head-crops", type=int, default=4096)
    parser.add_argument("--val-photos", type=int, default=250)
    parser.add_argument("--save-every", type=float, default=240)
    parser.add_argument("--test-every", type=float, default=900)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    Distillation(args).run()


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
