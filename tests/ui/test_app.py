"""The page through Streamlit's AppTest: controls, links, uploads and errors."""

from __future__ import annotations

import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from pages import page
from PIL import Image
from streamlit.testing.v1 import AppTest
from visits import answer, recording, session, visit

import vitviz
from vitviz.ui.controls import photo_picker
from vitviz.ui.pages import explore
from vitviz.ui.visit import analyse
from vitviz.ui.visit.kept import Kept

UI = Path(vitviz.__file__).parent / "ui"
COFFEE = next(s.path for s in vitviz.samples() if s.id == "coffee").read_bytes()


@pytest.fixture
def forwards(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts how often the model runs."""
    runs: list[int] = []

    def counted(vit: vitviz.Vit, photo: Image.Image, *, whole: bool) -> vitviz.Recording:
        runs.append(1)
        return vitviz.record(vit, photo, whole=whole)

    monkeypatch.setattr(analyse, "record", counted)
    return runs


def opened(**params: str) -> AppTest:
    return page("explore", **params)


def upload(app: AppTest, data: bytes, name: str = "photo.jpg") -> None:
    app.file_uploader[0].upload(name, data, "image/jpeg").run()


def png(size: tuple[int, int]) -> bytes:
    buffer = BytesIO()
    Image.effect_noise(size, 50).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_sample_is_analysed_when_the_page_opens(forwards: list[int]) -> None:
    app = opened()
    assert len(forwards) == 1
    best = recording(app).predictions[0]
    [shown] = [e.proto.body for e in app.get("html") if "<ol" in e.proto.body]
    assert f"<li><span>{best.label}</span>" in shown
    assert f"<b>{best.probability:.1%}</b></li>" in shown
    assert shown.count("<li>") == 5


def test_a_sample_that_no_class_fits_says_so() -> None:
    sentence = "None of the classes that this model knows fits this photo"
    assert any(sentence in caption.value for caption in opened(sample="astronaut").caption)
    assert not any(sentence in caption.value for caption in opened(sample="coffee").caption)


def test_only_models_of_imagenets_classes_are_said_to_know_none() -> None:
    assert explore.none_fits(["tabby", "espresso"], ["palace"])
    assert not explore.none_fits(["tabby", "palace"], ["palace"])
    assert not explore.none_fits(["house", "tower"], ["palace"])  # whoever trained it may mean it
    assert not explore.none_fits(["tabby"], None)


def test_labels_are_shown_as_they_are() -> None:
    """A class name of somebody's own model is not markup."""
    app = opened()
    rec = recording(app)
    label = rec.vit.labels[rec.predictions[0].index]
    renamed = [f"<b>{name}" if name == label else name for name in rec.vit.labels]
    held = session(app)
    vit = replace(rec.vit, labels=tuple(renamed))
    visit(app).recorded["main"] = replace(held, kept=Kept(replace(rec, vit=vit), rests=False))
    app.run()
    [shown] = [e.proto.body for e in app.get("html") if "<ol" in e.proto.body]
    assert f"&lt;b&gt;{label}" in shown


def test_changing_a_control_never_runs_the_model_again(forwards: list[int]) -> None:
    app = opened()
    app.selectbox(key="method").set_value("attention").run()
    app.slider(key="attention_layer").set_value(3).run()
    app.pills(key="attention_head").set_value("2").run()
    app.text_input(key="query").set_value("5,7").run()
    app.slider(key="strength").set_value(0.9).run()
    app.toggle(key="shared").set_value(True).run()
    for view in ("layers", "all"):
        app.segmented_control(key="view").set_value(view).run()
    assert not app.exception
    assert len(forwards) == 1


def test_another_photo_runs_it_once(forwards: list[int]) -> None:
    app = opened()
    app.query_params["sample"] = "coffee"
    app.run()
    assert len(forwards) == 2
    assert recording(app).predictions[0].label == "espresso"


def test_a_link_opens_its_photo_layer_head_and_query() -> None:
    app = opened(sample="coffee", attention_layer="3", attention_head="2", query="5,7")
    assert recording(app).predictions[0].label == "espresso"
    assert app.slider(key="attention_layer").value == 3
    assert app.pills(key="attention_head").value == "2"
    assert app.text_input(key="query").value == "5,7"


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("sample", ["own", "no-such", "../../etc/passwd", ""])
def test_a_link_to_no_sample_opens_the_first(sample: str) -> None:
    app = opened(sample=sample)
    assert session(app).photo.data == vitviz.samples()[0].path.read_bytes()


def test_an_upload_replaces_the_sample() -> None:
    app = opened()
    upload(app, COFFEE, "cup.jpg")
    assert not app.exception
    assert recording(app).predictions[0].label == "espresso"


@pytest.mark.usefixtures("light")
def test_an_upload_survives_a_look_at_a_sample_and_is_forgotten_when_removed() -> None:
    app = opened()
    upload(app, COFFEE)
    app.query_params["sample"] = "tower"
    app.run()
    assert session(app).photo.data != COFFEE
    del app.query_params["sample"]  # as the gallery does, or going back in the browser
    app.run()
    assert session(app).photo.data == COFFEE
    [remove] = [button for button in app.button if button.label == "Remove your photo"]
    remove.click().run()
    assert visit(app).own is None
    assert session(app).photo.data != COFFEE


@pytest.mark.usefixtures("light")
def test_a_photo_that_was_taken_leaves_the_uploader_empty() -> None:
    """Whatever becomes of the photo later, the uploader has nothing more to do with it."""
    app = opened()
    upload(app, COFFEE)
    assert not app.file_uploader[0].value
    upload(app, vitviz.samples()[1].path.read_bytes())
    assert session(app).photo.data == vitviz.samples()[1].path.read_bytes()


@pytest.mark.usefixtures("light")
def test_a_bad_upload_leaves_the_last_photo_on_the_page() -> None:
    app = opened()
    upload(app, COFFEE)
    upload(app, b"text")
    assert len(app.error) == 1
    assert visit(app).refused is not None
    _, error = visit(app).refused
    assert error.__traceback__ is error.__context__ is None  # they would hold what was uploaded
    assert session(app).photo.data == COFFEE
    assert not app.file_uploader[0].value  # the menu is closed and empty: it would hide the error
    upload(app, COFFEE)
    assert not app.error
    assert session(app).photo.data == COFFEE


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"this is text", "not an image"),
        (b"", "not an image"),
    ],
)
def test_a_bad_file_gets_one_sentence(data: bytes, says: str) -> None:
    app = opened()
    upload(app, data, "bad.jpg")
    assert not app.exception
    [error] = app.error
    assert says in error.value
    assert "bad.jpg" in error.value


