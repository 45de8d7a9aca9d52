"""A clip's maps are those that transformers computes itself, frame by frame."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from families import make_photo, random_module
from other_device import OTHER, other_device
from PIL import Image
from torch import Tensor
from torchvision import transforms
from videos import FRAMES, THICK, moving_frames, processor, small_video_module, video

import vitviz
from vitviz.recording.video import OfTallPicture

PREFIX = {"VideoMAE": 0, "Vivit": 1, "VJEPA2": 0}


@pytest.fixture(scope="module")
def frames() -> list[Image.Image]:
    return moving_frames()


def own_pass(kind: str, frames: list[Image.Image]) -> Any:
    """What the model says of the clip by itself, its attention written out."""
    module = small_video_module(kind)
    module.set_attn_implementation("eager")
    pixels = processor()(frames, return_tensors="pt")["pixel_values"]
    return module(pixels.clone().requires_grad_(), output_attentions=True)


@pytest.mark.parametrize("kind", ["VideoMAE", "Vivit"])
class TestMaps:
    def test_attention(self, kind: str, frames: list[Image.Image]) -> None:
        rec = vitviz.record_video(video(kind), frames).recording
        own = own_pass(kind, frames)
        torch.testing.assert_close(rec.logits, own.logits[0].detach(), atol=1e-4, rtol=1e-4)
        assert (rec.is_plain, rec.num_layers, rec.grid) == (True, 2, (16, 4))
        assert (rec.num_prefix_tokens, rec.has_class_token) == (PREFIX[kind], PREFIX[kind] == 1)
        for layer in range(2):
            torch.testing.assert_close(
                rec.attention(layer), own.attentions[layer][0].detach(), atol=1e-5, rtol=1e-4
            )
        assert rec.attention(1).std() > 0.005

    def test_rollout_of_each_frame(self, kind: str, frames: list[Image.Image]) -> None:
        clip = vitviz.record_video(video(kind), frames)
        joint = torch.eye(64 + PREFIX[kind])
        for attention in own_pass(kind, frames).attentions:
            mixed = attention[0].detach().mean(dim=0) + torch.eye(len(joint))
            joint = mixed / mixed.sum(dim=-1, keepdim=True) @ joint
        row = joint[0] if PREFIX[kind] else joint.mean(dim=0)
        wanted = row[PREFIX[kind] :].view(FRAMES // THICK, 4, 4)
        maps = clip.maps(vitviz.explain(clip.recording, "rollout"))
        for number, heat in enumerate(maps):
            torch.testing.assert_close(
                torch.tensor(heat.values), wanted[number // THICK], atol=1e-6, rtol=1e-4
            )

    def test_relevance_of_each_frame(self, kind: str, frames: list[Image.Image]) -> None:
        clip = vitviz.record_video(video(kind), frames)
        own = own_pass(kind, frames)
        maps: list[Tensor] = list(own.attentions)
        joint = torch.eye(64 + PREFIX[kind])
        for attention, gradient in zip(
            maps, torch.autograd.grad(own.logits[0, 1], maps), strict=True
        ):
            joint = joint + (attention * gradient)[0].clamp(min=0).mean(dim=0) @ joint
        row = joint[0] if PREFIX[kind] else joint.mean(dim=0)
        wanted = row[PREFIX[kind] :].detach().view(FRAMES // THICK, 4, 4)
        heat = vitviz.explain(clip.recording, "relevance", target="sits")
        found = torch.tensor(np.stack([each.values for each in clip.maps(heat)[::THICK]]))
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-3)

    def test_where_a_patch_of_a_frame_looks(self, kind: str, frames: list[Image.Image]) -> None:
        clip = vitviz.record_video(video(kind), frames)
        row = clip.recording.attention_row(1, clip.query(5, (1, 3)))
        token = PREFIX[kind] + (5 // THICK) * 16 + 1 * 4 + 3
        wanted = own_pass(kind, frames).attentions[1][0, :, token].detach()
        torch.testing.assert_close(row, wanted, atol=1e-5, rtol=1e-4)


def test_v_jepa_is_shown_too(frames: list[Image.Image]) -> None:
    clip = vitviz.record_video(video("VJEPA2"), frames)
    module = small_video_module("VJEPA2")
    with torch.no_grad():
        wanted = module(processor()(frames, return_tensors="pt")["pixel_values"]).logits[0]
    torch.testing.assert_close(clip.recording.logits, wanted, atol=1e-4, rtol=1e-4)
    assert (clip.recording.is_plain, clip.frame_grid) == (True, (4, 4))


def test_a_model_on_another_device(frames: list[Image.Image]) -> None:
    here = vitviz.record_video(video(), frames).recording
    with other_device():
        module = small_video_module("VideoMAE").to(OTHER)
        there = vitviz.from_video_module(module, processor())
        rec = vitviz.record_video(there, frames).recording
        assert rec.vit.device == OTHER
    torch.testing.assert_close(rec.attention(1), here.attention(1))


def test_frames_as_one_array(frames: list[Image.Image]) -> None:
    array = np.stack([np.asarray(frame) for frame in frames])
    one, other = (vitviz.record_video(video(), given).recording for given in (array, frames))
    assert torch.equal(one.logits, other.logits)


def test_the_tall_picture_by_hand() -> None:
    """Row of tubelets, row of patches in it, frame in it, row of pixels in the patch."""
    clip = torch.arange(4 * 3 * 6 * 5).view(4, 3, 6, 5)
    tall = OfTallPicture(torch.nn.Identity(), 4, (2, 3, 1))
    picture = tall.picture(clip)
    assert picture.shape == (3, 24, 5)
    for frame in range(4):
        for row in range(6):
            place = (frame // 2) * 12 + (row // 3) * 6 + (frame % 2) * 3 + row % 3
            assert torch.equal(picture[:, place], clip[frame, :, row])
    assert torch.equal(tall(picture[None])[0], clip)  # and back


class TestPictures:
    def test_each_map_lies_on_its_frame(self, frames: list[Image.Image]) -> None:
        clip = vitviz.record_video(video(), frames)
        heat = vitviz.explain(clip.recording, "attention", layer=0)
        with warnings.catch_warnings():
            warnings.simplefilter("error", vitviz.VitvizWarning)
            for frame, one in zip(frames, clip.maps(heat), strict=True):
                assert one.box == pytest.approx((20, 0, 100, 80), abs=1.5)  # the middle square
                assert one.made_from == heat.made_from
                assert vitviz.overlay(frame, one).size == frame.size

    def test_side_by_side_and_one_after_the_other(
        self, frames: list[Image.Image], tmp_path: Path
    ) -> None:
        clip = vitviz.record_video(video(), frames)
        maps = clip.maps(vitviz.explain(clip.recording, "rollout"))
        vitviz.figure(clip.frames, maps, tmp_path / "clip.png")
        vitviz.animation(clip.frames, maps, tmp_path / "clip.gif")
        with Image.open(tmp_path / "clip.gif") as moving:
            assert moving.n_frames > 1
        with Image.open(tmp_path / "clip.png") as drawn:
            assert drawn.width > 2 * drawn.height


class TestRefused:
    def test_attention_that_is_divided(self) -> None:
        with pytest.raises(vitviz.ModelError, match="along time and within a frame by turns"):
            vitviz.from_video_module(small_video_module("Timesformer"), processor())

    def test_a_model_of_photos(self) -> None:
        with pytest.raises(vitviz.ModelError, match="do not look at those of all frames"):
            vitviz.from_video_module(random_module("vit"), processor())
        with pytest.raises(vitviz.VitvizError, match="must be Module, not str"):
            vitviz.from_video_module("VideoMAE", processor())

    def test_another_number_of_frames(self, frames: list[Image.Image]) -> None:
        with pytest.raises(vitviz.ImageError, match="takes 8 frames, and 7 were given"):
            vitviz.record_video(video(), frames[1:])

    def test_frames_of_several_sizes(self, frames: list[Image.Image]) -> None:
        whole = transforms.Compose([transforms.Resize(64), transforms.ToTensor()])
        model = vitviz.from_video_module(small_video_module("VideoMAE"), whole)
        with pytest.raises(vitviz.ImageError, match="have several sizes"):
            vitviz.record_video(model, [*frames[1:], make_photo(size=(64, 128))])

    @pytest.mark.parametrize(
        ("frame", "patch"), [(8, (0, 0)), (-1, (0, 0)), (0, (4, 0)), (0, (0, -1))]
    )
    def test_no_such_place(
        self, frame: int, patch: tuple[int, int], frames: list[Image.Image]
    ) -> None:
        with pytest.raises(vitviz.VitvizError, match=r"There is no (frame|patch)"):
            vitviz.record_video(video(), frames).query(frame, patch)

    def test_a_map_of_something_else(self, frames: list[Image.Image]) -> None:
        rec = vitviz.record(vitviz.from_module(random_module("vit")), make_photo())
        with pytest.raises(vitviz.VitvizError, match="none of this clip"):
            vitviz.record_video(video(), frames).maps(vitviz.explain(rec, "rollout"))
