"""What explaining many photos costs, beside a plain batched forward pass and beside others' ways.

    python -m benchmarks.peers
    python -m benchmarks.peers --photos 256 --sizes 224 518

Each way goes through the same inputs in batches of the same size, in turn with the others; each
row is the median of the rounds, and the ratio is to the plain forward pass of the same run.
pytorch-grad-cam (`pip install --no-deps grad-cam ttach`, and scikit-learn) is measured where it is
installed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import timm
import torch
from torch import Tensor, nn

import vitviz
from benchmarks.machine import processor
from benchmarks.recording import interleaved

Batches = list[Tensor]


def plain(module: nn.Module, batches: Batches) -> None:
    """The model's classes and nothing else."""
    with torch.no_grad():
        for batch in batches:
            module(batch)


def maps(vit: vitviz.Vit, batches: Batches) -> None:
    """Where the class token looks in each layer, every head."""
    for rec in vitviz.record_many(vit, batches, len(batches[0])):
        for layer in range(rec.num_layers):
            rec.attention_row(layer)


def explained(method: str, vit: vitviz.Vit, batches: Batches) -> None:
    """One map a photo."""
    size = len(batches[0])
    for _ in vitviz.explain_many(vitviz.record_many(vit, batches, size), method, batch_size=size):
        pass


def hooked(module: Any, batches: Batches) -> None:
    """Plain hooks that keep each layer's whole map, for which fused kernels have to be off."""
    kept: list[Tensor] = []
    handles = []
    for block in module.blocks:
        block.attn.fused_attn = False
        handles.append(
            block.attn.attn_drop.register_forward_hook(lambda *args: kept.append(args[2]))
        )
    try:
        with torch.no_grad():
            for batch in batches:
                module(batch)
                kept.clear()
    finally:
        for block, handle in zip(module.blocks, handles, strict=True):
            block.attn.fused_attn = True
            handle.remove()


def grad_cam(module: Any, batches: Batches) -> None:
    """pytorch-grad-cam on the last block's first norm, as its documentation does for ViTs."""
    from pytorch_grad_cam import GradCAM

    def as_grid(tokens: Tensor) -> Tensor:
        patches = tokens[:, module.num_prefix_tokens :]
        side = round(patches.shape[1] ** 0.5)
        return patches.unflatten(1, (side, side)).movedim(-1, 1)

    with GradCAM(module, [module.blocks[-1].norm1], as_grid) as cam:
        for batch in batches:
            cam(batch, None)  # the top class


def table(photos: int, size: int, batch: int, rounds: int) -> str:
    """One row a way, at one size."""
    vit = vitviz.load_model()
    torch.manual_seed(0)
    batches = list(torch.randn(photos, 3, size, size).split(batch))
    next(iter(vitviz.record_many(vit, batches[:1], batch)))  # what is found out once is known
    module = vit.module
    ways: dict[str, Callable[[], object]] = {
        "plain forward": partial(plain, module, batches),
        "attention maps: record_many": partial(maps, vit, batches),
        "attention maps: hooks that store them": partial(hooked, module, batches),
        "relevance": partial(explained, "relevance", vit, batches),
        "Grad-CAM": partial(explained, "gradcam", vit, batches),
    }
    if find_spec("pytorch_grad_cam"):
        ways["Grad-CAM: pytorch-grad-cam"] = partial(grad_cam, module, batches)
    seconds = interleaved(ways, rounds)
    rows = [f"| {size} px, batches of {batch} | photos a second | × plain |", "|---|---|---|"]
    rows += [
        f"| {way} | {photos / took:.2f} | {took / seconds['plain forward']:.2f} |"
        for way, took in seconds.items()
    ]
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=256)
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 518])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print(f"{processor()}; timm {timm.__version__}\n")
    for size in args.sizes:
        print(table(args.photos, size, args.batch, args.rounds), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
