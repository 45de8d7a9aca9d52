"""Boxes and masks: what the lesson says and shows, against the model."""

from __future__ import annotations

import pytest
import torch
from lesson_pages import answer, opened
from visits import recording, session

import vitviz
from vitviz.inside.clicked_mask import clicked_scores
from vitviz.inside.features import patch_features
from vitviz.inside.lost import centred_keys, find_object
from vitviz.measures.boxes import LOCATED, box_of_map, overlap, placed
from vitviz.measures.composed import THINGS, composed
from vitviz.ui.visit.language import texts

WORDS = texts("en")["detection"]


@pytest.fixture(scope="module")
def vit() -> vitviz.Vit:
    return vitviz.load_model()


def sample(vit: vitviz.Vit, name: str) -> vitviz.Recording:
    return vitviz.record(vit, next(s.path for s in vitviz.samples() if s.id == name))


def found_box(rec: vitviz.Recording) -> tuple[float, float, float, float]:
    found = find_object(centred_keys(rec, rec.num_layers - 1))
    return placed(found.corners, rec.grid, rec.box)


def test_lost_finds_as_many_as_the_words_say(vit: vitviz.Vit) -> None:
    pictures = composed()
    overlaps = [overlap(found_box(vitviz.record(vit, p.photo)), p.box) for p in pictures]
    assert (sum(share >= LOCATED for share in overlaps), len(pictures)) == (18, 30)
    middle, whole = (112.0, 112.0, 336.0, 336.0), (0.0, 0.0, 448.0, 448.0)
    assert sum(overlap(middle, p.box) >= LOCATED for p in pictures) == 3
    assert not any(overlap(whole, p.box) >= LOCATED for p in pictures)


def test_it_opens_on_a_photo_where_it_works_and_fails_on_the_coffee(vit: vitviz.Vit) -> None:
    assert overlap(found_box(sample(vit, "tower")), THINGS["tower"]) > 0.7
    coffee = sample(vit, "coffee")
    assert overlap(found_box(coffee), THINGS["coffee"]) < 0.2
    assert find_object(centred_keys(coffee, 11)).seed == (1, 2)  # table, beside the cup
    app = opened("detection", step="1")
    answer(app, right=True)
    assert session(app).photo.name == "tower"
    found = find_object(centred_keys(recording(app), 11))
    fewest, median = (metric.value for metric in app.metric)
    assert (int(fewest), int(median)) == (int(found.alike.min()), int(found.alike.median()))
    outside = found.alike[~found.mask].float().mean()
    assert outside > found.alike[found.mask].float().mean()  # the guess


@pytest.mark.parametrize("layer", [11, 9])
def test_the_box_is_that_of_the_chosen_layer(vit: vitviz.Vit, layer: int) -> None:
    app = opened("detection", step="2", key_layer=str(layer))
    found = find_object(centred_keys(sample(vit, "tower"), layer))
    said = [part.proto.imgs[0].caption for part in app.get("image")]
    joined, thing = int(found.seeds.sum()), int(found.mask.sum())
    assert said == [
        WORDS["box"]["joined"].format(count=joined),
        WORDS["box"]["thing"].format(count=thing),
    ]


def test_a_composed_picture_is_judged(vit: vitviz.Vit) -> None:
    for number in (0, 10):
        app = opened("detection", step="3", composed=str(number))
        picture = composed()[number]
        share = overlap(found_box(vitviz.record(vit, picture.photo)), picture.box)
        assert app.metric[0].value == f"{share:.2f}"
        said = WORDS["located"]["hit" if share >= LOCATED else "miss"]
        assert app.markdown[-1].value == said


def test_two_clicks_find_the_photographer(vit: vitviz.Vit) -> None:
    """The places were read off the photo."""
    rec = sample(vit, "photographer")
    mask = clicked_scores(patch_features(rec), [(8, 5)], [(3, 12)]) > 0
    for body in [(3, 5), (3, 6), (6, 3), (8, 2), (11, 2), (14, 1)]:  # face, arms, coat, legs
        assert mask[body]
    assert not mask[:2].any()  # sky
    assert not mask[:, 13:].any()  # town and grass
    grey = rec.pixels.mean(dim=0).unfold(0, 14, 14).unfold(1, 14, 14).mean(dim=(2, 3))
    assert grey[4, 7] > grey[8, 5] + 0.5  # the face is far lighter than the coat
    assert mask[4, 7]


def test_clicks_are_in_the_address_of_their_photo() -> None:
    app = opened("detection", step="4")
    answer(app, right=True)
    assert session(app).photo.name == "photographer"
    assert not app.info
    key = session(app).photo.key[:6]
    clear = next(b for b in app.button if b.label == WORDS["clicks"]["clear"])
    clear.click().run()
    assert key in app.query_params["clicks"]
    assert app.info[-1].value == WORDS["clicks"]["both"]
    app.query_params["clicks"] = f"{key}_t8-5_b3-12_t99-1_nonsense"
    app.run()
    assert WORDS["clicks"]["both"] not in [info.value for info in app.info]
    app.query_params["sample"] = "coffee"
    app.run()
    assert app.info[-1].value == WORDS["clicks"]["both"]


def test_each_class_has_its_box_on_its_half(vit: vitviz.Vit) -> None:
    rec = sample(vit, "cat-and-coffee")
    for label, half in (("Egyptian cat", (0, 175, 300, 428)), ("cup", (300, 150, 600, 450))):
        target = next(p.index for p in rec.predictions if p.label == label)
        left, _, right, _ = box_of_map(vitviz.explain(rec, "relevance", target=target), 0.2)
        assert half[0] <= left < right <= half[2]
    target = next(p.index for p in rec.predictions if p.label == "Egyptian cat")
    found = box_of_map(vitviz.explain(rec, "relevance", target=target), 0.2)
    assert overlap(found, (0, 175, 300, 428)) > 0.8
    eyes_and_forehead, stripes = (75, 188, 262, 338), (150, 188, 225, 225)
    for share, part in ((0.3, eyes_and_forehead), (0.5, stripes)):
        left = box_of_map(vitviz.explain(rec, "relevance", target=target), share)
        assert overlap(left, part) > 0.95
    assert "cup" in [p.label for p in rec.predictions[:10]]  # so that it can be chosen


def test_a_query_of_the_coat_looks_at_the_man() -> None:
    app = opened("detection", step="6")
    assert session(app).photo.name == "photographer"
    keys = centred_keys(recording(app), 11)
    weights = torch.softmax(keys.flatten(0, 1) @ keys[8, 8] / 384**0.5, dim=0).unflatten(
        0, (16, 16)
    )
    assert float(weights[2:, :12].sum()) > 0.9
