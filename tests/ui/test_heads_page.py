"""The Heads page through Streamlit's AppTest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from light_model import light_model, light_pages
from pages import opened
from visits import recording

import vitviz
from vitviz.inside.heads import ablate, head_importance, head_statistics


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
    shown = recording(app).derived.last("importance")
    assert (shown == head_importance(recording(app)).heads).all()
    app.segmented_control(key="mode").set_value("switch").run()
    assert recording(app).derived.last("importance") is shown
    app.segmented_control(key="over").set_value("samples").run()
    assert "choose “This photo”" in app.error[0].value


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
    assert any(text.value == "Layer 11, head 0" for text in opened("heads", open="4.9").subheader)


def test_the_page_speaks_chinese() -> None:
    app = opened("heads", lang="zh", off="3.1-3.2", statistic="entropy")
    assert list(app.dataframe[0].value) == ["类别", "现在", "之前"]
    assert any(button.label.startswith("已关闭的头：2") for button in app.button)
