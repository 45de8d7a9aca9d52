"""What a visitor leaves behind is let go of."""

from __future__ import annotations

import gc
from pathlib import Path
from weakref import ref

import pytest
import timm
import visits
from pages import page
from streamlit.testing.v1 import AppTest
from timm.models import save_for_hf

import vitviz
from vitviz.ui.visit.shelf import Shelf


def recorded(app: AppTest) -> ref[vitviz.Recording]:
    return ref(visits.recording(app))


def gone(rec: ref[vitviz.Recording]) -> bool:
    gc.collect()
    return rec() is None


pytestmark = pytest.mark.usefixtures("light")


def test_a_photo_that_was_replaced() -> None:
    app = page("explore", sample="cat")
    before = recorded(app)
    app.query_params["sample"] = "coffee"
    app.run()
    app.run()  # Streamlit keeps the state of the run before
    assert gone(before)
    assert not gone(recorded(app))


def test_a_visitor_who_left() -> None:
    app = page("explore", sample="cat")
    before = recorded(app)
    del app
    assert gone(before)


def test_a_recording_of_another_model_goes_before_the_next_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two models of a visitor at once could be one too many for the server."""
    module = timm.create_model("vit_tiny_patch16_224", depth=1, num_classes=2)
    save_for_hf(module, tmp_path / "other", safe_serialization=True)
    monkeypatch.setenv("VITVIZ_MODELS", str(tmp_path))
    app = page("explore", sample="cat")
    before, seen = recorded(app), []
    take = Shelf.take

    def taken(shelf: Shelf, name: str) -> vitviz.Vit:
        if name == "other":
            seen.append(gone(before))
        return take(shelf, name)

    monkeypatch.setattr(Shelf, "take", taken)
    app.query_params["model"] = "other"
    app.run()
    assert not app.exception
    assert seen
    assert all(seen)
    assert visits.recording(app).vit.name == "other"