@pytest.mark.parametrize(
    ("size", "says"), [((5, 5), "smaller than one patch"), ((14, 281), "more than 20 times")]
)
def test_a_photo_of_impossible_size_gets_one_sentence(size: tuple[int, int], says: str) -> None:
    app = opened()
    upload(app, png(size))
    [error] = app.error
    assert says in error.value


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("size", [(14, 14), (14, 280), (1500, 75), (448, 300), (3000, 2000)])
def test_a_photo_of_any_other_size_is_shown_large_enough(size: tuple[int, int]) -> None:
    app = opened()
    upload(app, png(size))
    assert not app.exception
    assert not app.error
    shown = session(app)
    assert 448 <= max(shown.preview.size) <= 1024
    assert shown.preview.size == pytest.approx([shown.factor * side for side in size], abs=0.5)


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("name", ["a\n\n# b.jpg", "`a` [x](y).jpg", "``", " ", "a" * 300])
def test_a_file_name_is_shown_as_it_is(name: str) -> None:
    shown = photo_picker.as_code(name)
    assert shown.count("`") == 2
    assert shown[0] == shown[-1] == "`"
    assert 2 < len(shown) <= 82
    assert "\n" not in shown


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("query", ["99,0", "3", "a,b", "<b>", "1,2,3", "-1,0"])
def test_a_query_that_is_no_patch_is_refused_and_the_page_lives(query: str) -> None:
    app = opened()
    app.text_input(key="query").set_value(query).run()
    assert not app.exception
    assert f"`{query}`" in app.warning[0].value


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("method", [m.id for m in vitviz.METHODS.values() if not m.needs_pool])
def test_every_method_runs_with_every_option(method: str) -> None:
    app = opened()
    app.selectbox(key="method").set_value(method).run()
    assert not app.exception
    assert not app.warning
    for name in vitviz.METHODS[method].options:
        widgets = [*app.slider, *app.pills, *app.get("button_group")]
        assert any(f"{method}_{name}" == widget.key for widget in widgets), name
    shown = "slow answer" if vitviz.METHODS[method].slow else "answer"
    assert recording(app).derived.last(shown).method == method


