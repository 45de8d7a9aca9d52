"""Head statistics and ablation against second implementations."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from families import FAMILIES, random_classifier, random_module, set_fused
from hooks import is_left_alone
from PIL import Image
from rollouts import by_hand
from torch import Tensor, nn

import vitviz
from vitviz.inside.heads import (
    ablate,
    head_importance,
    head_statistics,
    mean_statistics,
    uniform_distance,
)
from vitviz.recording.calls import AttentionCall


def slow_statistics(rec: vitviz.Recording, layer: int, head: int) -> tuple[float, ...]:
    """The same with loops, in float64."""
    attention = rec.attention(layer)[head].double().numpy()
    rows, cols = rec.grid
    height, width = rec.pixels.shape[1:]
    prefix = rec.num_prefix_tokens
    places = [(r * height / rows, c * width / cols) for r in range(rows) for c in range(cols)]
    found = []
    for number, (y, x) in enumerate(places):
        row = attention[prefix + number]
        far = [np.hypot(y - v, x - u) for v, u in places]
        found.append(
            (
                np.dot(row[prefix:], far) / row[prefix:].sum(),
                -sum(a * np.log(a) for a in row if a > 0),
                row[:prefix].sum(),
                row[prefix + number],
            )
        )
    return tuple(np.mean(found, axis=0))


@pytest.mark.parametrize("rows", [64, 7])
@pytest.mark.parametrize("family", FAMILIES)
def test_statistics_of_every_family(
    family: str, photo: Image.Image, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a map takes several parts: 7 divides no family's number of patches."""
    monkeypatch.setattr("vitviz.inside.heads.ROWS_AT_ONCE", rows)
    asked: list[int] = []
    original = AttentionCall.rows

    def watched(self: AttentionCall, part: slice) -> Tensor:
        result = original(self, part)
        asked.append(result.shape[2])
        return result

    monkeypatch.setattr(AttentionCall, "rows", watched)
    rec = vitviz.record(vitviz.from_module(random_module(family)), photo)
    found = head_statistics(rec)
    assert max(asked) <= rows
    assert sum(asked) == rec.num_layers * rec.grid[0] * rec.grid[1]
    for layer in range(rec.num_layers):
        for head in range(rec.num_heads(layer)):
            ours = [
                values[layer, head]
                for values in (found.distance, found.entropy, found.to_prefix, found.to_self)
            ]
            np.testing.assert_allclose(
                ours, slow_statistics(rec, layer, head), rtol=2e-4, atol=1e-6
            )
    assert (found.entropy >= 0).all()
    assert (found.entropy <= np.log(rec.num_tokens) + 1e-5).all()


def test_a_head_that_looks_everywhere_and_one_that_looks_at_itself() -> None:
    tokens = 10  # a class token and 3 × 3 patches
    everywhere = torch.full((tokens, tokens), 1 / tokens)
    rec = by_hand([[everywhere.tolist(), torch.eye(tokens).tolist()]], (3, 3), 1)
    found = head_statistics(rec)
    side = rec.pixels.shape[1] / 3
    # The mean distance between two squares of a 3 × 3 board, in squares:
    board = [(r, c) for r in range(3) for c in range(3)]
    mean = np.mean([np.hypot(a - c, b - d) for a, b in board for c, d in board])
    np.testing.assert_allclose(found.distance, [[mean * side, 0]], rtol=1e-5)
    np.testing.assert_allclose(found.entropy, [[np.log(tokens), 0]], rtol=1e-5)
    np.testing.assert_allclose(found.to_prefix, [[0.1, 0]], rtol=1e-5)
    np.testing.assert_allclose(found.to_self, [[0.1, 1]], rtol=1e-5)


def test_layers_with_fewer_heads_are_filled_with_nan() -> None:
    even, own = torch.full((4, 4), 0.25).tolist(), torch.eye(4).tolist()
    found = head_statistics(by_hand([[own, even, own], [even]], (2, 2), 0))
    np.testing.assert_allclose(found.to_self, [[1, 0.25, 1], [0.25, np.nan, np.nan]])
    for values in (found.distance, found.entropy, found.to_prefix):
        assert np.isnan(values).tolist() == np.isnan(found.to_self).tolist()
        assert values.dtype == np.float32


def test_mean_over_photos_is_each_numbers_own() -> None:
    even, own = torch.full((4, 4), 0.25).tolist(), torch.eye(4).tolist()
    one, other = (by_hand([maps, [even]], (2, 2), 0) for maps in ([own, even], [even, even]))
    found = mean_statistics([head_statistics(one), head_statistics(other)])
    full = head_statistics(other)
    np.testing.assert_allclose(found.to_self, [[0.625, 0.25], [0.25, np.nan]])
    np.testing.assert_allclose(found.entropy, full.entropy * [[0.5, 1], [1, 1]])
    np.testing.assert_allclose(found.distance, full.distance * [[0.5, 1], [1, 1]])


def joined_by(attention: nn.Module) -> nn.Module:
    """What is given the joined heads first."""
    norm = getattr(attention, "norm", None)
    return norm if isinstance(norm, nn.LayerNorm) else attention.proj


