"""What the photo's map is sent to show where each patch looks."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from vitviz.ui.parts.patch_map import quantised


def run_page() -> None:
    from vitviz.ui.pages import explore

    explore.page()


def decoded(rows: dict[str, str]) -> np.ndarray:
    """As the browser reads them: (patches, patches)."""
    low, high = (
        np.frombuffer(b64decode(rows[key]), np.float32)[:, None] for key in ("low", "high")
    )
    levels = np.frombuffer(b64decode(rows["levels"]), np.uint8).reshape(len(low), -1)
    return low + levels / 255 * (high - low)


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("head", ["2", "mean"])
def test_a_row_is_where_its_patch_looks(head: str) -> None:
    app = AppTest.from_function(run_page, default_timeout=300)
    for key, value in {"attention_layer": "3", "attention_head": head}.items():
        app.query_params[key] = value
    app.run()
    [shown] = [part for part in app.get("bidi_component") if "patch_map" in part.proto.id]
    data: dict[str, Any] = json.loads(shown.proto.json)
    rec = app.session_state["session"].rec
    rows = decoded(data["rows"])
    for row, col in ((0, 5), (7, 3), (15, 14)):
        heads = rec.attention_row(3, (row, col))[:, rec.num_prefix_tokens :].numpy()
        expected = heads.mean(0) if head == "mean" else heads[int(head)]
        step = (expected.max() - expected.min()) / 255
        np.testing.assert_allclose(rows[16 * row + col], expected, atol=step)


def test_each_row_has_its_own_range_and_one_of_equal_values_stays() -> None:
    rows = np.array([[0, 1, 2, 3], [5, 5, 5, 5], [0.5, 0.25, 0, 0.125]], np.float32)
    np.testing.assert_allclose(decoded(quantised(rows)), rows, atol=0.006)