def test_a_class_and_its_rival_are_chosen_by_name() -> None:
    app = opened(sample="cat-and-coffee", method="relevance")
    rec = recording(app)
    coffee = next(p for p in rec.predictions if p.label == "espresso").index
    cat = next(p for p in rec.predictions if p.label == "tabby").index
    app.selectbox(key="target").set_value("espresso").run()
    app.selectbox(key="versus").set_value("tabby").run()
    shown = answer(app)
    expected = vitviz.explain(rec, "relevance", target=coffee, versus=cat)
    assert (shown.values == expected.values).all()
    # On another photo the same class is asked for, not what is most probable there.
    app.query_params["sample"] = "tower"
    app.run()
    assert app.selectbox(key="target").value == "espresso"
    # The rival becomes the class: it is no rival any more.
    app.selectbox(key="target").set_value("tabby").run()
    assert not app.exception
    assert not app.warning
    assert app.selectbox(key="versus").value is None


@pytest.mark.usefixtures("light")
def test_the_class_follows_the_photo_until_one_is_chosen() -> None:
    app = opened(sample="cat-and-coffee", method="legrad")
    for sample in ("coffee", "tower"):
        app.query_params["sample"] = sample
        app.run()
        assert app.selectbox(key="target").value is None
        shown = answer(app)
        top = recording(app).predictions[0]
        expected = vitviz.explain(recording(app), "legrad", target=top.index)
        assert (shown.values == expected.values).all()
        assert top.label in app.selectbox(key="target").proto.placeholder


@pytest.mark.usefixtures("light")
def test_a_changed_colour_does_not_repeat_a_slow_method(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(method="occlusion")
    monkeypatch.setattr(explore, "explain", lambda *_, **__: pytest.fail("asked again"))
    app.selectbox(key="colours").set_value("viridis").run()
    assert not app.exception


def test_the_stylesheet_has_the_colours_of_the_theme() -> None:
    theme = (UI / "entry" / ".streamlit" / "config.toml").read_text()
    colours = re.findall(r"#[0-9a-f]{6}", (UI / "page.css").read_text())
    assert colours
    assert all(colour in theme for colour in colours)


CHINESE = re.compile("[\u4e00-\u9fff]")


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("method", vitviz.METHODS)
def test_every_control_speaks_chinese(method: str) -> None:
    app = opened(lang="zh", method=method, sample="coffee", strength="0.05")
    assert CHINESE.search(app.title[0].value)
    widgets = [*app.selectbox, *app.slider, *app.pills, *app.segmented_control, *app.toggle]
    assert all(CHINESE.search(widget.label) for widget in widgets)
    assert all(CHINESE.search(text.value) for text in [*app.caption, *app.subheader])
    assert all(CHINESE.search(button.label) for button in app.button if button.key != "to_en")


def test_another_language_loses_nothing() -> None:
    chosen = {"method": "rollout", "rollout_fusion": "max", "rollout_discard": "0.5"}
    app = opened(sample="coffee", **chosen)
    app.button(key="to_zh").click().run()
    assert app.selectbox(key="method").value == "rollout"
    assert app.segmented_control(key="rollout_fusion").value == "max"
    assert app.slider(key="rollout_discard").value == 0.5
    assert recording(app).predictions[0].label == "espresso"
    assert app.query_params["method"] == "rollout"
    assert app.query_params["rollout_fusion"] == "max"


def test_another_language_keeps_the_classes_and_says_what_was_wrong() -> None:
    app = opened(sample="cat-and-coffee", method="relevance", target="espresso", versus="tabby")
    upload(app, b"text", "bad.jpg")
    for language, first, error in (
        ("zh", "意式浓缩咖啡", "这不是这里能打开的图片"),
        ("en", "espresso", "This is not an image"),
    ):
        app.button(key=f"to_{language}").click().run()
        assert not app.exception
        assert app.selectbox(key="target").value == "espresso"
        assert app.selectbox(key="versus").value == "tabby"
        assert first in app.selectbox(key="target").options
        assert app.query_params["target"] == "espresso"
        assert f"`bad.jpg`: {error}" in app.error[0].value


@pytest.mark.usefixtures("light")
def test_going_back_in_the_browser_takes_the_choice_back() -> None:
    app = opened()
    app.selectbox(key="method").set_value("rollout").run()
    assert app.query_params["method"] == "rollout"
    del app.query_params["method"]
    app.run()
    assert app.selectbox(key="method").value == "attention"


@pytest.mark.usefixtures("light")
def test_a_choice_that_is_none_is_the_usual_one() -> None:
    app = opened(method="no-such", attention_head="99", view="")
    assert app.selectbox(key="method").value == "attention"
    assert app.pills(key="attention_head").value == "mean"
    assert app.segmented_control(key="view").value == "heads"
