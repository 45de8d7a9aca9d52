"""Write finished runs as a model folder in timm's hub layout, calibrated, weights in float16.

    python -m models.export runs/distilled --val val.parquet \
        --out vitviz/data/models/vit_small_patch14_in1k

The weights of several runs that went on from one another, or a model folder and what was trained
further from it, are averaged (a model soup: Wortsman et al. 2022, arXiv 2203.05482).
A temperature is fitted to the photos of --val. The classifier's weights and biases are divided by
it, so that every softmax of its logits is calibrated; the config keeps it.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file
from timm.models import save_for_hf

from models.evaluate import outputs, temperature
from models.photos import MEAN, STD, eval_transform, read_table
from vitviz.models.labels import imagenet_names

ARCHITECTURE, PATCH = "vit_small_patch14_dinov2", 14


def average(runs: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The mean of each of the runs' tensors, in float32."""
    return {name: torch.stack([run[name].float() for run in runs]).mean(dim=0) for name in runs[0]}


def calibrate(model: torch.nn.Module, val: Path, size: int) -> float:
    """Divide the model's logits by the temperature that fits these photos best, and return it."""
    table = read_table(val)
    logits = outputs(model, eval_transform(size), table.image.tolist())
    found = temperature(logits, torch.tensor(table.label.to_numpy()))
    with torch.no_grad():
        for parameter in model.get_submodule("head").parameters():
            parameter.div_(found)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="folders written by distil.py")
    parser.add_argument("--val", type=Path, required=True, help="photos to calibrate with")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=224, help="px")
    args = parser.parse_args()
    names = imagenet_names()
    weights = average([load_file(run / "model.safetensors") for run in args.runs])
    side = PATCH * math.isqrt(weights["pos_embed"].shape[1] - 1)  # px its positions are for
    model = timm.create_model(
        ARCHITECTURE, num_classes=len(names), img_size=side, dynamic_img_size=True
    ).eval()
    model.load_state_dict(weights)
    model.set_input_size(img_size=args.size)
    found = calibrate(model, args.val, args.size)
    save_for_hf(
        model.half(),
        args.out,
        safe_serialization=True,
        # temperature: what the classifier was divided by
        model_config={"label_names": names, "temperature": round(found, 4)},
        model_args={"img_size": args.size, "dynamic_img_size": True},
        data_config={
            "input_size": (3, args.size, args.size),
            "crop_pct": 1.0,
            "interpolation": "bicubic",
            "mean": MEAN,
            "std": STD,
        },
    )
    size = sum(file.stat().st_size for file in args.out.iterdir()) / 1e6
    print(f"{args.out}: {size:.1f} MB, temperature {found:.3f}")


if __name__ == "__main__":
    main()
