"""The box is where the model's input really comes from."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import timm
import torch
import transformers
from families import make_photo
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image, ImageChops, ImageOps
from timm.data import create_transform
from timm.data.transforms import CenterCropOrPad, MaybeToTensor, ResizeKeepRatio
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn
from torchvision import models, transforms
from torchvision.transforms import v2

import vitviz
from vitviz.models.asked import asked_box
from vitviz.models.transform import input_box, mean_and_std, readable


def ramp(width: int, height: int) -> Image.Image:
    """A photo whose red is the column and green the row, from 0 to 255."""
    x = np.linspace(0, 255, width)[None].repeat(height, 0)
    y = np.linspace(0, 255, height)[:, None].repeat(width, 1)
    return Image.fromarray(np.stack([x, y, x * 0], -1).round().astype(np.uint8))


def check(transform: transforms.Compose, width: int, height: int, tolerance: float) -> None:
    """Every input pixel's colour names the place the box says, in pixels of the photo."""
    pixels = transform(ramp(width, height))
    mean, std = (torch.as_tensor(v)[:, None, None] for v in mean_and_std(transform))
    red, green, _ = (pixels * std + mean).numpy() * 255
    left, top, right, bottom = input_box(transform, (width, height))
    rows, cols = red.shape
    for row, col in (
        (rows // 2, cols // 2),
        (rows // 3, cols // 4),
        (2 * rows // 3, 3 * cols // 4),
    ):
        x = left + (col + 0.5) / cols * (right - left)
        y = top + (row + 0.5) / rows * (bottom - top)
        if not (0 <= x < width and 0 <= y < height):
            continue  # padding has no place on the photo; the centre always has
        assert red[row, col] / 255 * (width - 1) + 0.5 == pytest.approx(x, abs=tolerance)
        assert green[row, col] / 255 * (height - 1) + 0.5 == pytest.approx(y, abs=tolerance)


@settings(max_examples=40)
@given(
    width=st.integers(40, 600),
    height=st.integers(40, 600),
    crop_pct=st.sampled_from([0.8, 0.9, 1.0]),
    size=st.sampled_from([(224, 224), (196, 224), (224, 140)]),
    mode=st.sampled_from(["center", "squash", "border"]),
)
def test_box_of_timms_own_transforms(
    width: int, height: int, crop_pct: float, size: tuple[int, int], mode: str
) -> None:
    if not 1 / 3 < width / height < 3:
        width = height
    transform = create_transform((3, *size), crop_pct=crop_pct, crop_mode=mode)
    check(transform, width, height, tolerance=max(width, height) / 80 + 1)


SIZES = [(400, 300), (300, 401), (333, 333), (97, 61), (50, 999), (1203, 160)]


def whereabouts(
    transform: transforms.Compose, size: tuple[int, int], axis: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where each column (axis 0) or row (axis 1) of the input comes from, in the photo's pixels:
    as the box says, and as a float photo whose pixels hold their own coordinate shows."""
    ramp = np.arange(size[axis], dtype=np.float32) + 0.5  # pixel centres
    photo = np.broadcast_to(ramp[None] if axis == 0 else ramp[:, None], size[::-1])
    colours = (MaybeToTensor, transforms.Normalize)
    steps = [step for step in transform.transforms if not isinstance(step, colours)]
    steps = [  # one channel, one colour to fill with
        CenterCropOrPad(step.size, fill=0) if isinstance(step, CenterCropOrPad) else step
        for step in steps
    ]
    seen = np.asarray(transforms.Compose(steps)(Image.fromarray(photo.copy())))
    box = input_box(transform, size)
    low, high = box[axis], box[axis + 2]
    count = seen.shape[1 - axis]
    said = low + (np.arange(count) + 0.5) / count * (high - low)
    return said, np.take(seen, seen.shape[axis] // 2, axis=axis)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("crop_pct", [0.8, 0.95, 1.0])
@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize("target", [(224, 224), (70, 140)])
@pytest.mark.parametrize("axis", [0, 1])
def test_each_input_pixel_comes_from_where_the_box_says(
    size: tuple[int, int], crop_pct: float, mode: str, target: tuple[int, int], axis: int
) -> None:
    transform = create_transform(
        (3, *target), crop_pct=crop_pct, crop_mode=mode, interpolation="bilinear"
    )
    said, seen = whereabouts(transform, size, axis)
    step = float(said[1] - said[0])  # the photo's pixels in one of the input
    margin = max(1.0, step)  # at the photo's border an interpolation is one-sided
    comparable = (said > margin) & (said < size[axis] - margin) & (seen > 0)
    assert comparable.any()
    np.testing.assert_allclose(seen[comparable], said[comparable], atol=0.5 * max(1.0, step) + 1e-3)
    # on average far closer: a shift of a fraction of a pixel would show
    bias = float((seen[comparable] - said[comparable]).mean())
    assert abs(bias) < 0.3 * max(1.0, step)


def test_exact_box_of_a_landscape_photo() -> None:
    steps = [transforms.Resize(100), transforms.CenterCrop(80), transforms.ToTensor()]
    # 400 × 200 → 200 × 100; the crop starts at column 60, row 10; a pixel is 2 photo pixels.
    assert input_box(transforms.Compose(steps), (400, 200)) == (120, 20, 280, 180)


def test_padding_reaches_beyond_the_photo() -> None:
    steps = [transforms.CenterCrop(100), transforms.ToTensor()]
    assert input_box(transforms.Compose(steps), (60, 100)) == (-20, 0, 80, 100)


def test_every_model_of_the_zoo_can_be_placed() -> None:
    configs = [timm.get_pretrained_cfg(name).to_dict() for name in timm.list_models("*vit*")[:80]]
    for config in configs:
        transform = create_transform(**timm.data.resolve_data_config(pretrained_cfg=config))
        left, _, right, _ = input_box(transform, (500, 400))
        assert left < right


def test_one_number_may_be_every_colours() -> None:
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.5, 0.25)])
    assert mean_and_std(transform) == ((0.5,), (0.25,))


def test_mean_and_std_are_the_transforms_own() -> None:
    steps = [transforms.ToTensor(), transforms.Normalize((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))]
    assert mean_and_std(transforms.Compose(steps)) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert mean_and_std(transforms.ToTensor()) == ((0.0,), (1.0,))


LIBRARIES: dict[str, Callable[[], Any]] = {
    "preset of torchvision": lambda: models.ViT_B_16_Weights.IMAGENET1K_V1.transforms(),
    "preset of torchvision for fine-tuned weights": lambda: (
        models.ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1.transforms()
    ),
    "v2": lambda: v2.Compose(
        [
            v2.ToImage(),
            v2.Resize(100, antialias=True),
            v2.CenterCrop(80),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.1, 0.2, 0.3), (0.4, 0.5, 0.6)),
        ]
    ),
    "nested": lambda: transforms.Compose(
        [
            transforms.Compose([transforms.Resize(100), transforms.CenterCrop((60, 80))]),
            nn.Sequential(transforms.Grayscale(3)),
            transforms.ToTensor(),
        ]
    ),
    "open_clip": lambda: image_transform_v2(
        PreprocessCfg(size=96, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)), is_train=False
    ),
    "open_clip, squashed": lambda: image_transform_v2(
        PreprocessCfg(size=96, resize_mode="squash"), is_train=False
    ),
    "open_clip, padded": lambda: image_transform_v2(
        PreprocessCfg(size=96, resize_mode="longest"), is_train=False
    ),
    "processor of transformers": lambda: readable(
        transformers.ViTImageProcessor(size={"height": 64, "width": 96}), 3
    ),
    "processor of transformers with a crop": lambda: readable(
        transformers.CLIPImageProcessor(
            size={"shortest_edge": 100}, crop_size={"height": 80, "width": 80}
        ),
        3,
    ),
    "lambda": lambda: transforms.Compose(
        [
            transforms.Lambda(lambda photo: photo.crop((10, 20, 50, 60))),
            transforms.Resize((80, 80)),
            transforms.ToTensor(),
        ]
    ),
    "function": lambda: lambda photo: transforms.functional.to_tensor(photo.resize((90, 60))),
    "gamma": lambda: transforms.Compose(
        [
            transforms.Resize((64, 64)),
            transforms.Lambda(lambda photo: transforms.functional.adjust_gamma(photo, 2.2)),
            transforms.ToTensor(),
        ]
    ),
    "pad": lambda: transforms.Compose(
        [transforms.Resize((50, 90)), transforms.Pad((5, 10, 15, 20)), transforms.ToTensor()]
    ),
    "longest side": lambda: transforms.Compose(
        [transforms.Resize(60, max_size=90), transforms.CenterCrop(80), transforms.ToTensor()]
    ),
}
BOXES: dict[str, Callable[[int, int], tuple[float, ...]]] = {
    "lambda": lambda *_: (10, 20, 50, 60),
    "function": lambda w, h: (0, 0, w, h),
    "gamma": lambda w, h: (0, 0, w, h),
    "pad": lambda w, h: (-5 * w / 90, -10 * h / 50, w + 15 * w / 90, h + 20 * h / 50),
    "processor of transformers": lambda w, h: (0, 0, w, h),
    "open_clip, squashed": lambda w, h: (0, 0, w, h),
    "open_clip, padded": lambda w, h: (
        (0, (h - w) / 2, w, (h + w) / 2) if w > h else ((w - h) / 2, 0, (w + h) / 2, h)
    ),
    "open_clip": lambda w, h: (
        ((w - h) / 2, 0, (w + h) / 2, h) if w > h else (0, (h - w) / 2, w, (h + w) / 2)
    ),
}


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("size", [(400, 300), (301, 420), (97, 71), (1203, 800)])
def test_transforms_of_all_libraries_are_placed(library: str, size: tuple[int, int]) -> None:
    """Where a red dot of the photo is in the input, there the box says it is."""
    transform = LIBRARIES[library]()
    box = input_box(transform, size)
    width, height = size
    if library in BOXES:
        pixel = max(size) / 64
        assert box == pytest.approx(BOXES[library](*size), abs=pixel)
    left, top, right, bottom = box
    photo = Image.new("RGB", size)
    x, y = (max(left, 0) + min(right, width)) / 2, (max(top, 0) + min(bottom, height)) / 2
    side = max(3, (min(right, width) - max(left, 0)) / 40)
    photo.paste((255, 255, 255), tuple(round(v) for v in (x - side, y - side, x + side, y + side)))
    bright = transform(photo) - transform(Image.new("RGB", size))
    weights = bright[0].double().clamp(min=0)
    rows, cols = weights.shape
    col = float((weights.sum(0) * (torch.arange(cols) + 0.5)).sum() / weights.sum())
    row = float((weights.sum(1) * (torch.arange(rows) + 0.5)).sum() / weights.sum())
    assert left + col / cols * (right - left) == pytest.approx(x, abs=0.75 * width / cols + 1)
    assert top + row / rows * (bottom - top) == pytest.approx(y, abs=0.75 * height / rows + 1)


@pytest.mark.parametrize(
    "mode", ["center", "squash", "border"], ids=["cropped", "squashed", "padded"]
)
@pytest.mark.parametrize("size", SIZES)
def test_asking_gives_what_is_computed(mode: str, size: tuple[int, int]) -> None:
    transform = create_transform((3, 70, 140), crop_pct=0.9, crop_mode=mode)
    left, top, right, bottom = input_box(transform, size)
    pixel = max((right - left) / 140, (bottom - top) / 70)
    asked = asked_box(transform, size)
    assert asked == pytest.approx((left, top, right, bottom), abs=pixel + 0.5)


@pytest.mark.parametrize(
    "step",
    [
        transforms.RandomCrop(20),
        transforms.RandomHorizontalFlip(),
        transforms.RandomResizedCrop(20),
        transforms.RandomRotation(5),
        v2.RandomZoomOut(),
        ResizeKeepRatio(20, random_scale_prob=1, random_scale_range=(0.5, 0.7)),
        ResizeKeepRatio(20, random_aspect_prob=1, random_aspect_range=(0.5, 0.7)),
        transforms.Lambda(lambda photo: photo.rotate(random.uniform(-9, 9))),
        transforms.Lambda(lambda photo: photo.rotate(np.random.uniform(-9, 9))),
    ],
    ids=lambda step: type(step).__name__,
)
def test_random_steps_are_refused(step: object) -> None:
    compose = transforms.Compose([step, transforms.ToTensor()])
    with pytest.raises(vitviz.ModelError, match="draws random numbers"):
        input_box(compose, (200, 50))


MOVED: dict[str, tuple[Callable[[Image.Image], Image.Image], str]] = {
    "mirrored": (ImageOps.mirror, "mirrored"),
    "upside down": (ImageOps.flip, "mirrored"),
    "turned": (lambda photo: photo.rotate(10), "turned"),
    "turned by a quarter": (lambda photo: photo.transpose(Image.Transpose.ROTATE_90), "apart|mirr"),
    "halves swapped": (lambda photo: ImageChops.offset(photo, photo.width // 2, 0), "pieces|mirr"),
    "bent": (
        lambda photo: photo.transform(
            photo.size,
            Image.Transform.QUAD,
            (0, 0, 0, photo.height, photo.width, photo.height, photo.width, photo.height // 2),
        ),
        "turned",
    ),
    "empty": (lambda photo: Image.new("RGB", photo.size), "nothing of the photo"),
    "negative": (ImageOps.invert, "ok"),
    "two greys": (lambda photo: ImageOps.posterize(photo, 1), "brighter"),
}


@pytest.mark.parametrize("moved", MOVED)
def test_what_no_box_describes_is_refused(moved: str) -> None:
    step, reason = MOVED[moved]
    compose = transforms.Compose([transforms.Lambda(step), transforms.ToTensor()])
    if reason == "ok":  # colours do not move anything
        assert input_box(compose, (200, 50)) == pytest.approx((0, 0, 200, 50), abs=1)
        return
    with pytest.raises(vitviz.ModelError, match=reason):
        input_box(compose, (200, 50))


def standardised(pixels: Tensor) -> Tensor:
    return (pixels - pixels.mean()) / (pixels.std() + 1e-6)


def from_darkest_to_brightest(pixels: Tensor) -> Tensor:
    return (pixels - pixels.min()) / (pixels.max() - pixels.min())


@pytest.mark.parametrize(
    "step",
    [
        v2.LinearTransformation(torch.eye(768) - 1 / 768, torch.zeros(768)),  # the mean goes
        v2.LinearTransformation(torch.linalg.qr(torch.randn(768, 768))[0], torch.zeros(768)),
        transforms.Lambda(standardised),
        transforms.Lambda(from_darkest_to_brightest),
    ],
    ids=["less the mean", "turned", "standardised", "stretched"],
)
def test_numbers_that_depend_on_the_whole_photo_are_refused(step: object) -> None:
    compose = transforms.Compose([transforms.Resize((16, 16)), transforms.ToTensor(), step])
    with pytest.raises(vitviz.ModelError, match="each number of the input depends on the whole"):
        input_box(compose, (200, 50))


def test_numbers_that_depend_on_a_channel_of_their_own_pixel_are_placed() -> None:
    """A matrix of the same form, which mixes each pixel's colours only."""
    colours = torch.tensor([[0.5, 0.3, 0.2], [0.5, -0.2, 0.1], [0.2, 0.3, -0.1]])
    matrix = torch.kron(colours, torch.eye(256))
    step = v2.LinearTransformation(matrix, torch.zeros(768))
    compose = transforms.Compose([transforms.Resize((16, 16)), transforms.ToTensor(), step])
    assert input_box(compose, (160, 160)) == pytest.approx((0, 0, 160, 160), abs=1)


def test_colours_are_asked_too() -> None:
    transform = image_transform_v2(
        PreprocessCfg(size=96, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)), is_train=False
    )
    mean, std = mean_and_std(transform)
    assert mean == pytest.approx((0.1, 0.2, 0.3), abs=1e-6)
    assert std == pytest.approx((0.4, 0.5, 0.6), abs=1e-6)
    preset = models.ViT_B_16_Weights.IMAGENET1K_V1.transforms()
    assert mean_and_std(preset)[0] == pytest.approx((0.485, 0.456, 0.406))


class TestWholePhoto:
    @pytest.mark.parametrize("size", [(300, 200), (200, 300), (640, 480), (1200, 90), (64, 64)])
    def test_all_of_it_in_whole_patches(self, size: tuple[int, int]) -> None:
        """About as many pixels as the model's own input, stretched by half a patch at most."""
        module = timm.create_model("vit_tiny_patch16_224", depth=1, dynamic_img_size=True)
        photo = make_photo(size=size)
        rec = vitviz.record(vitviz.from_module(module), photo, whole=True)
        height, width = rec.pixels.shape[1:]
        assert (height % 16, width % 16) == (0, 0)
        assert rec.grid == (height // 16, width // 16)
        assert rec.box == (0, 0, *size)
        scale = math.sqrt(224 * 224 / math.prod(size))
        assert abs(width - size[0] * scale) <= 8
        assert abs(height - size[1] * scale) <= 8

    def test_the_model_sees_what_timm_would_compute(self) -> None:
        torch.manual_seed(0)
        module = timm.create_model("vit_tiny_patch16_224", depth=2, dynamic_img_size=True)
        vit, photo = vitviz.from_module(module), make_photo(size=(300, 200))
        rec = vitviz.record(vit, photo, whole=True)
        assert rec.grid == (11, 17)
        steps = [
            transforms.Resize((176, 272), transforms.InterpolationMode.BICUBIC),
            transforms.ToTensor(),
            transforms.Normalize((0.5,) * 3, (0.5,) * 3),
        ]
        pixels = transforms.Compose(steps)(photo)
        torch.testing.assert_close(rec.pixels, pixels)
        fixed = timm.create_model("vit_tiny_patch16_224", depth=2, img_size=(176, 272)).eval()
        state = module.state_dict()
        state["pos_embed"] = resample_abs_pos_embed(state["pos_embed"], (11, 17), (14, 14), 1)
        fixed.load_state_dict(state)
        with torch.no_grad():
            torch.testing.assert_close(rec.logits, fixed(pixels[None])[0], atol=1e-5, rtol=1e-4)

    def test_a_model_of_one_size_says_so(self) -> None:
        module = timm.create_model("vit_tiny_patch16_224", depth=1)
        with pytest.raises(vitviz.ModelError, match="one size only"):
            vitviz.record(vitviz.from_module(module), make_photo(), whole=True)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 2), (1, 5000), (500, 1), (3, 3000)])
def test_a_photo_too_narrow_to_ask_with_is_refused(size: tuple[int, int]) -> None:
    same = transforms.Lambda(lambda photo: photo)
    steps = [same, transforms.Resize(64), transforms.CenterCrop(64), transforms.ToTensor()]
    with pytest.raises(vitviz.ModelError) as met:
        input_box(transforms.Compose(steps), size)
    assert met.value.id == "photo_too_narrow"


@pytest.mark.parametrize("size", [(3, 3), (4, 9), (3, 40), (100, 3000)])
def test_a_small_photo_has_the_box_of_known_steps(size: tuple[int, int]) -> None:
    steps = [transforms.Resize(64), transforms.CenterCrop(64), transforms.ToTensor()]
    known = input_box(transforms.Compose(steps), size)
    asked = input_box(transforms.Compose([transforms.Lambda(lambda x: x), *steps]), size)
    assert asked == pytest.approx(known, abs=0.004 * max(size))


@pytest.mark.parametrize("adapt", [ImageOps.equalize, ImageOps.autocontrast])
@pytest.mark.parametrize("first", [True, False])
def test_colours_that_each_photo_changes_by_itself_name_no_places(
    adapt: Callable[[Image.Image], Image.Image], first: bool
) -> None:
    """Equalised behind a crop, the greys of a part would name the whole photo."""
    steps = [transforms.Resize(64), transforms.CenterCrop(56)]
    steps.insert(0 if first else 2, transforms.Lambda(adapt))
    with pytest.raises(vitviz.ModelError) as met:
        input_box(transforms.Compose([*steps, transforms.ToTensor()]), (300, 200))
    assert met.value.id == "transform_mixes_pixels"
