"""The page through Streamlit's AppTest: controls, links, uploads and errors."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

import vitviz
from vitviz.ui import explore
from vitviz.ui import session as ui_session

APP = str(Path(__file__).parent.parent / "app.py")


@pytest.fixture
def forwards(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts how often the model runs."""
    runs: list[int] = []

    def counted(vit: vitviz.Vit, photo: Image.Image) -> vitviz.Recording:
        runs.append(1)
        return vitviz.record(vit, photo)

    monkeypatch.setattr(ui_session, "record", counted)
    return runs


def opened(**params: str) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=120)
    for key, value in params.items():
        app.query_params[key] = value
    return app.run()


def recording(app: AppTest) -> vitviz.Recording:
    return app.session_state["session"].rec


def test_a_sample_is_analysed_when_the_page_opens(forwards: list[int]) -> None:
    app = opened()
    assert not app.exception
    assert len(forwards) == 1
    best = recording(app).predictions[0]
    [shown] = [e.proto.body for e in app.get("html") if "predictions" in e.proto.body]
    assert f"<span>{best.label}</span><b>{best.probability:.1%}</b>" in shown
    assert shown.count("<li>") == 5


def test_labels_are_shown_as_they_are() -> None:
    """A class name of somebody's own model is not markup."""
    app = opened()
    rec = recording(app)
    label = rec.vit.labels[rec.predictions[0].index]
    renamed = [f"<b>{name}" if name == label else name for name in rec.vit.labels]
    held = app.session_state["session"]
    vit = replace(rec.vit, labels=tuple(renamed))
    app.session_state["session"] = replace(held, rec=replace(rec, vit=vit))
    app.run()
    [shown] = [e.proto.body for e in app.get("html") if "predictions" in e.proto.body]
    assert f"&lt;b&gt;{label}" in shown


def test_changing_a_control_never_runs_the_model_again(forwards: list[int]) -> None:
    app = opened()
    app.selectbox(key="method").set_value("attention").run()
    app.slider(key="attention_layer").set_value(3).run()
    app.pills(key="attention_head").set_value("2").run()
    app.text_input(key="query").set_value("5,7").run()
    app.slider(key="strength").set_value(0.9).run()
    app.toggle(key="shared").set_value(True).run()
    for view in ("Layers of this head", "All layers and heads"):
        app.segmented_control(key="view").set_value(view).run()
    assert not app.exception
    assert len(forwards) == 1


def test_another_photo_runs_it_once(forwards: list[int]) -> None:
    app = opened()
    app.session_state["photo"] = "coffee"
    app.run()
    assert len(forwards) == 2
    assert recording(app).predictions[0].label == "espresso"


def test_a_link_opens_its_photo_layer_head_and_query() -> None:
    app = opened(sample="coffee", attention_layer="3", attention_head="2", query="5,7")
    assert recording(app).predictions[0].label == "espresso"
    assert app.slider(key="attention_layer").value == 3
    assert app.pills(key="attention_head").value == "2"
    assert app.text_input(key="query").value == "5,7"


@pytest.mark.parametrize("sample", ["own", "no-such", "../../etc/passwd", ""])
def test_a_link_to_no_sample_opens_the_first(sample: str) -> None:
    app = opened(sample=sample)
    assert not app.exception
    assert app.session_state["session"].data == vitviz.samples()[0].path.read_bytes()


def test_an_upload_replaces_the_sample() -> None:
    app = opened()
    coffee = next(s for s in vitviz.samples() if s.id == "coffee")
    app.file_uploader(key="upload").upload("cup.jpg", coffee.path.read_bytes(), "image/jpeg").run()
    assert not app.exception
    assert recording(app).predictions[0].label == "espresso"


def test_an_upload_survives_a_look_at_a_sample_and_is_forgotten_when_removed() -> None:
    app = opened()
    coffee = next(s for s in vitviz.samples() if s.id == "coffee").path.read_bytes()
    app.file_uploader(key="upload").upload("cup.jpg", coffee, "image/jpeg").run()
    app.session_state["photo"] = "rocket"
    app.run()
    assert app.session_state["session"].data != coffee
    app.session_state["photo"] = "own"
    app.run()
    assert app.session_state["session"].data == coffee
    app.file_uploader(key="upload").set_value([]).run()
    assert "own" not in app.session_state
    assert app.session_state["session"].data != coffee


def test_a_bad_upload_leaves_the_last_photo_on_the_page() -> None:
    app = opened()
    coffee = next(s for s in vitviz.samples() if s.id == "coffee").path.read_bytes()
    app.file_uploader(key="upload").upload("cup.jpg", coffee, "image/jpeg").run()
    app.file_uploader(key="upload").upload("bad.jpg", b"text", "image/jpeg").run()
    assert len(app.error) == 1
    assert app.session_state["session"].data == coffee


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"this is text", "not an image"),
        (b"", "not an image"),
    ],
)
def test_a_bad_file_gets_one_sentence(data: bytes, says: str) -> None:
    app = opened()
    app.file_uploader(key="upload").upload("bad.jpg", data, "image/jpeg").run()
    assert not app.exception
    [error] = app.error
    assert says in error.value
    assert "bad.jpg" in error.value


def test_a_tiny_photo_gets_one_sentence() -> None:
    buffer = BytesIO()
    Image.new("RGB", (5, 5)).save(buffer, "PNG")
    app = opened()
    app.file_uploader(key="upload").upload("tiny.png", buffer.getvalue(), "image/png").run()
    [error] = app.error
    assert "smaller than one patch" in error.value


@pytest.mark.parametrize("query", ["99,0", "3", "a,b", "<b>", "1,2,3", "-1,0"])
def test_a_query_that_is_no_patch_is_refused_and_the_page_lives(query: str) -> None:
    app = opened()
    app.text_input(key="query").set_value(query).run()
    assert not app.exception
    assert query in app.warning[0].value


@pytest.mark.parametrize("method", list(vitviz.METHODS))
def test_every_method_runs_with_every_option(method: str) -> None:
    app = opened()
    app.selectbox(key="method").set_value(method).run()
    assert not app.exception
    assert not app.warning
    for name in vitviz.METHODS[method].options:
        widgets = [*app.slider, *app.pills, *app.get("button_group")]
        assert any(f"{method}_{name}" == widget.key for widget in widgets), name
    _, heat = app.session_state["answer"]
    assert heat.method == method


def test_a_class_and_its_rival_are_chosen_by_name() -> None:
    app = opened(sample="cat-and-coffee", method="Relevance")
    rec = recording(app)
    coffee = next(p for p in rec.predictions if p.label == "espresso").index
    cat = next(p for p in rec.predictions if p.label == "tabby").index
    app.selectbox(key="target").set_value("espresso").run()
    app.selectbox(key="versus").set_value("tabby").run()
    _, shown = app.session_state["answer"]
    expected = vitviz.explain(rec, "relevance", target=coffee, versus=cat)
    assert (shown.values == expected.values).all()
    # The rival becomes the class: it is no rival any more.
    app.selectbox(key="target").set_value("tabby").run()
    assert not app.exception
    assert not app.warning
    assert app.selectbox(key="versus").value is None


def test_a_changed_colour_does_not_repeat_a_slow_method(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(method="Occlusion")
    monkeypatch.setattr(explore, "explain", lambda *_, **__: pytest.fail("asked again"))
    app.selectbox(key="colours").set_value("viridis").run()
    assert not app.exception
