"""models/captions.py on photos and tokens made for the purpose."""

from __future__ import annotations

import argparse
import io

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from models import captions as script
from models.captions import Examples, View, captions, fit, one_of_each, views, zero_shot

SETTINGS = argparse.Namespace(
    steps=200, batch=64, rate=1e-2, decay=0.0, dropout=0.0, temperature=0.1
)


def photo(side: int) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(side).integers(0, 255, (side, side, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, "JPEG")
    return file.getvalue()


def test_each_class_comes_in_turn_sharp_photos_and_crops_before_thumbnails() -> None:
    sides, labels = [100, 100, 64, 64, 64, 100], [0, 0, 0, 0, 1, 2]
    table = pd.DataFrame({"image": [photo(side) for side in sides], "label": labels})
    shown = views(table, least=3, most=4)
    by_class = {c: [v for v in shown if labels[v.row] == c] for c in (0, 1, 2)}
    assert {labels[view.row] for view in shown[:3]} == {0, 1, 2}
    assert {view.row for view in by_class[0][:2]} == {0, 1}
    assert by_class[0][2].number == 1  # a crop of the first of them
    assert by_class[0][2].row == by_class[0][0].row
    assert (by_class[0][3].row in (2, 3), by_class[0][3].number) == (True, 0)
    assert by_class[1] == [View(4, 0)]
    assert by_class[2] == [View(5, 0), View(5, 1), View(5, 2)]
    fewer = views(table, least=2, most=2)
    assert fewer == [view for view in shown if view in fewer]


def test_crops_are_drawn_anew_and_the_same_again() -> None:
    data = photo(120)
    whole, first, second = (script.pixels(data, View(7, number)) for number in (0, 1, 2))
    assert whole.shape == first.shape == (3, 224, 224)
    assert not torch.equal(first, second)
    assert torch.equal(first, script.pixels(data, View(7, 1)))


def test_one_of_each_group_is_drawn() -> None:
    torch.manual_seed(0)
    groups = torch.tensor([2, 0, 2, 0, 3, 2])
    drawn = torch.stack([one_of_each(groups, 5) for _ in range(60)])
    assert set(drawn[:, 0].tolist()) == {1, 3}
    assert set(drawn[:, 2].tolist()) == {0, 2, 5}
    assert set(drawn[:, 3].tolist()) == {4}


def test_a_linear_bridge_is_found_and_names_classes_it_was_not_fitted_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tokens that are a linear map of the texts, in their own scale, and a little noise."""
    torch.manual_seed(0)
    monkeypatch.setattr(script, "CLASSES", 80)
    monkeypatch.setattr(script, "new_bridge", lambda: torch.nn.Linear(30, 20))
    texts = [F.normalize(torch.randn(2, 20) * 0.1 + torch.randn(20), dim=1) for _ in range(80)]
    names = torch.stack([F.normalize(group.mean(dim=0), dim=0) for group in texts])
    classes = torch.arange(80).repeat(4)
    hidden = torch.randn(20, 30)
    tokens = 5 + 3 * (names[classes] @ hidden + 0.05 * torch.randn(320, 30))
    examples, held = Examples(tokens, classes), list(range(60, 80))
    assert set(examples.of(held).classes.tolist()) == set(held)
    bridge = fit(examples.of(held, others=True), texts, SETTINGS)
    right = zero_shot(bridge, examples.of(held), names, held).float().mean(dim=0)
    assert right[0] > 0.8  # chance is 0.05
    assert right[1] >= right[0]


def test_every_class_has_names_and_a_definition() -> None:
    found = captions()
    assert len(found) == 1000
    assert found[281][:2] == ["a photo of a tabby", "a photo of a tabby cat"]
    assert found[281][-1] == "a cat with a grey or tawny coat mottled with black"
    assert all(len(group) > 1 and all(text.strip() for text in group) for group in found)


def test_held_out_classes_have_photos_and_stay_the_same() -> None:
    val = pd.DataFrame({"label": [1, 1, 2, 3, 3, 4, 4, 5, 5]})
    found = script.held_out_classes(val, 3)
    assert set(found) <= {1, 3, 4, 5}
    assert len(found) == 3
    assert found == script.held_out_classes(val.sample(frac=1, random_state=1), 3)
