"""The Journey page through Streamlit's AppTest: what the browser is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from pages import opened, page
from streamlit.testing.v1 import AppTest
from timm.models import save_for_hf
from visits import recording

from vitviz.journey.document import cls_document, named_arrays
from vitviz.journey.page import words
from vitviz.ui.parts import journey
from vitviz.ui.visit.language import class_names


class Sent:
    """What the component was given in the last run, and the arrays at each of its addresses."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}
        self.bytes: dict[str, bytes] = {}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    found = Sent()

    def address(data: bytes, place: str) -> str:
        found.bytes[place] = data
        return place

    def component(*, data: dict[str, Any], **_: Any) -> None:
        found.data = data

    monkeypatch.setattr(journey, "numbers_address", address)
    monkeypatch.setattr(journey, "_component", component)
    return found


def arrays(sent: Sent) -> dict[str, bytes]:
    return {name: sent.bytes[place] for name, place in sent.data["addresses"].items()}


@pytest.mark.usefixtures("light")
def test_the_document_is_sent(sent: Sent) -> None:
    app = opened("journey", sample="cat")
    document = cls_document(recording(app))
    assert arrays(sent) == {name: v.tobytes() for name, v in document.arrays.items()}
    assert sent.data["header"] == {**document.header, "missing": {}}
    assert sent.data["words"] == words("en")


@pytest.mark.usefixtures("light")
def test_what_is_asked_for_is_sent_too(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened("journey", sample="cat")
    names = ["query 3", "key 3", "gaze 5,7", "state 5,7", "nothing"]
    monkeypatch.setattr(journey, "_asked", lambda: names)
    app.run()
    exact = named_arrays(recording(app), names)
    assert len(exact) == 4
    found = arrays(sent)
    assert {name: found[name] for name in exact} == {n: v.tobytes() for n, v in exact.items()}
    assert "nothing" not in found
    heads = np.frombuffer(found["query 3"], np.float16)
    assert heads.size == exact["query 3"].size


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("question", ["query 3", 7, {"a": 1}, [None], ["gaze 99,99"]], ids=repr)
def test_a_question_that_is_none_is_no_error(
    sent: Sent, question: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journey, "_asked", lambda: question)
    app = opened("journey", sample="cat")
    assert set(sent.data["addresses"]) == set(cls_document(recording(app)).arrays)


@pytest.mark.usefixtures("light")
def test_the_classes_have_the_pages_language(sent: Sent) -> None:
    app = opened("journey", sample="cat", lang="zh")
    assert sent.data["words"] == words("zh")
    label, name = {p.index: p.label for p in recording(app).predictions}, class_names("zh")
    assert sent.data["header"]["labels"] == {
        index: name[label[index]] for index in sent.data["header"]["labels"]
    }


@pytest.mark.usefixtures("light")
def test_another_photo_or_language_is_another_journey(sent: Sent) -> None:
    seen = set()
    for address in ({"sample": "cat"}, {"sample": "coffee"}, {"sample": "cat", "lang": "zh"}):
        opened("journey", **address)
        seen.add(sent.data["recording"])
    assert len(seen) == 3
    opened("journey", sample="cat")
    assert sent.data["recording"] in seen


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the app looks for models besides its own."""
    monkeypatch.setenv("VITVIZ_MODELS", str(tmp_path))
    return tmp_path


def add(models: Path, name: str, **sizes: Any) -> str:
    """A small random model of timm's."""
    torch.manual_seed(0)
    module = timm.create_model(name, **sizes)
    save_for_hf(module, models / name, model_args=sizes, safe_serialization=True)
    return name


@pytest.mark.parametrize(("lang", "part"), [("en", "of their own"), ("zh", "自己的窗口或网格")])
def test_a_layered_model_says_what_it_has_not(
    models: Path, sent: Sent, lang: str, part: str
) -> None:
    swin = add(models, "swin_tiny_patch4_window7_224", depths=(1, 1, 1, 1), embed_dim=24)
    app: AppTest = page("journey", model=swin, lang=lang)
    assert not app.warning
    assert list(sent.data["header"]["missing"]) == ["matrices"]
    assert part in sent.data["header"]["missing"]["matrices"]
    assert "`" not in sent.data["header"]["missing"]["matrices"]
    assert arrays(sent) == {
        name: values.tobytes() for name, values in cls_document(recording(app)).arrays.items()
    }


@pytest.mark.parametrize(("lang", "place"), [("en", "Explore page"), ("zh", "“探索”页面")])
def test_a_model_whose_channels_look_says_why_it_has_none_and_where_to_go(
    models: Path, sent: Sent, lang: str, place: str
) -> None:
    xcit = add(models, "xcit_nano_12_p16_224", depth=1)
    app: AppTest = page("journey", model=xcit, lang=lang)
    [warning] = app.warning
    assert ("does not have one map over all tokens" in warning.value) == (lang == "en")
    assert place in warning.value
    assert not sent.data
