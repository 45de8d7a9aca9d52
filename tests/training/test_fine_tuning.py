"""Fine-tuning: what is trained, on what, and that the shared model stays as it was."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from families import make_photo, random_classifier
from hooks import is_left_alone
from torch import Tensor

import vitviz
from vitviz.recording.recorder import Recorder
from vitviz.training.augmentation import augmentation, random_crops
from vitviz.training.plan import Plan, hold_out, learning_rates
from vitviz.training.trained_part import (
    SeededDropout,
    TrainedPart,
    features,
    frozen_part,
    private_copy,
    trainable_parameters,
)
from vitviz.training.training import class_token_entropy, start

LABELS = ("sky", "sea", "sand")
TARGETS = torch.tensor([0, 0, 1, 1, 2, 2])


@pytest.fixture(scope="module")
def vit() -> vitviz.Vit:
    return vitviz.from_module(random_classifier("vit"))


@pytest.fixture(scope="module")
def pixels(vit: vitviz.Vit) -> list[Tensor]:
    return [vit.transform(make_photo(seed)) for seed in range(6)]


def state(vit: vitviz.Vit) -> list[Tensor]:
    return [p.detach().clone() for p in vit.module.parameters()]


@pytest.mark.parametrize(("steps", "warmup"), [(40, 5), (10, 0), (10, 9), (7, 1)])
def test_the_rate_rises_linearly_and_falls_as_a_cosine(steps: int, warmup: int) -> None:
    formula = [
        (s + 1) / (warmup + 1)
        if s < warmup
        else (1 + math.cos(math.pi * (s - warmup) / (steps - warmup))) / 2
        for s in range(steps)
    ]
    assert learning_rates(0.3, steps, warmup) == pytest.approx([0.3 * f for f in formula])


def test_a_warm_up_must_fit() -> None:
    with pytest.raises(vitviz.VitvizError, match="10 steps"):
        learning_rates(0.3, 10, 10)


def test_a_training_uses_the_rates_that_are_shown(vit: vitviz.Vit, pixels: list[Tensor]) -> None:
    plan = Plan(steps=8, warmup=3, rate=0.02)
    _, training = start(vit, LABELS, frozen_part(vit, pixels), TARGETS, plan)
    moments = [training.step() for _ in range(8)]
    assert [m.rate for m in moments] == pytest.approx(learning_rates(0.02, 8, 3))
    assert [m.step for m in moments] == list(range(8))


@pytest.mark.parametrize("blocks", [0, 1, 3])
def test_what_is_trained_is_counted_and_nothing_else_moves(
    vit: vitviz.Vit, pixels: list[Tensor], blocks: int
) -> None:
    before = state(vit)
    plan = Plan(steps=3, warmup=0, blocks=blocks, rate=1e-3, zero_head=False)
    own, training = start(vit, LABELS, frozen_part(vit, pixels, blocks), TARGETS, plan)
    first = state(own)
    for _ in range(3):
        training.step()
    moved = [
        p.numel()
        for p, q in zip(own.module.parameters(), first, strict=True)
        if not torch.equal(p, q)
    ]
    assert sum(moved) == trainable_parameters(vit, 3, blocks)
    assert all(torch.equal(p, q) for p, q in zip(vit.module.parameters(), before, strict=True))
    assert all(p.grad is None and p.requires_grad for p in vit.module.parameters())


def test_the_head_of_three_classes_has_its_width_and_a_bias_for_each() -> None:
    vit = vitviz.load_model()
    assert trainable_parameters(vit, 3, 0) == 3 * 385
    width, hidden = 384, 4 * 384
    attention = 4 * (width * width + width)
    mlp = 2 * width * hidden + hidden + width
    block = attention + mlp + 4 * width + 2 * width  # two norms and two layer scales
    assert trainable_parameters(vit, 3, 1) == 3 * 385 + block + 2 * width
    every = sum(p.numel() for p in vit.module.parameters())
    assert trainable_parameters(vit, 1000, None) == every


def test_frozen_weights_are_shared_and_hooks_are_not(vit: vitviz.Vit) -> None:
    with Recorder(vit.module):
        own = private_copy(vit, LABELS, 1)
    assert is_left_alone(own.module)
    shared = dict(vit.module.named_parameters())
    for name, parameter in own.module.named_parameters():
        is_own = name.startswith(("blocks.2.", "norm.", "head."))
        assert (parameter.data_ptr() == shared[name].data_ptr()) != is_own
        assert parameter.requires_grad == is_own
    assert own.labels == LABELS


@pytest.mark.parametrize("blocks", [0, 1, 2])
def test_training_on_what_was_computed_once_is_exact(
    vit: vitviz.Vit, pixels: list[Tensor], blocks: int
) -> None:
    inputs = frozen_part(vit, pixels, blocks)
    plan = Plan(steps=4, warmup=1, blocks=blocks, rate=1e-3, zero_head=False)
    own, training = start(vit, LABELS, inputs, TARGETS, plan)
    for _ in range(4):
        training.step()
    with torch.no_grad():
        whole = own.module(torch.stack(pixels))
        torch.testing.assert_close(training.part(inputs), whole, atol=1e-5, rtol=1e-5)
    right = float((whole.argmax(-1) == TARGETS).float().mean())
    assert training.accuracy(inputs, TARGETS) == right


def test_head_only_training_equals_training_through_the_whole_model(
    vit: vitviz.Vit, pixels: list[Tensor]
) -> None:
    plan = Plan(steps=5, warmup=1, decay=0.0, zero_head=False)
    inputs = frozen_part(vit, pixels)
    own, training = start(vit, LABELS, inputs, TARGETS, plan)
    other, _ = start(vit, LABELS, inputs, TARGETS, plan)
    head = other.module.head
    optimizer = torch.optim.AdamW(head.parameters(), weight_decay=0.0)
    for rate in learning_rates(plan.rate, 5, 1):
        moment = training.step()
        optimizer.param_groups[0]["lr"] = rate
        loss = F.cross_entropy(other.module(torch.stack(pixels)), TARGETS)
        assert moment.loss == pytest.approx(loss.item(), abs=1e-4)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(own.module.head.weight, head.weight, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_head_of_zeros_begins_at_ln_c(
    vit: vitviz.Vit, pixels: list[Tensor], classes: int
) -> None:
    targets = torch.arange(6) % classes
    _, training = start(vit, LABELS[:classes], frozen_part(vit, pixels), targets, Plan())
    assert training.step().loss == pytest.approx(math.log(classes), abs=1e-6)


def test_the_loss_falls_and_the_seed_decides(vit: vitviz.Vit, pixels: list[Tensor]) -> None:
    inputs = frozen_part(vit, pixels)
    plan = Plan(steps=30, dropout=0.2, zero_head=False, batch=4)

    def losses(plan: Plan) -> list[float]:
        _, training = start(vit, LABELS, inputs, TARGETS, plan)
        return [training.step().loss for _ in range(plan.steps)]

    found = losses(plan)
    assert found[-1] < 0.5 * found[0]
    assert losses(plan) == found
    assert losses(replace(plan, seed=1)) != found


def test_attention_entropy_is_known_for_one_token_and_for_all() -> None:
    class Fixed:
        def __init__(self, row: Tensor) -> None:
            self.row = row

        def rows(self, _: slice) -> Tensor:
            return self.row

    one = torch.tensor([[[[1.0, 0, 0, 0]]]])
    alike = torch.full((1, 1, 1, 4), 0.25)
    two = torch.tensor([[[[0.5, 0.5, 0, 0]]]])
    assert class_token_entropy(Fixed(one)).item() == pytest.approx(0)
    assert class_token_entropy(Fixed(alike)).item() == pytest.approx(1)
    assert class_token_entropy(Fixed(torch.cat([one, alike, two]))).item() == pytest.approx(0.5)


def test_a_larger_lambda_gives_narrower_attention(vit: vitviz.Vit, pixels: list[Tensor]) -> None:
    inputs = frozen_part(vit, pixels, 1)
    ends = []
    for weight in (1e-9, 0.5, 4.0):  # the first only measures
        plan = Plan(steps=15, blocks=1, entropy=weight, rate=1e-3)
        _, training = start(vit, LABELS, inputs, TARGETS, plan)
        moments = [training.step() for _ in range(15)]
        for m in moments:
            assert m.entropy is not None
            assert m.loss == pytest.approx(m.cross_entropy + weight * m.entropy, abs=1e-5)
        ends.append(moments[-1].entropy)
    assert ends[0] > ends[1] > ends[2]


def test_the_entropy_term_is_that_of_the_models_own_attention(
    vit: vitviz.Vit, pixels: list[Tensor]
) -> None:
    plan = Plan(blocks=1, entropy=1.0)
    _, training = start(vit, LABELS, frozen_part(vit, pixels, 1), TARGETS, plan)
    rows = torch.stack(
        [vitviz.record(vit, make_photo(seed)).attention_row(-1, "cls") for seed in range(6)]
    )
    by_hand = -(rows * rows.log()).sum(-1).mean() / math.log(rows.shape[-1])
    assert training.step().entropy == pytest.approx(by_hand.item(), abs=1e-5)


def test_the_entropy_term_needs_a_block_to_train(vit: vitviz.Vit, pixels: list[Tensor]) -> None:
    with pytest.raises(vitviz.VitvizError, match="a block to be trained"):
        start(vit, LABELS, frozen_part(vit, pixels), TARGETS, Plan(entropy=1.0))


def test_the_head_alone_leaves_all_attention_as_it_was(vit: vitviz.Vit) -> None:
    photo = make_photo()
    own = private_copy(vit, LABELS)
    before, after = vitviz.record(vit, photo), vitviz.record(own, photo)
    for layer in range(before.num_layers):
        assert torch.equal(before.attention(layer), after.attention(layer))
    assert [p.label for p in after.predictions] != [p.label for p in before.predictions]
    assert vitviz.explain(after, "relevance").values.shape == before.grid


def test_a_model_that_the_blocks_alone_do_not_explain_is_refused() -> None:
    eva = vitviz.from_module(random_classifier("eva02"))  # its blocks need rotary embeddings
    photos = [eva.transform(make_photo())]
    assert torch.equal(frozen_part(eva, photos), features(eva, torch.stack(photos)))
    with pytest.raises(vitviz.ModelError, match="cannot be trained on their own"):
        frozen_part(eva, photos, 1)


def test_a_model_with_two_heads_is_refused() -> None:
    with pytest.raises(vitviz.ModelError, match="not one matrix"):
        private_copy(vitviz.from_module(random_classifier("deit distilled")), LABELS)


def test_there_are_no_more_blocks_than_the_model_has(vit: vitviz.Vit) -> None:
    with pytest.raises(vitviz.ModelError, match="has 3 blocks"):
        trainable_parameters(vit, 3, 4)


def test_the_last_photo_of_each_class_is_held_out() -> None:
    assert hold_out([3, 4]) == ([0, 1, 3, 4, 5], [2, 6])
    with pytest.raises(vitviz.VitvizError, match="only one class"):
        hold_out([5])
    with pytest.raises(vitviz.VitvizError, match="2 photos"):
        hold_out([3, 2])


def test_dropout_keeps_the_mean_and_is_off_outside_training(vit: vitviz.Vit) -> None:
    drop = SeededDropout(0.25, 0)
    ones = torch.ones(100_000)
    dropped = drop(ones)
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert dropped.mean().item() == pytest.approx(1, abs=0.01)
    assert torch.equal(drop.eval()(ones), ones)
    part = TrainedPart(private_copy(vit, LABELS), dropout=0.5).eval()
    inputs = torch.randn(2, 192)
    assert torch.equal(part(inputs), part.head(inputs))


def test_random_crops_are_the_seeds_own() -> None:
    photo = make_photo()
    first, again = random_crops(photo, 4, 7), random_crops(photo, 4, 7)
    assert [c.tobytes() for c in first] == [c.tobytes() for c in again]
    assert all(c.width == c.height and 0.7 * 120 - 1 <= c.width <= 120 for c in first)
    assert len({c.tobytes() for c in first}) == 4


def test_without_augmentation_a_view_is_the_middle() -> None:
    photo = make_photo(size=(64, 64))
    plain = augmentation((64, 64), crop=False, flip=False, colour=False)
    assert plain(photo).tobytes() == photo.tobytes()
    every = augmentation((32, 32), crop=True, flip=True, colour=True)
    assert every(photo).size == (32, 32)
