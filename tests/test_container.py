"""What goes into the container."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

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
        *(
            ROOT / name
            for name in (
                "pyproject.toml",
                "constraints.txt",
                "README.md",
                "LICENSE",
                "requirements-image.txt",
            )
        ),
    ]
    for path in needed:
        assert any(path == keep or keep in path.parents for keep in kept), path


def pins(file: str) -> set[str]:
    """Its lines such as numpy==2.4.6, without marks and hashes."""
    return set(re.findall(r"^([a-z][\w.-]*==[^ ;\n]+)", (ROOT / file).read_text(), re.M))


def test_the_container_gets_what_it_needs_by_its_hash() -> None:
    """But for torch, which each build has of its own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    named = re.findall(r"--extra (\w+)", (ROOT / ".ci" / "lock").read_text())
    assert named == ["app", "heic", "redis"]
    lines = [*project["dependencies"], *(line for name in named for line in extras[name])]
    needed = {re.split(r"[<>=\[ ]", line)[0] for line in lines} | {"tokenizers"}
    locked = {pin.split("==")[0] for pin in pins("requirements-image.txt")}
    assert needed - locked == {"torch", "torchvision", "vitviz"}
    text = (ROOT / "requirements-image.txt").read_text()
    assert len(re.findall(r"==.*\\\n +--hash=sha256:[0-9a-f]{64}", text)) == len(
        re.findall("==.*\\\\$", text, re.M)
    )
    assert not re.search("https?://", text)


def test_the_container_gets_the_versions_that_run_together() -> None:
    versions = dict(pin.split("==") for pin in pins("constraints.txt"))
    locked = [pin.split("==") for pin in pins("requirements-image.txt")]
    assert {
        name: version for name, version in locked if versions.get(name, version) != version
    } == {}
    assert "torch torchvision" in DOCKERFILE


def test_what_is_fetched_lies_on_a_volume_and_not_in_memory() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    server = compose["services"]["vitviz"]
    places = [volume.split(":")[1] for volume in server["volumes"]]
    home = re.search(r"HF_HOME=(\S+)", DOCKERFILE)
    assert home is not None
    assert home[1] in places
    assert f"mkdir {home[1]} && chown 1000:1000 {home[1]}" in DOCKERFILE
    assert all("size=" in place for place in server["tmpfs"])
    assert {"mem_limit", "cpus", "pids_limit"} <= server.keys()


def test_every_port_is_the_same() -> None:
    text = DOCKERFILE + "".join((ROOT / name).read_text() for name in ("compose.yaml", "Makefile"))
    assert set(re.findall(r"\b8\d{3}\b", text)) == {"8501"}
