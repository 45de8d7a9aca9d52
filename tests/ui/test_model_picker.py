"""Choosing a model, through Streamlit's AppTest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import fake_hub
import pytest
import timm
import torch
from fake_hub import NAME, Hub
from pages import PATIENCE, at, page
from streamlit.testing.v1 import AppTest
from timm.models import save_for_hf
from visits import recording, visit

from vitviz.ui.controls import model_picker
from vitviz.zoo.catalogue import BUNDLED, CURATED
from vitviz.zoo.hub import cached_weights

PAGES = ["explore", "compare", "heads"]


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one model of one's own; and a hub's cache with none."""
    save(tmp_path / "models" / "flowers", ["rose", "tulip"])
    monkeypatch.setenv("VITVIZ_MODELS", str(tmp_path / "models"))
    fake_hub.use("http://127.0.0.1:9", tmp_path / "cache", monkeypatch)
    return tmp_path / "models"


def save(folder: Path, labels: list[str]) -> None:
    torch.manual_seed(0)
    module = timm.create_model("vit_tiny_patch16_224", depth=2, num_classes=len(labels))
    save_for_hf(module, folder, safe_serialization=True, model_config={"label_names": labels})


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with fake_hub.running(fake_hub.weights()) as hub:
        fake_hub.use(hub.address, tmp_path / "cache", monkeypatch)
        monkeypatch.setenv("VITVIZ_ALLOW_DOWNLOADS", "1")
        yield hub


def listed(**params: str) -> AppTest:
    """What the dialog shows."""
    script = f"from vitviz.ui.controls.model_picker import model_list\nmodel_list({BUNDLED!r})"
    return at(AppTest.from_string(script, default_timeout=PATIENCE), **params)


def choose(app: AppTest, name: str) -> None:
    app.button(key="choose_model").click().run()
    app.button(key=f"choose {name}").click().run()


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("name", PAGES)
def test_the_page_says_which_model_it_shows(name: str) -> None:
    app = page(name, methods="attention")
    assert f"`{BUNDLED}`" in app.button(key="choose_model").label
    assert recording(app).vit.name == BUNDLED


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("name", PAGES)
def test_a_link_opens_a_model_of_ones_own(name: str) -> None:
    app = page(name, model="flowers", methods="attention")
    assert not app.error
    assert "`flowers`" in app.button(key="choose_model").label
    assert {p.label for p in recording(app).predictions} == {"rose", "tulip"}


def test_the_list_has_the_models_here_and_those_worth_a_look() -> None:
    app = page("explore")
    app.button(key="choose_model").click().run()
    offered = [key for key in keys(app) if key and key.startswith("choose ")]
    assert offered == [f"choose {name}" for name in (BUNDLED, "flowers", *CURATED)]
    assert app.button(key=f"choose {BUNDLED}").disabled
    said = " ".join(text.value for text in app.markdown)
    assert "licence cc-by-nc-4.0: not for commercial use" in said
    assert "licence dinov3-license: terms of its own" in said
    assert all(note in said for _, note in CURATED.values())


def test_choosing_one_puts_it_into_the_address_and_back_again() -> None:
    app = page("explore", sample="coffee")
    choose(app, "flowers")
    assert app.query_params["model"] == "flowers"
    assert recording(app).vit.name == "flowers"
    assert not app.exception
    choose(app, BUNDLED)
    assert "model" not in app.query_params
    assert recording(app).predictions[0].label == "espresso"


def test_a_folder_that_is_added_appears_and_one_written_anew_is_used(own: Path) -> None:
    app = page("explore")
    save(own / "later", ["a", "b", "c"])
    choose(app, "later")
    assert sorted(p.label for p in recording(app).predictions) == ["a", "b", "c"]
    save(own / "later", ["x", "y", "z"])
    app.run()
    assert sorted(p.label for p in recording(app).predictions) == ["x", "y", "z"]


def test_search_finds_models_of_timm() -> None:
    app = listed()
    app.text_input(key="model_search").set_value("giant dinov2").run()
    assert "choose vit_giant_patch14_dinov2.lvd142m" in keys(app)
    assert "choose flowers" not in keys(app)
    app.text_input(key="model_search").set_value("vit").run()
    assert any(re.match(r"And \d+ more", text.value) for text in app.caption)
    app.text_input(key="model_search").set_value("<b>nonsense").run()
    assert "No pretrained model" in app.info[0].value


def keys(app: AppTest) -> list[str | None]:
    return [button.key for button in app.button]


