"""`vitviz app`: Streamlit is started with the script and the configuration beside it."""

from __future__ import annotations

import runpy
import sys
from importlib.util import find_spec

import pytest
from streamlit import config

from vitviz.commands import app
from vitviz.commands.main import main


def test_streamlit_runs_the_script_at_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["vitviz"])
    started: list[list[str]] = []
    monkeypatch.setattr(runpy, "run_module", lambda name, **_: started.append([name, *sys.argv]))
    assert main(["app", "--port", "8700"]) == 0
    command = [app.SERVER, "streamlit", "run", str(app.SCRIPT), "--server.port", "8700"]
    assert started == [command]
    assert app.SCRIPT.is_file()
    assert find_spec(app.SERVER)


def test_streamlit_reads_the_configuration_beside_the_script(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(config, "_main_script_path", str(app.SCRIPT))
    expected = app.SCRIPT.parent / ".streamlit" / "config.toml"
    assert config.get_config_files("config.toml")[-1] == str(expected)
    assert expected.is_file()


@pytest.mark.parametrize("absent", app.NEEDED)
def test_without_streamlit_one_sentence_says_what_to_install(
    absent: str, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(app, "find_spec", lambda name: None if name == absent else object())
    assert main(["app"]) == 2
    said = capsys.readouterr().err
    assert said == "vitviz: The app needs Streamlit: pip install 'vitviz[app]'.\n"


@pytest.mark.parametrize("port", ["65536", "-1", "http", "8e3"])
def test_what_is_no_port_is_refused(port: str, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["app", f"--port={port}"])
    assert ended.value.code == 2
    assert "is no port; give one from 0 to 65535" in capsys.readouterr().err
