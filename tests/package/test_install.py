"""`.ci/install` with a uv and a pip that only write down how they were called."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """#!/usr/bin/env bash
echo "$(basename "$0") $*" >> calls
case "$*" in {fails}) exit 1 ;; esac
"""
BOOTSTRAP = "python -m pip install --quiet -c constraints.txt uv"
UV = "uv pip install --quiet --compile-bytecode --python .venv/bin/python"
PROBE = f"{UV} --torch-backend=auto --dry-run --no-deps"
FOR_THE_MACHINE = f"{UV} --torch-backend=auto -r wanted.txt"
USUAL = f"{UV} -r wanted.txt"
WITH_PIP = "python -m pip install --quiet -r wanted.txt"


def installed(folder: Path, uv_fails: str = "", pip_fails: str = "") -> tuple[int, str, list[str]]:
    """The script's exit code, what it says, and every call it made.

    Args:
        uv_fails, pip_fails: patterns of the calls that fail.
    """
    (folder / ".ci").mkdir()
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "install", folder / ".ci")
    shutil.copy(ROOT / "constraints.txt", folder)
    for name, fails in (("uv", uv_fails), ("python", pip_fails)):
        (programs / name).write_text(PROGRAM.format(fails=fails or "''"))
        (programs / name).chmod(0o755)
    command = [folder / ".ci" / "install", "-r", "wanted.txt"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    return done.returncode, done.stdout, (folder / "calls").read_text().splitlines()


def test_uv_takes_torch_for_the_machine(tmp_path: Path) -> None:
    code, said, calls = installed(tmp_path)
    torch = [line for line in (ROOT / "constraints.txt").read_text().split() if "torch" in line]
    pins = [pin for pin in torch if "==" in pin]
    assert (code, said) == (0, "")
    assert calls == [BOOTSTRAP, f"{PROBE} {' '.join(pins)}", FOR_THE_MACHINE]


@pytest.mark.parametrize(
    "fails",
    [
        "*--dry-run*",  # a closed network
        "*auto?-r?wanted.txt",  # the index is reached, but not all of what is wanted
    ],
)
def test_torch_is_the_usual_one_where_there_is_no_other(fails: str, tmp_path: Path) -> None:
    code, said, calls = installed(tmp_path, uv_fails=fails)
    assert code == 0
    assert said.count("\n") == 1
    assert "the usual one" in said
    assert calls[0] == BOOTSTRAP
    assert calls[-1] == USUAL
    assert WITH_PIP not in calls


def test_pip_installs_where_there_is_no_uv_and_one_line_says_so(tmp_path: Path) -> None:
    code, said, calls = installed(tmp_path, pip_fails="*uv")
    assert code == 0
    assert said.count("\n") == 1
    assert "by pip" in said
    assert calls == [BOOTSTRAP, WITH_PIP]


def test_pip_installs_where_uv_reaches_nothing(tmp_path: Path) -> None:
    code, said, calls = installed(tmp_path, uv_fails="*")
    assert code == 0
    assert said.count("\n") == 2
    assert calls[-2:] == [USUAL, WITH_PIP]


def test_nothing_is_hidden_when_pip_fails_too(tmp_path: Path) -> None:
    code, _, calls = installed(tmp_path, uv_fails="*", pip_fails="*wanted.txt")
    assert code != 0
    assert calls[-1] == WITH_PIP
