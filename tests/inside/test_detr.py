"""What object queries found and where they looked, as transformers itself says it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from detectors import SIZE, detector, small_detector
from families import make_photo, random_module
from other_device import OTHER, other_device
from PIL import Image

import vitviz

KINDS = ("Detr", "ConditionalDetr", "DabDetr", "TableTransformer")


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return make_photo(size=(200, 120))


@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_those_of_output_attentions(kind: str, photo: Image.Image) -> None:
    found = vitviz.object_queries(detector(kind), photo)
    pixels = detector(kind).transform(photo)[None]
    eager = small_detector(kind, attn_implementation="eager")
    with torch.no_grad():
        own = eager(pixels, output_attentions=True).cross_attentions
    assert sorted(query.number for query in found) == list(range(6))
    for query in found:
        wanted = torch.stack([layer[0, :, query.number].view(2, 4, 5) for layer in own])
        torch.testing.assert_close(query.cross_attention, wanted, atol=1e-5, rtol=1e-4)
    spread = torch.stack([query.cross_attention for query in found]).std(dim=0)
    assert spread.max() > 0.01  # each looks elsewhere


@pytest.mark.parametrize("kind", ["Detr", "TableTransformer"])
def test_answers_are_those_of_the_processor(kind: str, photo: Image.Image) -> None:
    """A softmax whose last class is nothing."""
    found = vitviz.object_queries(detector(kind), photo)
    with torch.no_grad():
        said = detector(kind).module.model(detector(kind).transform(photo)[None])
    [wanted] = transformers.DetrImageProcessor(size=SIZE).post_process_object_detection(
        said, threshold=0, target_sizes=[(120, 200)]
    )
    for query in found:
        n = query.number
        assert query.index == wanted["labels"][n]
        assert query.label == ("cat", "cup", "mountain")[query.index]
        assert query.probability == pytest.approx(float(wanted["scores"][n]), rel=1e-4)
        # Where the input lies is asked of the processor, to about a pixel of it.
        assert query.box == pytest.approx(wanted["boxes"][n].tolist(), abs=1.5)
    probabilities = [query.probability for query in found]
    assert probabilities == sorted(probabilities, reverse=True)


@pytest.mark.parametrize("kind", ["ConditionalDetr", "DabDetr"])
def test_where_nothing_is_no_class(kind: str, photo: Image.Image) -> None:
    """A sigmoid of each class; the processor lists pairs of query and class, the surest first."""
    found = vitviz.object_queries(detector(kind), photo)
    with torch.no_grad():
        said = detector(kind).module.model(detector(kind).transform(photo)[None])
    processor = transformers.ConditionalDetrImageProcessor(size=SIZE)
    [wanted] = processor.post_process_object_detection(said, threshold=0, target_sizes=[(120, 200)])
    assert found[0].probability == pytest.approx(float(wanted["scores"][0]), rel=1e-4)
    assert found[0].index == wanted["labels"][0]
    assert found[0].box == pytest.approx(wanted["boxes"][0].tolist(), abs=1.5)


class TestPictures:
    def test_a_head_or_the_mean_of_all(self, photo: Image.Image) -> None:
        [query, *_] = vitviz.object_queries(detector(), photo)
        one = query.looks(layer=0, head=1)
        assert np.array_equal(one.values, query.cross_attention[0, 1].numpy())
        assert query.looks().values == pytest.approx(query.cross_attention[-1].mean(dim=0).numpy())
        assert one.box == pytest.approx((0, 0, 200, 120), abs=1.5)
        assert one.fingerprint.fits(photo)

    def test_the_box_is_drawn_over_the_map(self, photo: Image.Image) -> None:
        [query, *_] = vitviz.object_queries(detector(), photo)
        plain = np.asarray(vitviz.overlay(photo, query.looks()))
        drawn = np.asarray(replace(query, box=(40.0, 30.0, 150.0, 90.0)).picture(photo))
        rows, cols = np.nonzero((plain != drawn).any(axis=-1))
        assert (cols.min(), rows.min(), cols.max() + 1, rows.max() + 1) == (40, 30, 150, 90)

    def test_a_flat_box(self, photo: Image.Image) -> None:
        [query, *_] = vitviz.object_queries(detector(), photo)
        assert replace(query, box=(40.0, 30.2, 150.0, 30.4)).picture(photo).size == photo.size

    @pytest.mark.parametrize("given", [{"layer": 2}, {"layer": -3}, {"head": 2}, {"head": -1}])
    def test_others_are_refused(self, given: dict[str, int], photo: Image.Image) -> None:
        [query, *_] = vitviz.object_queries(detector(), photo)
        with pytest.raises(vitviz.VitvizError, match="0 to 1"):
            query.looks(**given)


def test_an_input_whose_sides_are_no_whole_cells(photo: Image.Image) -> None:
    processor = transformers.DetrImageProcessor(size={"height": 100, "width": 170})
    vit = vitviz.from_module(detector().module.model, transform=processor)
    assert vitviz.object_queries(vit, photo)[0].cross_attention.shape == (2, 2, 4, 6)


def test_a_model_on_another_device(photo: Image.Image) -> None:
    here = vitviz.object_queries(detector(), photo)[0]
    with other_device():
        processor = transformers.DetrImageProcessor(size=SIZE)
        vit = vitviz.from_module(small_detector("Detr").to(OTHER), transform=processor)
        assert vit.device == OTHER
        found = vitviz.object_queries(vit, photo)[0]
    assert (found.number, found.box) == (here.number, pytest.approx(here.box, rel=1e-4))
    torch.testing.assert_close(found.cross_attention, here.cross_attention)


class TestRefused:
    def test_deformable_attention(self, photo: Image.Image) -> None:
        processor = transformers.DetrImageProcessor(size=SIZE)
        vit = vitviz.from_module(small_detector("DeformableDetr"), transform=processor)
        with pytest.raises(vitviz.ModelError, match="looks at a few points instead"):
            vitviz.object_queries(vit, photo)

    def test_a_classifier(self, photo: Image.Image) -> None:
        with pytest.raises(vitviz.ModelError, match="no object queries"):
            vitviz.object_queries(vitviz.from_module(random_module("vit")), photo)
