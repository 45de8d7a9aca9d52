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
PROBE = "uv pip install --quiet --python .venv/bin/python --torch-backend=auto --dry-run --no-deps"
WITH_UV = "uv pip install --quiet --python .venv/bin/python --torch-backend=auto -r wanted.txt"
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
    assert calls == [BOOTSTRAP, f"{PROBE} {' '.join(pins)}", WITH_UV]


@pytest.mark.parametrize(
    "fails",
    [
        {"uv_fails": "*--dry-run*"},  # a closed network
        {"uv_fails": "*wanted.txt"},  # the index is reached, but not all of what is wanted
        {"pip_fails": "*uv"},  # no uv for this machine
    ],
)
def test_pip_installs_where_uv_cannot_and_one_line_says_so(
    fails: dict[str, str], tmp_path: Path
) -> None:
    code, said, calls = installed(tmp_path, **fails)
    assert code == 0
    assert said.count("\n") == 1
    assert "pip installs torch" in said
    assert calls[0] == BOOTSTRAP
    assert calls[-1] == WITH_PIP
    assert calls.count(WITH_PIP) == 1


def test_nothing_is_hidden_when_pip_fails_too(tmp_path: Path) -> None:
    code, _, calls = installed(tmp_path, uv_fails="*", pip_fails="*wanted.txt")
    assert code != 0
    assert calls[-1] == WITH_PIP
