"""What pretraining asks of a model, against autograd, formulas and whole matrices."""

from __future__ import annotations

import math

import pytest
import timm
import torch
import torch.nn.functional as F
from families import make_photo

import vitviz
from vitviz.training.pretraining import (
    DIRECTIONS,
    global_and_local,
    hidden_patches,
    label_gradient,
    masked_loss,
    nearest_visible,
    patch_targets,
    self_distillation,
)


@pytest.fixture(scope="module")
def rec() -> vitviz.Recording:
    torch.manual_seed(0)
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 12, "num_heads": 2, "depth": 1}
    module = timm.create_model("vit_tiny_patch16_224", num_classes=5, **sizes)
    return vitviz.record(vitviz.from_module(module.eval()), make_photo())


def test_a_label_pulls_as_autograd_says() -> None:
    torch.manual_seed(0)
    logits = torch.randn(7, requires_grad=True)
    loss = -logits.softmax(dim=0)[3].log()
    (gradient,) = torch.autograd.grad(loss, logits)
    found = label_gradient(logits.detach(), 3)
    assert torch.allclose(found, gradient, atol=1e-6)
    assert float(found.sum()) == pytest.approx(0, abs=1e-6)


def test_views_are_large_and_small_parts_of_the_photo() -> None:
    photo = make_photo()
    for seed in range(20):
        large, small = global_and_local(photo, seed)
        assert large.width == large.height
        assert 0.69 <= large.width / min(photo.size) <= 1
        assert 0.29 <= small.width / min(photo.size) <= 0.51
    again = [view.tobytes() for view in global_and_local(photo, 3)]
    assert again == [view.tobytes() for view in global_and_local(photo, 3)]


@pytest.mark.parametrize(("centred", "sharp"), [(True, True), (False, False)])
def test_the_first_moment_of_self_distillation_by_hand(centred: bool, sharp: bool) -> None:
    torch.manual_seed(1)
    large, small = torch.randn(2, 5, 24).unbind()
    [first, *_] = self_distillation(large, small, centred=centred, sharp=sharp, steps=1)
    drawn = torch.randn(DIRECTIONS, 24, generator=torch.Generator().manual_seed(0)) / 24**0.5
    said, asked = (F.normalize(views, dim=-1) @ drawn.T for views in (large, small))
    wanted = (said - said.mean(dim=0) * centred) / (0.04 if sharp else 0.1)
    teacher, student = wanted.softmax(dim=-1), (asked / 0.1).softmax(dim=-1)
    assert torch.allclose(first.teacher, teacher, atol=1e-6)
    expected = -(teacher * student.log()).sum(dim=1).mean()
    assert first.loss == pytest.approx(float(expected), abs=1e-5)
    assert first.entropy == pytest.approx(float(-(teacher * teacher.log()).sum() / 5), abs=1e-5)
    assert first.used == len(set(teacher.argmax(dim=1).tolist()))


def test_photos_with_much_in_common_collapse_without_centring_and_blur_unsharpened() -> None:
    torch.manual_seed(2)
    common, own = 3 * torch.randn(1, 64), torch.randn(8, 64)
    large, small = common + own, common + own + 0.3 * torch.randn(8, 64)
    both, collapsed, blurred = (
        self_distillation(large, small, centred=centred, sharp=sharp, steps=100)[-1]
        for centred, sharp in ((True, True), (False, True), (True, False))
    )
    assert collapsed.used < both.used
    assert blurred.entropy > both.entropy + 0.5
    assert blurred.entropy < math.log(DIRECTIONS)


def test_a_larger_share_hides_these_patches_and_others() -> None:
    half, more = hidden_patches((4, 6), 0.5, 1), hidden_patches((4, 6), 0.75, 1)
    assert (int(half.sum()), int(more.sum())) == (12, 18)
    assert (more | ~half).all()


def test_targets_have_mean_0_and_variance_1_and_a_flat_patch_costs_1(
    rec: vitviz.Recording,
) -> None:
    targets = patch_targets(rec)
    assert targets.shape == (4, 4, 3 * 8 * 8)
    patch = rec.pixels[:, 8:16, 16:24].flatten()
    assert torch.allclose(targets[1, 2], (patch - patch.mean()) / patch.std(), atol=1e-4)
    hidden = hidden_patches(rec.grid, 0.75, 0)
    assert masked_loss(targets, torch.zeros(1), hidden) == pytest.approx(191 / 192, abs=1e-3)


def test_only_hidden_patches_count(rec: vitviz.Recording) -> None:
    targets, hidden = patch_targets(rec), hidden_patches(rec.grid, 0.5, 0)
    guess = targets.clone()
    guess[~hidden] = 100
    assert masked_loss(targets, guess, hidden) == 0
    guess[hidden] += 2
    assert masked_loss(targets, guess, hidden) == pytest.approx(4)


def test_the_nearest_visible_patch_by_hand() -> None:
    hidden = torch.tensor([[True, True, False], [True, True, True], [False, True, True]])
    found = nearest_visible(hidden)
    assert found[0].tolist() == [2, 2, 2]
    assert found[2].tolist() == [6, 6, 2]
    assert int(found[1, 0]) == 6
