"""Whatever is given as a photo, it is the same photo; and models of one channel or four."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from families import make_photo, random_classifier
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from torchvision import transforms

import vitviz
from vitviz.models.core import channels_of
from vitviz.photos.given import as_photo
from vitviz.pictures.input import input_picture

SQUARE = [transforms.Resize((64, 64)), transforms.ToTensor()]


@pytest.fixture(scope="module")
def tiny() -> vitviz.Vit:
    return vitviz.from_module(random_classifier("vit", depth=1))


class TestTheSamePhoto:
    @pytest.fixture(scope="class")
    def wanted(self, tiny: vitviz.Vit) -> Tensor:
        return vitviz.record(tiny, make_photo()).pixels

    @pytest.mark.parametrize("kind", ["path", "text", "bytes", "file"])
    def test_a_file(self, kind: str, tiny: vitviz.Vit, wanted: Tensor, tmp_path: Path) -> None:
        path = tmp_path / "photo.png"
        make_photo().save(path)
        with path.open("rb") as file:
            given = {"path": path, "text": str(path), "bytes": path.read_bytes(), "file": file}
            rec = vitviz.record(tiny, given[kind])
        assert torch.equal(rec.pixels, wanted)
        heat = vitviz.explain(rec, "rollout")
        assert vitviz.overlay(path, heat) == vitviz.overlay(make_photo(), heat)

    @pytest.mark.parametrize("kind", ["uint8", "float", "rgba", "not contiguous"])
    def test_an_array(self, kind: str, tiny: vitviz.Vit, wanted: Tensor) -> None:
        array = np.asarray(make_photo())
        opaque = np.full((*array.shape[:2], 1), 255, np.uint8)
        given: dict[str, np.ndarray[Any, Any]] = {
            "uint8": array,
            "float": array / 255,
            "rgba": np.concatenate([array, opaque], axis=2),
            "not contiguous": np.asfortranarray(array),
        }
        assert torch.equal(vitviz.record(tiny, given[kind]).pixels, wanted)

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "RGBX", "CMYK", "YCbCr"])
    def test_pil_images_of_any_mode(self, mode: str, tiny: vitviz.Vit) -> None:
        through = "RGBA" if mode == "PA" else "RGB"
        photo = make_photo().convert(through).convert("LA" if mode == "PA" else mode)
        photo = photo.convert(mode)
        rec = vitviz.record(tiny, photo)
        assert torch.equal(rec.pixels, tiny.transform(photo.convert("RGB")))

    @pytest.mark.parametrize("mode", ["I;16", "I", "F"])
    def test_grey_of_more_bits(self, mode: str, tiny: vitviz.Vit) -> None:
        grey = np.asarray(make_photo().convert("L"))
        kinds = {"I;16": (np.uint16, 257), "I": (np.int32, 257), "F": (np.float32, 0.01)}
        kind, factor = kinds[mode]
        stretched = grey.copy()
        stretched[0, 0], stretched[0, 1] = 0, 255  # all of the range
        photo = Image.fromarray((stretched * np.float64(factor)).astype(kind))
        assert photo.mode == mode
        found = np.asarray(as_photo(photo).convert("L")).astype(int)
        assert np.abs(found - stretched).max() <= 1
        assert vitviz.record(tiny, photo).grid == (4, 6)

    def test_what_is_transparent_lies_over_white(self) -> None:
        clear = Image.new("RGBA", (20, 20), (200, 0, 0, 0))
        half = Image.new("RGBA", (20, 20), (0, 0, 0, 51))
        assert as_photo(clear).getpixel((3, 3)) == (255, 255, 255)
        assert as_photo(half).getpixel((3, 3)) == (204, 204, 204)

    @pytest.mark.parametrize("batched", [False, True])
    def test_a_tensor_is_the_models_input(
        self, batched: bool, tiny: vitviz.Vit, wanted: Tensor
    ) -> None:
        rec = vitviz.record(tiny, wanted[None] if batched else wanted)
        assert torch.equal(rec.pixels, wanted)
        assert rec.box == (0, 0, 96, 64)
        heat = vitviz.explain(rec, "rollout")
        assert vitviz.overlay(input_picture(tiny, rec.pixels), heat).size == (96, 64)

    def test_a_prediction_is_of_the_same(self, tiny: vitviz.Vit, tmp_path: Path) -> None:
        make_photo().save(tmp_path / "photo.png")
        assert vitviz.predict(tiny, tmp_path / "photo.png") == vitviz.predict(tiny, make_photo())


@pytest.mark.parametrize(
    "given",
    [
        torch.zeros(2, 3, 64, 96),
        torch.zeros(1, 64, 96),
        torch.zeros(64, 96),
        torch.zeros(64, 96, 3),
        torch.zeros(3, 64, 96, dtype=torch.uint8),
        np.zeros((2, 64, 96, 3), np.uint8),
        np.zeros((64, 96, 5), np.uint8),
        np.zeros((0, 96, 3), np.uint8),
        np.full((64, 96, 3), 2.0),
        np.full((64, 96, 3), np.nan),
        np.zeros((64, 96), bool),
        np.zeros((64, 96), object),
        Image.new("La", (64, 96)),
        Image.new("RGB", (0, 96)),
        None,
        5,
        "no such file.jpg",
        b"no picture",
    ],
    ids=lambda given: f"{type(given).__name__}",
)
def test_anything_else_is_refused_in_a_sentence(given: Any, tiny: vitviz.Vit) -> None:
    kind = vitviz.VitvizError if given is None or isinstance(given, int) else vitviz.ImageError
    with pytest.raises(kind):
        vitviz.record(tiny, given)


@given(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(),
        st.lists(st.integers()), st.dictionaries(st.text(), st.integers()), st.just(object()),
    )
)  # fmt: skip
def test_no_other_error_reaches_anybody(given: Any) -> None:
    with pytest.raises(vitviz.ImageError):
        as_photo(given)


class TestChannels:
    @pytest.fixture(scope="class")
    def grey(self) -> vitviz.Vit:
        torch.manual_seed(0)
        module = timm.create_model("vit_tiny_patch16_224", depth=1, img_size=64, in_chans=1)
        return vitviz.from_module(module)

    def test_one(self, grey: vitviz.Vit) -> None:
        """Its transform makes the photo grey, with the mean of the colours' mean and deviation."""
        photo = make_photo()
        rec = vitviz.record(grey, photo)
        assert rec.pixels.shape == (1, 64, 64)
        assert rec.is_plain
        same = vitviz.record(grey, photo.convert("L").convert("RGB"))
        assert torch.equal(same.pixels, rec.pixels)
        shown = input_picture(grey, rec.pixels)
        assert shown.mode == "RGB"
        assert abs(np.asarray(shown).mean() - np.asarray(photo.convert("L")).mean()) < 12
        for method in ("rollout", "relevance", "occlusion"):
            assert vitviz.explain(rec, method).values.any()

    def test_a_first_convolution_that_sees_no_pixels_says_nothing(self) -> None:
        """CSATv2's takes 64 frequencies of each colour; the model takes RGB."""
        with torch.device("meta"):
            assert channels_of(timm.create_model("csatv2")) == 3

    @pytest.mark.parametrize(
        "first", [[transforms.Grayscale()], []], ids=["makes grey", "takes grey"]
    )
    def test_one_with_a_transform_of_ones_own(self, first: list[Any]) -> None:
        module = timm.create_model("vit_tiny_patch16_224", depth=1, img_size=64, in_chans=1)
        transform = transforms.Compose([*first, *SQUARE, transforms.Normalize((0.5,), (0.25,))])
        vit = vitviz.from_module(module, transform=transform)
        rec = vitviz.record(vit, make_photo())
        assert rec.pixels.shape == (1, 64, 64)
        assert rec.box == (0, 0, 160, 120)

    def test_four(self) -> None:
        """The fourth is the photo's own transparency."""
        module = timm.create_model("vit_tiny_patch16_224", depth=1, img_size=64, in_chans=4)
        transform = transforms.Compose([*SQUARE, transforms.Normalize((0.5,) * 4, (0.5,) * 4)])
        vit = vitviz.from_module(module, transform=transform)
        photo = make_photo().convert("RGBA")
        photo.putalpha(128)
        rec = vitviz.record(vit, photo)
        assert rec.pixels.shape == (4, 64, 64)
        assert float(rec.pixels[3].mean()) == pytest.approx(2 * 128 / 255 - 1, abs=1e-3)
        opaque = vitviz.record(vit, make_photo())
        assert float(opaque.pixels[3].mean()) == pytest.approx(1)
        assert input_picture(vit, rec.pixels).mode == "RGB"
        for method in ("rollout", "relevance", "occlusion"):
            assert vitviz.explain(rec, method).values.any()

    def test_four_that_nobody_normalises(self) -> None:
        module = timm.create_model("vit_tiny_patch16_224", depth=1, img_size=64, in_chans=4)
        with pytest.raises(vitviz.ModelError, match="takes 4 channels"):
            vitviz.from_module(module)

    def test_a_model_that_has_to_be_asked(self) -> None:
        """Its tokens are placed with inputs of its own number of channels."""
        torch.manual_seed(0)
        module = timm.create_model(
            "swin_tiny_patch4_window7_224",
            img_size=64,
            window_size=4,
            in_chans=1,
            depths=(1, 1, 1, 1),
        )
        rec = vitviz.record(vitviz.from_module(module), make_photo())
        assert rec.kind(0) == "windowed"
        assert not rec.left_out


