"""What goes into the container."""

from __future__ import annotations

import re
from pathlib import Path

import vitviz

ROOT = Path(__file__).parent.parent


def test_the_container_gets_what_the_app_reads() -> None:
    listed = (ROOT / ".dockerignore").read_text().splitlines()
    kept = [ROOT / line[1:] for line in listed if line.startswith("!")]
    assert all(path.exists() for path in kept)
    needed = [
        *(sample.path for sample in vitviz.samples()),
        *(ROOT / "models" / name / "model.safetensors" for name in vitviz.bundled_models()),
        *(ROOT / "vitviz").rglob("*.[pjchs]*"),
        ROOT / "app.py",
        ROOT / ".streamlit" / "config.toml",
        ROOT / "requirements.txt",
    ]
    for path in needed:
        assert any(path == keep or keep in path.parents for keep in kept), path


def test_every_port_is_the_same() -> None:
    text = "".join((ROOT / f).read_text() for f in ("Dockerfile", "compose.yaml", "Makefile"))
    assert set(re.findall(r"\b8\d{3}\b", text)) == {"8501"}
