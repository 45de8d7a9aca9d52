"""Many photos in one forward pass: each recording is the one of its photo alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from families import random_module
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

import vitviz
from vitviz.errors import ImageError, ModelError, VitvizError
from vitviz.recording.record import is_finite


@pytest.fixture(scope="module")
def tiny() -> vitviz.Vit:
    torch.manual_seed(0)
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "num_heads": 3, "depth": 3}
    return vitviz.from_module(timm.create_model("vit_tiny_patch16_224", num_classes=5, **sizes))


def photos(count: int, seed: int = 0) -> list[Image.Image]:
    chance = np.random.default_rng(seed)
    sizes = chance.integers(20, 60, (count, 2))
    return [Image.fromarray(chance.integers(0, 256, (*s, 3), np.uint8)) for s in sizes.tolist()]


def assert_alike(one: vitviz.Recording, other: vitviz.Recording) -> None:
    torch.testing.assert_close(one.logits, other.logits, rtol=1e-5, atol=1e-5)
    assert torch.equal(one.pixels, other.pixels)
    assert (one.box, one.grid, one.left_out) == (other.box, other.grid, other.left_out)
    assert (one.num_layers, one.outputs) == (other.num_layers, other.outputs)
    for layer in range(one.num_layers):
        torch.testing.assert_close(
            one.attention(layer), other.attention(layer), rtol=1e-5, atol=1e-6
        )
    if one.norms is not None:
        torch.testing.assert_close(one.norms, other.norms, rtol=1e-5, atol=1e-5)


def test_each_family_is_recorded_as_one_by_one(family: str) -> None:
    vit = vitviz.from_module(random_module(family))
    some = photos(3)
    for one, other in zip(vitviz.record_many(vit, some, 3), some, strict=True):
        assert_alike(one, vitviz.record(vit, other))


@given(count=st.integers(0, 7), size=st.integers(1, 8))
def test_all_photos_come_in_order(tiny: vitviz.Vit, count: int, size: int) -> None:
    found = list(vitviz.record_many(tiny, photos(count, seed=1), batch_size=size))
    alone = [vitviz.record(tiny, photo) for photo in photos(count, seed=1)]
    assert len(found) == count
    for one, other in zip(found, alone, strict=True):
        assert_alike(one, other)


@pytest.mark.parametrize("method", ["attention", "rollout", "relevance", "gradcam", "occlusion"])
def test_methods_explain_each_photo(tiny: vitviz.Vit, method: str) -> None:
    for one, photo in zip(vitviz.record_many(tiny, photos(3), 3), photos(3), strict=True):
        alone = vitviz.explain(vitviz.record(tiny, photo), method)
        np.testing.assert_allclose(
            vitviz.explain(one, method).values, alone.values, rtol=1e-3, atol=1e-6
        )


class Counting(nn.Module):
    """How many inputs came in each forward pass."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside
        self.seen: list[int] = []

    def forward(self, pixels: Tensor) -> Tensor:
        self.seen.append(len(pixels))
        result: Tensor = self.inside(pixels)
        return result


def counting(inside: nn.Module) -> tuple[vitviz.Vit, list[int]]:
    module = Counting(inside)
    vit = vitviz.from_module(module, transform=vitviz.from_module(inside).transform)
    vitviz.record(vit, photos(1)[0])  # finds out where its tokens lie
    module.seen.clear()
    return vit, module.seen


def test_a_batch_is_one_forward_pass(tiny: vitviz.Vit) -> None:
    vit, seen = counting(tiny.module)
    list(vitviz.record_many(vit, photos(5), batch_size=2))
    assert seen == [2, 2, 1]


def test_no_more_than_a_batch_is_read(tiny: vitviz.Vit) -> None:
    """A folder of a million photos is not opened before its first recording."""
    taken: list[int] = []

    def one_after_the_other() -> Iterator[Image.Image]:
        for number, photo in enumerate(photos(9)):
            taken.append(number)
            yield photo

    recordings = vitviz.record_many(tiny, one_after_the_other(), batch_size=3)
    assert taken == []
    next(recordings)
    assert taken == [0, 1, 2]


def test_windows_are_run_one_photo_at_a_time() -> None:
    """A window is an item of the batch of its own: whose it is, only the model knows."""
    torch.manual_seed(0)
    sizes = {"img_size": 64, "window_size": 4, "embed_dim": 24, "depths": (2,), "num_heads": (3,)}
    vit, seen = counting(timm.create_model("swin_tiny_patch4_window7_224", **sizes).eval())
    for one, photo in zip(vitviz.record_many(vit, photos(4), 2), photos(4), strict=True):
        assert_alike(one, vitviz.record(vit, photo))
    assert seen[:1] == [2]
    assert set(seen[1:]) == {1}


