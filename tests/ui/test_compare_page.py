"""The Compare page through Streamlit's AppTest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from light_model import light_pages
from pages import page
from streamlit.testing.v1 import AppTest
from visits import recording, visit

import vitviz
from vitviz.measures import comparison
from vitviz.measures.comparison import CLOSE, FINE, Measured, measure
from vitviz.measures.curves import deletion, insertion
from vitviz.ui.pages import measuring
from vitviz.ui.visit.language import class_names

ROOT = Path(__file__).parents[2]


def quick(rec: vitviz.Recording, method: str, target: int | None = None) -> Measured:
    """This model's methods all lie close together."""
    return measure(rec, method, target, tolerance=FINE)


def scores(app: AppTest) -> dict[str, float]:
    table = app.dataframe[0].value
    return dict(zip(table["Method"], table["Both ↑"], strict=True))


@pytest.fixture(scope="module", autouse=True)
def _light() -> Iterator[None]:
    with light_pages():
        yield


@pytest.fixture(scope="module")
def two_subjects() -> AppTest:
    return page("compare", sample="cat-and-coffee", methods="relevance,rollout")


def test_its_numbers_are_the_librarys(two_subjects: AppTest) -> None:
    assert not two_subjects.exception
    rec = recording(two_subjects)
    expected = quick(rec, "relevance")
    shown = scores(two_subjects)
    assert set(shown) == {"Relevance", "Attention rollout", "Random"}
    assert shown["Relevance"] == pytest.approx(expected.score)
    assert list(shown.values()) == sorted(shown.values(), reverse=True)
    best = max(shown.keys() - {"Random"}, key=lambda name: shown[name])
    verdicts = [f"**{best}** is what this model’s behaviour supports most", f"The best, {best}, "]
    assert any(said in text.value for text in two_subjects.markdown for said in verdicts)


def test_moving_along_the_curve_measures_nothing_again(
    two_subjects: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "curves_of", lambda *_, **__: pytest.fail("measured again"))
    before = scores(two_subjects)
    two_subjects.select_slider(key="step").set_value(9).run()
    two_subjects.segmented_control(key="change").set_value("insertion").run()
    assert not two_subjects.exception
    assert scores(two_subjects) == before
    assert any("56% of the patches revealed" in text.value for text in two_subjects.caption)


def test_another_class_is_measured_for_itself(two_subjects: AppTest) -> None:
    two_subjects.pills(key="methods").set_value(["relevance"]).run()
    two_subjects.selectbox(key="target").set_value("espresso").run()
    assert not two_subjects.exception
    rec = recording(two_subjects)
    target = next(p.index for p in rec.predictions if p.label == "espresso")
    expected = quick(rec, "relevance", target)
    assert scores(two_subjects)["Relevance"] == pytest.approx(expected.score)


def test_no_method_is_no_error() -> None:
    app = page("compare", methods="attention")
    app.pills(key="methods").set_value([]).run()
    assert not app.exception
    assert "Choose a method" in app.info[0].value


def test_two_photos_stand_beside_each_other() -> None:
    app = page("compare", sample="cat", beside="coffee", methods="attention")
    assert len(app.dataframe) == 2
    other = visit(app).recorded["second"].rec
    [coffee] = [sample for sample in vitviz.samples() if sample.id == "coffee"]
    assert torch.equal(other.pixels, other.vit.transform(vitviz.load_image(coffee.path)))
    expected = quick(other, "attention").score
    table = app.dataframe[1].value
    assert dict(zip(table["Method"], table["Both ↑"], strict=True))["Attention"] == pytest.approx(
        expected
    )


def test_the_page_speaks_chinese() -> None:
    app = page("compare", lang="zh", sample="coffee", methods="attention")
    assert set(app.dataframe[0].value["方法"]) == {"注意力", "随机"}
    [chart] = app.get("vega_lite_chart")
    assert json.loads(chart.proto.spec)["config"]["axisY"]["titleAngle"] == 0
    assert any("曲线下的面积" in text.value for text in app.markdown)
    top = recording(app).predictions[0].label
    name = class_names("zh")[top]
    assert any(f"对于 `{name}`" in text.value for text in app.markdown)
    assert f"`{name}`" in app.caption[-1].value
    assert "虎斑猫" in app.selectbox(key="target").options
    first = app.dataframe[0].value["方法"].iloc[0]
    assert f"按“{first}”从最相关的开始" in app.caption[-1].value
