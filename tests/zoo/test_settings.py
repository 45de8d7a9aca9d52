"""What a server's owner says in the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from vitviz.errors import VitvizError
from vitviz.zoo import settings


def test_without_a_word_nothing_is_fetched_for_visitors(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "ALLOW_DOWNLOADS",
        "MAX_PARAMETERS",
        "MAX_VISITORS",
        "MODELS_IN_MEMORY",
        "MODELS",
        "METRICS_PORT",
        "DRAIN_SECONDS",
        "LOG",
    ):
        monkeypatch.delenv(f"VITVIZ_{name}", raising=False)
    assert not settings.allow_downloads()
    assert settings.own_models() == Path("models")
    assert settings.models_in_memory() == 3
    assert settings.max_parameters() == 350_000_000
    assert settings.max_visitors() == 64
    assert settings.metrics_port() is None
    assert settings.drain_seconds() == 0
    assert not settings.logs_are_json()


def test_each_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITVIZ_ALLOW_DOWNLOADS", "1")
    monkeypatch.setenv("VITVIZ_MAX_PARAMETERS", "90_000_000")
    monkeypatch.setenv("VITVIZ_MAX_VISITORS", "7")
    monkeypatch.setenv("VITVIZ_MODELS_IN_MEMORY", "1")
    monkeypatch.setenv("VITVIZ_MODELS", "/somewhere")
    monkeypatch.setenv("VITVIZ_METRICS_PORT", "9501")
    monkeypatch.setenv("VITVIZ_DRAIN_SECONDS", "600")
    monkeypatch.setenv("VITVIZ_LOG", "json")
    assert settings.allow_downloads()
    assert settings.max_parameters() == 90_000_000
    assert settings.max_visitors() == 7
    assert settings.models_in_memory() == 1
    assert settings.own_models() == Path("/somewhere")
    assert settings.metrics_port() == 9501
    assert settings.drain_seconds() == 600
    assert settings.logs_are_json()


@pytest.mark.parametrize("text", ["yes", "true", "2", " "])
def test_a_word_that_says_neither_is_an_error(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITVIZ_ALLOW_DOWNLOADS", text)
    with pytest.raises(VitvizError, match="set it to 0 or 1"):
        settings.allow_downloads()


@pytest.mark.parametrize("text", ["many", "0", "-5", "1.5"])
def test_a_number_that_is_none_is_an_error(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITVIZ_MAX_PARAMETERS", text)
    with pytest.raises(VitvizError, match=r"VITVIZ_MAX_PARAMETERS is .*whole number above 0"):
        settings.max_parameters()


@pytest.mark.parametrize(
    ("name", "text", "asked"),
    [("METRICS_PORT", "65536", "metrics_port"), ("LOG", "xml", "logs_are_json")],
)
def test_what_cannot_be_is_said(
    name: str, text: str, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"VITVIZ_{name}", text)
    with pytest.raises(VitvizError, match=f"VITVIZ_{name} is .*{text}"):
        getattr(settings, asked)()