class Swapping(nn.Module):
    """Mixes the photos of a batch before it attends."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, pixels: Tensor) -> Tensor:
        if len(pixels) > 1:
            raise ValueError("one photo at a time")
        result: Tensor = self.inside(pixels)
        return result


def test_a_model_for_one_photo_gets_one(tiny: vitviz.Vit) -> None:
    vit = vitviz.from_module(Swapping(tiny.module), transform=tiny.transform)
    found = list(vitviz.record_many(vit, photos(3), batch_size=3))
    for one, photo in zip(found, photos(3), strict=True):
        assert_alike(one, vitviz.record(tiny, photo))


class TestWhatCanBeGiven:
    def test_files_and_arrays(self, tiny: vitviz.Vit, tmp_path: Path) -> None:
        photo = photos(1)[0]
        photo.save(tmp_path / "a.png")
        kinds = [tmp_path / "a.png", str(tmp_path / "a.png"), np.asarray(photo), photo]
        for one in vitviz.record_many(tiny, kinds, batch_size=3):
            assert_alike(one, vitviz.record(tiny, photo))

    def test_a_data_loader(self, tiny: vitviz.Vit) -> None:
        pixels = torch.stack([tiny.transform(photo) for photo in photos(5)])
        data = torch.utils.data.TensorDataset(pixels, torch.arange(5))
        loader = torch.utils.data.DataLoader(data, batch_size=2)
        found = list(vitviz.record_many(tiny, loader, batch_size=3))
        assert len(found) == 5
        for one, each in zip(found, pixels, strict=True):
            assert_alike(one, vitviz.record(tiny, each))

    def test_tensors_of_several_sizes(self) -> None:
        torch.manual_seed(0)
        sizes = {"patch_size": 8, "embed_dim": 48, "num_heads": 3, "depth": 2, "img_size": 32}
        module = timm.create_model("vit_tiny_patch16_224", dynamic_img_size=True, **sizes)
        vit = vitviz.from_module(module)
        given = [torch.randn(3, *size) for size in ((32, 32), (32, 48), (32, 48), (32, 32))]
        for one, each in zip(vitviz.record_many(vit, given, 4), given, strict=True):
            assert_alike(one, vitviz.record(vit, each))


class TestWhatIsWrong:
    def test_a_photo_in_the_middle(self, tiny: vitviz.Vit, tmp_path: Path) -> None:
        """Those before it are given, and then what is wrong with it is said."""
        given = [*photos(2), tmp_path / "none.png", *photos(1)]
        recordings = vitviz.record_many(tiny, given, batch_size=4)
        assert_alike(next(recordings), vitviz.record(tiny, given[0]))
        assert_alike(next(recordings), vitviz.record(tiny, given[1]))
        with pytest.raises(ImageError):
            next(recordings)

    @pytest.mark.parametrize("kind", [str, Path])
    def test_one_path(self, tiny: vitviz.Vit, kind: type) -> None:
        with pytest.raises(VitvizError, match="takes several photos, not"):
            vitviz.record_many(tiny, kind("photos"))

    def test_a_file_that_is_not_there_is_named(self, tiny: vitviz.Vit) -> None:
        given = [*photos(1), Path("here/is none.jpg")]
        with pytest.raises(ImageError, match=r"^here/is none.jpg: .*No such file"):
            list(vitviz.record_many(tiny, given))

    def test_an_input_that_makes_no_numbers(self, tiny: vitviz.Vit) -> None:
        """The others of its batch are recorded all the same."""
        good, bad = torch.zeros(3, 32, 32), torch.full((3, 32, 32), torch.nan)
        recordings = vitviz.record_many(tiny, [good, bad], batch_size=2)
        assert_alike(next(recordings), vitviz.record(tiny, good))
        with pytest.raises(ModelError) as caught:
            next(recordings)
        assert caught.value.id == "outputs_not_finite"

    @pytest.mark.parametrize("size", [0, -1, 1.5, "2"])
    def test_a_batch_size(self, tiny: vitviz.Vit, size: object) -> None:
        with pytest.raises(VitvizError):
            vitviz.record_many(tiny, [], batch_size=size)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("place", [0, 5, -1])
def test_one_number_that_is_not_finite_is_found(bad: float, place: int) -> None:
    numbers = torch.full((7,), 3e38)  # their sum is too large, and yet each is a number
    assert is_finite(numbers)
    numbers[place] = bad
    assert not is_finite(numbers)
    assert not is_finite(torch.tensor([torch.inf, -torch.inf]))
