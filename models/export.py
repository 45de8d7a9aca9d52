"""Write a finished training run as a model folder in timm's hub layout, weights in float16.

python -m models.export runs/first --out vitviz/data/models/vit_small_patch14_photos246
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import timm
from models.photos import MEAN, STD
from safetensors.torch import load_file
from timm.models import save_for_hf
from models.train import ARCHITECTURE

from vitviz.models.labels import imagenet_names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a folder written by train.py")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=224, help="of the last training stage, px")
    parser.add_argument("--names", type=Path, help="class names, one a line; default ImageNet's")
    args = parser.parse_args()
    classes = json.loads((args.run / "classes.json").read_text())
    if args.names:
        names = args.names.read_text().splitlines()
    else:
        names = [imagenet_names()[index] for index in classes]
    sizes = {"img_size": args.size, "dynamic_img_size": True}
    model = timm.create_model(ARCHITECTURE, num_classes=len(classes), **sizes)
    model.load_state_dict(load_file(args.run / "model.safetensors"))
    save_for_hf(
        model.half(),
        args.out,
        safe_serialization=True,
        # class_ids: the labels of the training data, in the order of the outputs
        model_config={"label_names": names, "class_ids": classes},
        model_args=sizes,
        data_config={
            "input_size": (3, args.size, args.size),
            "crop_pct": 1.0,
            "interpolation": "bicubic",
            "mean": MEAN,
            "std": STD,
        },
    )
    print(f"{args.out}: {sum(f.stat().st_size for f in args.out.iterdir()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
