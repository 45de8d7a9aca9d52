"""The Heads page through Streamlit's AppTest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import streamlit as st
from light_model import light_model, light_pages
from pages import PATIENCE, opened
from streamlit.testing.v1 import AppTest
from visits import recording, session

import vitviz
from vitviz.inside.heads import ablate, head_importance, head_statistics
from vitviz.ui.pages import heads


def page(name: str, **address: str) -> AppTest:
    """A page of which a part may be missing."""
    script = f"from vitviz.ui.pages import {name}\n{name}.page()"
    app = AppTest.from_string(script, default_timeout=PATIENCE)
    for key, value in address.items():
        app.query_params[key] = value
    return app.run()


@pytest.fixture(scope="module", autouse=True)
def _light() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, light_pages(patch):
        yield


def test_the_table_holds_the_librarys_numbers() -> None:
    app = opened("heads", sample="coffee")
    found = head_statistics(recording(app))
    table = app.dataframe[-1].value.set_index(["Layer", "Head"])
    assert len(table) == 72
    assert table.loc[(3, 1), "Distance"] == pytest.approx(found.distance[3, 1])
    assert table.loc[(7, 5), "To itself"] == pytest.approx(found.to_self[7, 5])


@pytest.mark.parametrize("statistic", ["distance", "entropy", "to_prefix", "to_self"])
def test_every_number_over_one_photo_and_over_all(statistic: str) -> None:
    app = opened("heads", statistic=statistic)
    app.segmented_control(key="over").set_value("samples").run()
    assert not app.exception
    photos = [vitviz.load_image(sample.path) for sample in vitviz.samples()]
    found = [head_statistics(vitviz.record(light_model(), photo)) for photo in photos]
    mean = sum(each.entropy[2, 4] for each in found) / len(found)
    table = app.dataframe[-1].value.set_index(["Layer", "Head"])
    assert table.loc[(2, 4), "Entropy"] == pytest.approx(mean, rel=1e-5)


def test_importance_is_measured_once_a_photo() -> None:
    app = opened("heads", statistic="importance")
    shown = session(app).results.last("importance")
    assert (shown == head_importance(recording(app)).heads).all()
    app.segmented_control(key="mode").set_value("switch").run()
    assert session(app).results.last("importance") is shown
    app.segmented_control(key="over").set_value("samples").run()
    assert "choose “This photo”" in app.error[0].value


def cells(app: AppTest) -> dict[str, Any]:
    """What the matrix is given, cell by cell."""
    parts = (json.loads(part.proto.json) for part in app.get("bidi_component") if part.proto.json)
    [matrix] = [part["cells"] for part in parts if "cells" in part]
    return {cell["id"]: cell for cell in matrix}


def test_what_is_measured_is_shown_while_the_rest_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fourth layer fails: the numbers of three are there, and the page around them."""
    real = heads.layer_importance

    def fails(rec: vitviz.Recording, layer: int, **kwargs: Any) -> Any:
        if layer == 3:
            raise RuntimeError("the processor has gone")
        return real(rec, layer, **kwargs)

    monkeypatch.setattr(heads, "layer_importance", fails)
    app = page("heads", sample="tower", statistic="importance")
    assert app.exception
    exact = 100 * head_importance(recording(app)).heads
    shown = cells(app)
    for layer in range(12):
        for head in range(6):
            cell = shown[f"{layer},{head}"]
            assert cell["text"] == (f"{exact[layer, head]:+.1f}" if layer < 3 else "…")
            assert (cell["level"] is None) == (layer >= 3)
    assert any("Layer" in heading.value for heading in app.subheader)


def test_the_mean_of_the_samples_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The third of them fails."""
    real, seen = heads.head_statistics, []

    def fails(rec: vitviz.Recording) -> Any:
        seen.append(rec)
        if len(seen) == 4:  # the first is the page's own photo
            raise RuntimeError("the processor has gone")
        return real(rec)

    monkeypatch.setattr(heads, "head_statistics", fails)
    st.cache_data.clear()
    app = page("heads", sample="tower", over="samples")
    assert app.exception
    photos = [vitviz.load_image(sample.path) for sample in vitviz.samples()[:2]]
    found = [real(vitviz.record(light_model(), photo)).distance[2, 4] for photo in photos]
    assert cells(app)["2,4"]["text"] == f"{np.mean(found):.0f}"


def test_predictions_without_heads_stand_beside_those_with_them() -> None:
    app = opened("heads", sample="cat")
    off = {(11, head) for head in range(6)}
    app.query_params["off"] = "-".join(f"{layer}.{head}" for layer, head in off) + "-99.0-x"
    app.run()
    expected = {p.label: p.probability for p in ablate(recording(app), off)}
    before = {p.label: p.probability for p in recording(app).predictions}
    table = app.dataframe[0].value
    assert recording(app).predictions[0].label in set(table["Class"])
    for _, row in table.iterrows():
        assert row["Now"] == pytest.approx(expected[row["Class"]])
        assert row["Before"] == pytest.approx(before[row["Class"]])
    [again] = [button for button in app.button if "Switch all on" in button.label]
    again.click().run()
    assert "off" not in app.query_params
    assert not any("Switch all on" in button.label for button in app.button)


def test_a_link_opens_a_head() -> None:
    assert any(text.value == "Layer 4, head 2" for text in opened("heads", open="4.2").subheader)
    assert any(text.value == "Layer 5, head 1" for text in opened("heads", open="4.9").subheader)


def test_the_page_speaks_chinese() -> None:
    app = opened("heads", lang="zh", off="3.1-3.2", statistic="entropy")
    assert list(app.dataframe[0].value) == ["类别", "现在", "之前"]
    assert any(button.label.startswith("已关闭的头：2") for button in app.button)