def test_a_picture_whose_file_is_cut_off_or_closed(tiny: vitviz.Vit, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    make_photo(size=(300, 200)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    closed = make_photo()
    closed.close()
    for picture in (Image.open(path), closed):
        with pytest.raises(vitviz.ImageError, match="cannot be read"):
            vitviz.record(tiny, picture)


@pytest.mark.parametrize("kind", ["meta", "sparse", "empty"])
def test_a_tensor_without_numbers_of_pixels(kind: str, tiny: vitviz.Vit) -> None:
    given = {
        "meta": torch.zeros(3, 64, 64, device="meta"),
        "sparse": torch.zeros(3, 64, 64).to_sparse(),
        "empty": torch.zeros(3, 0, 64),
    }
    with pytest.raises(vitviz.ImageError, match="one float tensor"):
        vitviz.record(tiny, given[kind])


@pytest.mark.parametrize("method", ["relevance", "occlusion", "transition"])
def test_a_transform_that_gives_float64(method: str, tiny: vitviz.Vit) -> None:
    def double(photo: Image.Image) -> Tensor:
        return tiny.transform(photo).double()

    vit = vitviz.from_module(tiny.module, transform=double)
    maps = [vitviz.explain(vitviz.record(v, make_photo()), method).values for v in (tiny, vit)]
    np.testing.assert_array_equal(*maps)