@contextmanager
def projection_without(module: nn.Module, layer: int, heads: list[int]) -> Iterator[None]:
    """What the block's projection is given, with the heads' parts set to zero."""
    attention = module.blocks[layer].attn
    size = attention.proj.in_features // attention.num_heads

    def silence(_: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
        joined = args[0].clone()
        for head in heads:
            joined[..., head * size : (head + 1) * size] = 0
        return (joined,)

    handle = joined_by(attention).register_forward_pre_hook(silence)
    yield
    handle.remove()


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_head_is_switched_off_before_the_heads_are_joined(
    family: str, photo: Image.Image, fused: bool
) -> None:
    module = random_classifier(family)
    set_fused(module, fused)
    vit = vitviz.from_module(module)
    rec = vitviz.record(vit, photo)
    for off in ([(1, 0)], [(0, 1), (2, 0), (2, 1)], [(1, h) for h in range(rec.num_heads(1))]):
        double = copy.deepcopy(module)
        with torch.no_grad():
            managers = [
                projection_without(double, layer, [h for at, h in off if at == layer])
                for layer in {at for at, _ in off}
            ]
            for manager in managers:
                manager.__enter__()
            expected = double(rec.pixels[None])[0].softmax(-1)
        ours = {p.index: p.probability for p in ablate(rec, off)}
        np.testing.assert_allclose([ours[i] for i in range(5)], expected, atol=1e-5)
        assert not np.allclose(expected, rec.logits.softmax(-1), atol=1e-6)
    assert is_left_alone(module)


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_switched_off_changes_nothing(family: str, photo: Image.Image) -> None:
    rec = vitviz.record(vitviz.from_module(random_classifier(family)), photo)
    assert ablate(rec, []) == rec.predictions


def test_importance_is_the_drop_of_each_ablation(photo: Image.Image) -> None:
    rec = vitviz.record(vitviz.from_module(random_classifier("vit")), photo)
    target = rec.predictions[2].index
    shares: list[float] = []
    found = head_importance(rec, target, progress=shares.append)
    before = float(rec.logits.softmax(-1)[target])

    def drop(off: list[tuple[int, int]]) -> float:
        return before - {p.index: p.probability for p in ablate(rec, off)}[target]

    for layer in range(rec.num_layers):
        heads = range(rec.num_heads(layer))
        expected = [drop([(layer, head)]) for head in heads]
        np.testing.assert_allclose(found.heads[layer], expected, atol=1e-6)
        whole = drop([(layer, head) for head in heads])
        assert found.layers[layer] == pytest.approx(whole, abs=1e-6)
    assert shares[-1] == 1


def test_other_threads_keep_all_heads(photo: Image.Image) -> None:
    vit = vitviz.from_module(random_classifier("vit"))
    rec = vitviz.record(vit, photo)
    every = [(layer, head) for layer in range(rec.num_layers) for head in range(rec.num_heads(0))]
    without, wrong = ablate(rec, every), []

    def run(number: int) -> None:
        for _ in range(20):
            same = (
                ablate(rec, every) == without
                if number % 2
                else torch.equal(vitviz.record(vit, photo).logits, rec.logits)
            )
            wrong.extend([] if same else [number])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_stopped_importance_leaves_no_hook(photo: Image.Image) -> None:
    module = random_classifier("vit")
    rec = vitviz.record(vitviz.from_module(module), photo)

    def stop(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        head_importance(rec, progress=stop)
    assert is_left_alone(module)


def test_an_error_in_the_forward_leaves_no_hook(
    photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = random_classifier("vit")
    rec = vitviz.record(vitviz.from_module(module), photo)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("in the middle")

    with monkeypatch.context() as patch:
        patch.setattr(module.blocks[1].mlp, "forward", broken)
        for run in (lambda: ablate(rec, [(0, 0)]), lambda: head_importance(rec)):
            with pytest.raises(vitviz.ModelError, match="in the middle"):
                run()
    assert is_left_alone(module)
    assert ablate(rec, []) == rec.predictions


@pytest.mark.parametrize("head", [(0, 99), (99, 0), (0, -1), (-4, 0)])
def test_a_head_that_does_not_exist(photo: Image.Image, head: tuple[int, int]) -> None:
    rec = vitviz.record(vitviz.from_module(random_classifier("vit")), photo)
    with pytest.raises(vitviz.VitvizError, match=r"There is no (head|layer)"):
        ablate(rec, [head])


def test_layer_minus_one_is_the_last(photo: Image.Image) -> None:
    rec = vitviz.record(vitviz.from_module(random_classifier("vit")), photo)
    assert ablate(rec, [(-1, 0)]) == ablate(rec, [(rec.num_layers - 1, 0)])


def test_uniform_attention_has_a_distance_too() -> None:
    equal = torch.full((26, 26), 1 / 26)
    rec = by_hand([[equal.tolist()]], (5, 5), 1)
    expected = head_statistics(rec).distance[0, 0]
    assert uniform_distance(rec) == pytest.approx(float(expected), rel=1e-6)


def test_a_square_has_about_half_its_side() -> None:
    rec = vitviz.record(vitviz.load_model(), Image.new("RGB", (224, 224)))
    # The mean distance of two points in a unit square is (2 + √2 + 5 ln(1 + √2)) / 15 = 0.5214.
    assert uniform_distance(rec) == pytest.approx(0.5214 * 224, rel=5e-3)
    assert f"{uniform_distance(rec):.0f}" == "117"