@pytest.mark.parametrize(
    "name", ["no-such", "../models/flowers", "/etc/passwd", "hf-hub:timm/x", "local-dir:/", "`a`"]
)
def test_a_link_to_no_model_says_so_and_shows_the_bundled_one(name: str) -> None:
    app = page("explore", model=name)
    assert "There is no model called" in app.warning[0].value
    assert recording(app).vit.name == BUNDLED


def test_without_leave_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VITVIZ_ALLOW_DOWNLOADS", raising=False)
    app = page("explore", model="vit_base_patch16_224.mae")
    assert "not for commercial use" in " ".join(text.value for text in app.markdown)
    assert "python -m vitviz fetch `vit_base_patch16_224.mae`" in app.warning[0].value
    assert "Fetch the weights" not in labels(app)
    [back] = [button for button in app.button if button.label == "Back to the bundled model"]
    back.click().run()
    assert recording(app).vit.name == BUNDLED


def test_with_leave_they_are_fetched_after_a_click(hub: Hub) -> None:
    app = page("explore", model=NAME)
    assert hub.asked == []
    assert any("about 39 MB" in text.value for text in app.markdown)
    assert any("licence apache-2.0" in text.value for text in app.markdown)
    assert not visit(app).recorded
    [fetch] = [button for button in app.button if button.label == "Fetch the weights"]
    fetch.click().run()
    assert not app.exception
    assert cached_weights(f"timm/{NAME}") is not None
    assert recording(app).vit.name == NAME
    assert "Fetch the weights" not in labels(app)


@pytest.mark.usefixtures("hub")
def test_weights_are_fetched_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    class Busy:
        """Held by somebody else for a while."""

        answers: ClassVar[list[bool]] = [True, False, False]

        def acquire(self, timeout: float) -> bool:
            assert timeout < 1
            assert cached_weights(f"timm/{NAME}") is None
            return self.answers.pop()

        def release(self) -> None:
            self.answers.append(True)

    monkeypatch.setattr(model_picker, "one_at_a_time", Busy)
    app = page("explore", model=NAME)
    [fetch] = [button for button in app.button if button.label == "Fetch the weights"]
    fetch.click().run()
    assert recording(app).vit.name == NAME
    assert Busy.answers == [True]


def test_a_hub_that_refuses_is_explained_and_the_page_lives(hub: Hub) -> None:
    hub.status, hub.headers = 401, {"x-error-code": "GatedRepo"}
    app = page("explore", model=NAME)
    [fetch] = [button for button in app.button if button.label == "Fetch the weights"]
    fetch.click().run()
    assert not app.exception
    assert "hf auth login" in app.error[0].value
    assert cached_weights(f"timm/{NAME}") is None
    hub.status, hub.headers = 200, {}
    [fetch] = [button for button in app.button if button.label == "Fetch the weights"]
    fetch.click().run()
    assert recording(app).vit.name == NAME


def test_a_model_that_is_too_large_is_not_offered_for_fetching(hub: Hub) -> None:
    app = page("explore", model="vit_7b_patch16_dinov3.lvd1689m")
    assert "at most 350 million" in app.warning[0].value
    assert "Fetch the weights" not in labels(app)
    assert hub.asked == []


def test_a_broken_model_is_one_sentence_without_a_path(own: Path) -> None:
    weights = own / "flowers" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    app = page("explore", model="flowers")
    assert "The model flowers cannot be loaded" in app.error[0].value
    assert str(own) not in app.error[0].value


@pytest.mark.usefixtures("light")
def test_another_model_can_stand_beside_it_on_compare() -> None:
    app = page("compare", methods="attention", beside="flowers", sample="coffee")
    assert not app.error
    assert recording(app).vit.name == BUNDLED
    assert visit(app).recorded["second"].rec.vit.name == "flowers"
    assert len(app.dataframe) == 2


@pytest.mark.usefixtures("light")
def test_classes_without_names_can_be_compared(own: Path) -> None:
    config = own / "flowers" / "config.json"
    config.write_text(config.read_text().replace('"label_names"', '"ignored"'))
    app = page("compare", methods="attention", model="flowers")
    assert not app.error
    assert any("class 0" in text.value or "class 1" in text.value for text in app.markdown)


def test_the_picker_speaks_chinese() -> None:
    app = listed(lang="zh")
    assert app.button(key="choose flowers").label == "选择"
    said = " ".join(text.value for text in app.markdown)
    assert "不得用于商业目的" in said
    assert "The standard" not in said
