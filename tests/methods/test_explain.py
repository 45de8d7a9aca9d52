"""What `explain` takes and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from families import random_module
from PIL import Image

import vitviz
from vitviz.recording.recording import Recording

WITHOUT_POOL = [id for id, method in vitviz.METHODS.items() if not method.needs_pool]


class TestExplain:
    @pytest.fixture
    def rec(self, photo: Image.Image) -> Recording:
        return vitviz.record(vitviz.from_module(random_module("dinov2 registers")), photo)

    @pytest.mark.parametrize("method", WITHOUT_POOL)
    def test_a_heatmap_has_the_grid_the_box_and_no_prefix_token(self, rec, method) -> None:
        heat = vitviz.explain(rec, method)
        assert heat.values.shape == rec.grid == (5, 5)
        assert heat.values.dtype == np.float32
        assert heat.box == rec.box
        if method in ("attention", "rollout", "value_rollout", "gradient_rollout"):
            assert 0 < heat.values.sum() < 1  # the prefix tokens' share is not drawn

    @pytest.mark.parametrize(
        ("method", "query", "target", "options", "says"),
        [
            ("nonsense", "cls", None, {}, "no method"),
            ("attention", "cls", None, {"discard": 0.1}, "no option discard"),
            ("attention", "cls", None, {"layer": 3}, "from 0 to 2"),
            ("attention", "cls", None, {"head": 6}, "from 0 to 5"),
            ("rollout", "cls", None, {"fusion": "sum"}, "mean, max, min"),
            ("rollout", "cls", None, {"discard": 1.0}, "from 0.0 to 0.95"),
            ("rollout", "cls", None, {"residual": float("nan")}, "from 0.0 to 0.95"),
            ("rollout", "cls", 1, {}, "same for every class"),
            ("rollout", (5, 0), None, {}, "from 0 to 4"),
            ("rollout", (0, -1), None, {}, "from 0 to 4"),
            ("rollout", "CLS", None, {}, "not a patch"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, rec, method, query, target, options, says) -> None:
        with pytest.raises(vitviz.VitvizError, match=says):
            vitviz.explain(rec, method, query, target, **options)

    def test_every_method_is_described(self) -> None:
        for key, method in vitviz.METHODS.items():
            assert key == method.id
            assert method.title
            assert method.question.endswith(("?", "."))
            assert "20" in method.reference


@pytest.mark.parametrize(
    "query", [(1,), (1, 2, 3), (1.5, 0), (1.0, 2.0), ("a", "b"), (None, 1), [1], None, 5, ""]
)
def test_a_query_that_is_no_patch_is_refused(photo: Image.Image, query: object) -> None:
    rec = vitviz.record(vitviz.from_module(random_module("vit")), photo)
    with pytest.raises(vitviz.VitvizError, match="is not a patch"):
        vitviz.explain(rec, "rollout", query)


@pytest.mark.parametrize(
    ("method", "option"), [("attention", "head"), ("attention", "layer"), ("rollout", "start")]
)
def test_true_is_no_number(photo: Image.Image, method: str, option: str) -> None:
    """`rows[True]` adds a dimension instead of taking head 1."""
    rec = vitviz.record(vitviz.from_module(random_module("vit")), photo)
    with pytest.raises(vitviz.MethodError, match="not True"):
        vitviz.explain(rec, method, **{option: True})
