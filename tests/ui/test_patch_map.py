"""What the photo's map is sent to show where each patch looks."""

from __future__ import annotations

import numpy as np
import pytest
from pages import page
from visits import recording

from vitviz.ui.parts import patch_map
from vitviz.ui.parts.patch_map import quantised


def decoded(sent: bytes, patches: int) -> np.ndarray:
    """As the browser reads them: (patches, patches)."""
    low, high = np.frombuffer(sent, np.float32, 2 * patches).reshape(2, patches, 1)
    levels = np.frombuffer(sent, np.uint8, offset=8 * patches).reshape(patches, patches)
    return low + levels / 255 * (high - low)


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("head", ["2", "mean"])
def test_a_row_is_where_its_patch_looks(head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: dict[str, bytes] = {}

    def send(data: bytes, place: str) -> str:
        sent[place] = data
        return ""

    monkeypatch.setattr(patch_map, "numbers_address", send)
    app = page("explore", attention_layer="3", attention_head=head)
    rec = recording(app)
    [rows] = [decoded(data, 256) for place, data in sent.items() if place.endswith(" rows")]
    for row, col in ((0, 5), (7, 3), (15, 14)):
        heads = rec.attention_row(3, (row, col))[:, rec.num_prefix_tokens :].numpy()
        expected = heads.mean(0) if head == "mean" else heads[int(head)]
        step = (expected.max() - expected.min()) / 255
        np.testing.assert_allclose(rows[16 * row + col], expected, atol=step)


def test_each_row_has_its_own_range_and_one_of_equal_values_stays() -> None:
    rows = np.array([[0, 1, 2, 3], [5, 5, 5, 5], [0.5, 0.25, 0, 0.125], [1, 2, 1, 2]], np.float32)
    np.testing.assert_allclose(decoded(quantised(rows), 4), rows, atol=0.006)
