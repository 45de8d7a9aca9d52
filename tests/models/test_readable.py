"""Photos become inputs by a transform of any library, or it is refused with a sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import timm
import torch
import transformers
from families import make_photo
from PIL import Image
from torchvision import transforms

import vitviz
from vitviz.models.transform import mode_of, readable


class TestReadable:
    @pytest.mark.parametrize(("channels", "mode"), [(1, "RGB"), (3, "RGB"), (4, "RGBA")])
    def test_transparency_is_kept_only_for_four_channels(self, channels: int, mode: str) -> None:
        assert mode_of(readable(transforms.ToTensor(), channels)) == mode

    def test_only_the_first_line_of_an_error_is_said(self) -> None:
        def broken(_: Image.Image) -> torch.Tensor:
            raise ValueError("The size is odd.\nSee the manual.")

        with pytest.raises(vitviz.ModelError, match=r"cannot take a photo: The size is odd\.$"):
            readable(broken, 3)

    @pytest.mark.parametrize(
        "transform",
        [
            transformers.ViTImageProcessor(size={"height": 64, "width": 64}),
            lambda photo: transforms.functional.to_tensor(photo.resize((64, 64)))[None],
            lambda photo: np.asarray(photo.resize((64, 64)), np.float32).transpose(2, 0, 1),
            lambda photo: [transforms.functional.to_tensor(photo.resize((64, 64)))],
        ],
        ids=["processor", "batch of one", "array", "list"],
    )
    def test_one_input_however_it_comes(self, transform: Any) -> None:
        module = timm.create_model("vit_tiny_patch16_224", depth=1, img_size=64)
        vit = vitviz.from_module(module, transform=transform)
        photo = make_photo()
        assert vit.transform(photo).shape == (3, 64, 64)
        assert vitviz.record(vit, photo).box == pytest.approx((0, 0, 160, 120), abs=2)

    @pytest.mark.parametrize(
        ("transform", "says"),
        [
            (transforms.Resize((64, 64)), "makes Image"),
            (transforms.PILToTensor(), r"makes uint8 \(3"),
            (transforms.Compose([transforms.FiveCrop(20), transforms.ToTensor()]), "cannot take"),
            (lambda _: None, "makes NoneType"),
            (5, "cannot take"),
        ],
    )
    def test_what_makes_no_input_is_refused(self, transform: Any, says: str) -> None:
        module = timm.create_model("vit_tiny_patch16_224", depth=1, img_size=64)
        with pytest.raises(vitviz.ModelError, match=says):
            vitviz.from_module(module, transform=transform)
