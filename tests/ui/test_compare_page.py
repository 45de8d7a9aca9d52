"""The Compare page through Streamlit's AppTest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from light_model import light_pages
from pages import PATIENCE, page
from streamlit.testing.v1 import AppTest
from visits import recording, visit

import vitviz
from vitviz.measures.comparison import FINE, Measured, maps_of, measure
from vitviz.measures.curves import deletion, insertion, value_at
from vitviz.ui.pages import measuring
from vitviz.ui.visit.kept import Kept
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
    with pytest.MonkeyPatch.context() as patch, light_pages(patch):
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


def test_exact_is_what_the_library_measures() -> None:
    app = page("compare", sample="coffee", methods="attention", exact="true")
    rec = replace(recording(app))  # from which nothing is derived
    heat = vitviz.explain(rec, "attention")
    expected = insertion(rec, heat).area - deletion(rec, heat).area
    assert scores(app)["Attention"] == pytest.approx(expected, abs=1e-6)
    assert not any("Quick" in text.value for text in app.caption)
    app.toggle(key="exact").set_value(False).run()
    assert any("Quick" in text.value for text in app.caption)
    assert scores(app)["Attention"] == pytest.approx(quick(rec, "attention").score, abs=1e-6)


def test_between_two_points_of_a_quick_curve_the_model_runs_again() -> None:
    app = page("compare", sample="coffee", methods="attention", change="insertion", step="5")
    rec = recording(app)
    [heat] = maps_of(rec, "attention")
    if "Attention" not in app.caption[-1].value:  # the random orders came first
        app.session_state["visit"].panels["alone"] = "attention"
        app.run()
    expected = value_at(replace(rec), heat, 5 / 16, "insertion")
    assert f"{expected:.1%}" in app.caption[-1].value


def test_what_is_not_finished_has_no_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fourth curve fails: three of six are there, those of the shown kind."""
    real, asked = measuring.curves_of, []

    def fails(rec: vitviz.Recording, maps: Any, change: Any, *args: Any) -> Any:
        asked.append((maps[0].method, change))
        if len(asked) == 4:
            raise RuntimeError("the processor has gone")
        return real(rec, maps, change, *args)

    monkeypatch.setattr(measuring, "curves_of", fails)
    script = "from vitviz.ui.pages import compare\ncompare.page()"
    app = AppTest.from_string(script, default_timeout=PATIENCE)
    for name, value in {"sample": "coffee", "methods": "attention,rollout"}.items():
        app.query_params[name] = value
    app.query_params["change"] = "insertion"
    app.run()
    assert app.exception
    shown_first = [(method, "insertion") for method in ("attention", "rollout", "random")]
    assert asked == [*shown_first, ("attention", "deletion")]
    assert any("3 of 6 curves measured" in text.value for text in app.markdown)
    [chart] = app.get("vega_lite_chart")
    assert json.loads(chart.proto.spec)["layer"]
    assert not app.dataframe
    assert not any("supports most" in text.value for text in app.markdown)
    assert not any("None of these maps" in text.value for text in app.markdown)
    assert not any("Rank" in json.dumps(sheet) for sheet in sheets(app))
    assert len(sheets(app)) == 1

    monkeypatch.setattr(measuring, "curves_of", real)
    with passes(recording(app)) as finishing:
        app.run()
    assert not app.exception
    assert set(scores(app)) == {"Attention", "Attention rollout", "Random"}
    assert any("Rank 1" in json.dumps(sheet) for sheet in sheets(app))
    held, new = visit(app).recorded, Kept(replace(recording(app)), rests=False)
    held["main"] = replace(held["main"], kept=new, common=None)
    with passes(recording(app)) as whole:
        app.run()
    revealing = 4 * 3  # two methods and two random orders, at three points or more
    assert 0 < sum(finishing) <= sum(whole) - revealing


@contextmanager
def passes(rec: vitviz.Recording) -> Iterator[list[int]]:
    """The sizes of the batches that the model is given."""
    sizes: list[int] = []
    hook = rec.vit.module.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    yield sizes
    hook.remove()


def sheets(app: AppTest) -> list[Any]:
    """What the sheets of maps are given."""
    parts = (json.loads(part.proto.json) for part in app.get("bidi_component") if part.proto.json)
    return [part for part in parts if "maps" in part]


def test_a_method_that_is_refused_is_left_out_and_not_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, asked = measuring.maps_of, []

    def refuses(rec: vitviz.Recording, method: str, *args: Any, **kwargs: Any) -> Any:
        asked.append(method)
        if method == "rollout":
            raise vitviz.MethodError("no_such_thing", "Not on this photo.")
        return real(rec, method, *args, **kwargs)

    monkeypatch.setattr(measuring, "maps_of", refuses)
    app = page("compare", sample="tower", methods="attention,rollout")
    assert set(scores(app)) == {"Attention", "Random"}
    assert "Not on this photo." in app.warning[0].value
    app.select_slider(key="step").set_value(3).run()
    assert "Not on this photo." in app.warning[0].value
    assert asked == ["attention", "rollout", "random"]


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
