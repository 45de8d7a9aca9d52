"""The page says what was done to a photo: greys that were stretched, a size that was reduced."""

from __future__ import annotations

import numpy as np
import pytest
from pictures import encode, quarters
from PIL import Image
from streamlit.testing.v1 import AppTest


def page(data: bytes) -> None:
    from vitviz.ui.controls.photo_picker import choose_photo, open_photo
    from vitviz.ui.visit.state import visit

    visit().own = open_photo(data, "scan.png")
    choose_photo()


@pytest.mark.parametrize("stretched", [True, False])
def test_a_scan_of_twelve_bits(stretched: bool) -> None:
    values = np.tile(np.linspace(0, 4095, 32).astype(np.uint16), (32, 1))
    data = encode(Image.fromarray(values) if stretched else quarters(), "PNG")
    app = AppTest.from_function(page, default_timeout=60, args=(data,)).run()
    assert not app.exception
    said = [caption.value for caption in app.caption if "stretched" in caption.value]
    assert len(said) == stretched
    assert all("0 is shown as black, 4095 as white." in text for text in said)


@pytest.mark.parametrize(("side", "part"), [(4_000, 1), (4_001, 2)])
def test_a_photo_of_more_than_sixteen_megapixels(side: int, part: int) -> None:
    data = encode(quarters().resize((side, 4_000)), "JPEG")
    app = AppTest.from_function(page, default_timeout=60, args=(data,)).run()
    assert not app.exception
    said = [caption.value for caption in app.caption if "The photo is large" in caption.value]
    assert len(said) == part - 1
    assert all("at 1/2 of its width and height" in text for text in said)
