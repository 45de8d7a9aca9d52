"""Patterns against pairs counted one by one, and the model under them."""

from __future__ import annotations

import pytest
import torch
from families import random_module
from PIL import Image

import vitviz
from vitviz.interventions.patterns import PATTERNS, Pattern, kept, pattern, with_pattern


def may_look(kind: Pattern, a: tuple[int, int], b: tuple[int, int], layer: int) -> bool:
    if kind == "windows":
        shift = 2 * (layer % 2)
        return all((x + shift) // 4 == (y + shift) // 4 for x, y in zip(a, b, strict=True))
    if kind == "neighbours":
        return all(abs(x - y) <= 2 for x, y in zip(a, b, strict=True))
    if kind == "axes":
        return a[0] == b[0] or a[1] == b[1]
    return True


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("kind", PATTERNS)
def test_who_may_look_at_whom(kind: Pattern, layer: int) -> None:
    found = pattern(kind, (6, 5), 2, layer)
    assert found[:2].all()
    assert found[:, :2].all()
    places = [(row, col) for row in range(6) for col in range(5)]
    for i, a in enumerate(places):
        for j, b in enumerate(places):
            assert bool(found[2 + i, 2 + j]) == may_look(kind, a, b, layer)


def test_windows_meet_their_neighbours_in_the_next_layer() -> None:
    even, odd = (pattern("windows", (16, 16), 0, layer).float() for layer in (0, 1))
    assert not even[3, 4]  # columns 3 and 4 of the first row
    assert odd[3, 4]
    reached = even
    for layer in range(1, 8):
        reached = ((odd if layer % 2 else even) @ reached).clamp(max=1)
    assert reached.all()


def test_kept_weights_are_a_softmax_over_the_allowed() -> None:
    scores = torch.tensor([1.0, 2.0, 0.5, -1.0])
    allowed = torch.tensor([True, False, True, True])
    found, share = kept(scores.softmax(0), allowed)
    torch.testing.assert_close(found, scores.masked_fill(~allowed, float("-inf")).softmax(0))
    assert float(share) == pytest.approx(float(1 - scores.softmax(0)[1]))


def test_the_model_under_a_pattern(photo: Image.Image) -> None:
    """All is the model itself; under windows the masks go into the model's own attention."""
    module = random_module("vit")
    rec = vitviz.record(vitviz.from_module(module), photo)
    torch.testing.assert_close(with_pattern(rec, "all"), rec.logits.float(), atol=1e-4, rtol=1e-4)
    tokens = []
    hook = module.blocks[0].register_forward_pre_hook(lambda _, given: tokens.append(given[0]))
    with torch.no_grad():
        module(rec.pixels[None])
        hook.remove()
        x = tokens[0]
        for layer, block in enumerate(module.blocks):
            x = block(x, attn_mask=pattern("neighbours", rec.grid, 1, layer))
        expected = module.forward_head(module.norm(x))[0]
    torch.testing.assert_close(with_pattern(rec, "neighbours"), expected, atol=1e-4, rtol=1e-4)
