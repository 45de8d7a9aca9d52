"""Fine-tune the encoder end to end as a classifier.

    python -m models.train train.parquet --val val.parquet --encoder encoder.safetensors \
        --stages 84:150000,224:12000 --out runs/first

A stage is `size:photos`; one cosine schedule runs over all of them. A checkpoint is written
every ten minutes and the same command goes on from it.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from models.evaluate import accuracy_by_source
from models.photos import Photos, log_priors, read_table, train_transform, view_shares
from safetensors.torch import load_file, save_file
from timm.optim import param_groups_layer_decay
from timm.utils import ModelEmaV3
from torch.utils.data import DataLoader, WeightedRandomSampler

ARCHITECTURE = "vit_small_patch14_dinov2"


def build(
    encoder: Path, num_classes: int, size: int, drop_path: float, frozen: int
) -> torch.nn.Module:
    """The encoder with a new head, or an earlier run's model with its own; position embeddings
    resampled to `size`, the patch embedding and the first `frozen` blocks fixed."""
    weights = load_file(encoder)
    side = math.isqrt(weights["pos_embed"].shape[1] - 1) * 14  # px it was trained at
    model = timm.create_model(
        ARCHITECTURE, num_classes=num_classes, drop_path_rate=drop_path, img_size=side
    )
    model.load_state_dict(weights, strict=False)
    model.set_input_size(img_size=size)
    if frozen:
        fixed = [model.patch_embed, *model.blocks[:frozen]]
        for parameter in [
            model.pos_embed,
            model.cls_token,
            *(p for m in fixed for p in m.parameters()),
        ]:
            parameter.requires_grad_(False)
    return model


def learning_rate(done: float, warmup: float) -> float:
    """Linear warm-up, then half a cosine to 1 %; `done` is the fraction of photos seen."""
    if done < warmup:
        return done / warmup
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))


class Run:
    """One training run: model, average, optimiser and how many photos it has seen."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.table = read_table(args.train)
        self.val = read_table(args.val)
        self.classes = sorted(int(c) for c in self.table.label.unique())
        self.stages = [tuple(map(int, s.split(":"))) for s in args.stages.split(",")]
        self.total = sum(photos for _, photos in self.stages)
        self.model = build(
            args.encoder, len(self.classes), self.stages[0][0], args.drop_path, args.frozen
        )
        groups = param_groups_layer_decay(
            self.model, weight_decay=0.05, layer_decay=args.layer_decay
        )
        groups = [
            g
            for g in groups
            if (g.update(params=[p for p in g["params"] if p.requires_grad]) or g["params"])
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.98))
        self.ema = ModelEmaV3(self.model, decay=args.ema, use_warmup=True)
        self.seen = 0
        self.saved_at = time.time()

    @property
    def checkpoint(self) -> Path:
        return Path(self.args.out) / "checkpoint.pt"

    def save(self) -> None:
        state = {
            "seen": self.seen,
            "model": self.model.state_dict(),
            "ema": self.ema.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        temporary = self.checkpoint.with_suffix(".tmp")
        torch.save(state, temporary)
        temporary.replace(self.checkpoint)
        self.saved_at = time.time()

    def resume(self) -> None:
        state = torch.load(self.checkpoint, weights_only=True)
        size = self.size_at(state["seen"])
        self.resize(size)
        self.model.load_state_dict(state["model"])
        self.ema.module.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.seen = state["seen"]

    def work(self, seen: int) -> int:
        """Pixels processed after `seen` photos; the schedule counts these, not photos."""
        pixels = 0
        for size, photos in self.stages:
            pixels += size * size * min(seen, photos)
            seen = max(seen - photos, 0)
        return pixels

    def size_at(self, seen: int) -> int:
        for size, photos in self.stages:
            if seen < photos:
                return size
            seen -= photos
        return self.stages[-1][0]

    def resize(self, size: int) -> None:
        """Resample the position embeddings of the model and of its average; the optimiser is told,
        as the resampled embedding is a new tensor."""
        old = self.model.get_parameter("pos_embed")
        for model in (self.model, self.ema.module):
            timm_model: Any = model
            timm_model.set_input_size(img_size=size)
            timm_model.pos_embed.requires_grad_(old.requires_grad)
        new = self.model.get_parameter("pos_embed")
        for group in self.optimizer.param_groups:
            group["params"] = [new if p is old else p for p in group["params"]]
        self.optimizer.state.pop(old, None)

    def step(self, images: torch.Tensor, targets: torch.Tensor, log_prior: torch.Tensor) -> float:
        scale = learning_rate(self.work(self.seen) / self.work(self.total), self.args.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = self.args.lr * scale * group["lr_scale"]
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.model(images)
        loss = F.cross_entropy(logits.float() + log_prior, targets, label_smoothing=0.1)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 3.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update(self.model)
        return loss.item()

    def stage(self, size: int, rate: float, until: int) -> None:
        batch = self.args.batch if size < 200 else self.args.batch // 2
        shares = view_shares(self.table, rate)
        priors = log_priors(self.table, shares)
        transform = train_transform(size, self.args.min_area)
        data = Photos(self.table, self.classes, transform, shares.blunt.tolist())
        sampler = WeightedRandomSampler(shares.weight.tolist(), until - self.seen + batch)
        loader = DataLoader(data, batch, sampler=sampler, num_workers=1, drop_last=True)
        self.model.train()
        start, first, losses = time.time(), self.seen, []
        for images, targets, sharp in loader:
            losses.append(self.step(images, targets, priors[sharp.long()]))
            self.seen += len(images)
            if len(losses) == 50:
                rate = (time.time() - start) / (self.seen - first) * 1000
                print(
                    f"{size}px seen {self.seen} loss {sum(losses) / 50:.3f} {rate:.1f} ms/photo",
                    flush=True,
                )
                losses = []
            if time.time() - self.saved_at > 600:
                self.save()
            if self.seen >= until:
                return

    def evaluate(self, size: int) -> None:
        sharp = self.val[self.val.source != "tinyimagenet"]
        report = accuracy_by_source(self.ema.module, sharp, self.classes, size)
        print(f"EMA at {size}px after {self.seen}: {json.dumps(report)}", flush=True)

    def run(self) -> None:
        self.args.out.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.exists():
            self.resume()
        end = 0
        for (size, photos), rate in zip(self.stages, self.args.sharp, strict=True):
            end += photos
            if self.seen >= end:
                continue
            self.resize(size)
            self.stage(size, rate, end)
            self.save()
            self.evaluate(size)
        save_file(self.ema.module.state_dict(), self.args.out / "model.safetensors")
        (self.args.out / "classes.json").write_text(json.dumps(self.classes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", type=Path, help="a .parquet file or an ImageFolder")
    parser.add_argument("--val", type=Path, required=True)
    parser.add_argument(
        "--encoder", type=Path, required=True, help="from convert.py, or of an earlier run"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--stages", default="84:150000,224:12000")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--layer-decay", type=float, default=0.75)
    parser.add_argument("--warmup", type=float, default=0.04)
    parser.add_argument("--drop-path", type=float, default=0.1)
    parser.add_argument("--ema", type=float, default=0.998)
    parser.add_argument("--frozen", type=int, default=4, help="blocks that stay fixed")
    parser.add_argument("--min-area", type=float, default=0.35)
    parser.add_argument(
        "--sharp", type=float, nargs="+", default=[0.3, 0.6], help="rate of sharp views, by stage"
    )
    Run(parser.parse_args()).run()


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
