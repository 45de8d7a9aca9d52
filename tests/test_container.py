"""What goes into the container."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import vitviz

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_the_container_gets_what_the_package_is_built_from() -> None:
    listed = (ROOT / ".dockerignore").read_text().splitlines()
    kept = [ROOT / line[1:] for line in listed if line.startswith("!")]
    assert all(path.exists() for path in kept)
    needed = [
        *(sample.path for sample in vitviz.samples()),
        *(ROOT / "vitviz").rglob("*.[pjchst]*"),
        *(ROOT / name for name in ("pyproject.toml", "constraints.txt", "README.md", "LICENSE")),
    ]
    for path in needed:
        assert any(path == keep or keep in path.parents for keep in kept), path


def test_the_extras_of_the_container_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = re.findall(r"--extra (\w+)", DOCKERFILE)
    assert named == ["app", "heic", "redis"]
    assert set(named) <= project["optional-dependencies"].keys()


def test_every_port_is_the_same() -> None:
    text = DOCKERFILE + "".join((ROOT / name).read_text() for name in ("compose.yaml", "Makefile"))
    assert set(re.findall(r"\b8\d{3}\b", text)) == {"8501"}
