"""The wheel, in an environment of its own and outside the clone.

What Vitviz needs is taken from the environment that runs the tests: nothing is downloaded.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest

import vitviz

ROOT = Path(__file__).parents[2]
PARTS = ("pyproject.toml", "README.md", "LICENSE", "NOTICE", "vitviz")
OUTSIDE = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
ADDRESS = re.compile(r"http://localhost:\d+")
IMPORTS = """
import pkgutil, sys, vitviz
from importlib import import_module
from importlib.metadata import version
for module in pkgutil.walk_packages(vitviz.__path__, "vitviz."):
    if module.name not in ("vitviz.__main__", "vitviz.ui.entry.app"):
        import_module(module.name)
files = [module.__file__ for name, module in sys.modules.items() if name.startswith("vitviz")]
assert all(file.startswith(sys.prefix) for file in files), files
assert version("vitviz") == vitviz.__version__
print(len(files), *vitviz.METHODS)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing is left in the clone or found in an older build."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for part in PARTS:
        if (ROOT / part).is_dir():
            unwanted = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / part, source / part, ignore=unwanted)
        else:
            shutil.copy(ROOT / part, source)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", out, source], check=True)
    [built] = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a fresh environment, in which the wheel is installed, has its programs."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    programs = folder / "bin"
    pip = [sys.executable, "-m", "pip", "--python", programs / "python", "install"]
    subprocess.run([*pip, "--quiet", "--no-deps", "--no-index", wheel], check=True, env=OUTSIDE)
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "needed.pth").write_text(sysconfig.get_path("purelib"))
    return programs


def test_the_wheel_holds_what_the_clone_has(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if name.startswith("vitviz/")}
    files = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "vitviz").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert inside == files
    assert {"vitviz/py.typed", "vitviz/ui/entry/.streamlit/config.toml"} <= inside
    assert wheel.name.startswith(f"vitviz-{vitviz.__version__}-py3-none-any")


def test_every_module_comes_from_the_wheel(programs: Path, tmp_path: Path) -> None:
    command = [programs / "python", "-c", IMPORTS]
    done = subprocess.run(
        command, cwd=tmp_path, env=OUTSIDE, check=True, capture_output=True, text=True
    )
    modules = [path for path in (ROOT / "vitviz").rglob("*.py") if path.name != "__main__.py"]
    counted, *methods = done.stdout.split()
    assert int(counted) == len(modules) - 1  # but for the script that Streamlit runs
    assert methods == list(vitviz.METHODS)


def test_the_command_explains_a_sample(programs: Path, tmp_path: Path) -> None:
    [packages] = programs.parent.glob("lib/python*/site-packages")
    cat = packages / "vitviz" / "data" / "samples" / "cat.jpg"
    command = [programs / "vitviz", "explain", cat, "--out", tmp_path, "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=OUTSIDE, check=True, capture_output=True)
    [result] = json.loads(done.stdout)
    rec = vitviz.record(vitviz.load_model(), vitviz.load_image(cat))
    assert result["predictions"][0]["label"] == rec.predictions[0].label
    assert Path(result["overlay"]).is_file()
    assert Path(result["values"]).is_file()


@pytest.mark.parametrize("seconds", [0, 1.5], ids=["at once", "while it warms up"])
def test_the_app_is_served_and_ends_when_told(
    programs: Path, tmp_path: Path, seconds: float
) -> None:
    command = [programs / "vitviz", "app", "--port", "0"]
    settings = {**OUTSIDE, "PYTHONUNBUFFERED": "1"}
    server = subprocess.Popen(
        command, cwd=tmp_path, env=settings, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        lines = iter(server.stdout.readline, "")
        address = next(found[0] for line in lines if (found := ADDRESS.search(line)))
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"{address}/_stcore/health") as answer:
            assert answer.read() == b"ok"
        time.sleep(seconds)
    finally:
        server.terminate()
        said, _ = server.communicate()  # it says that it stops, so somebody has to listen
    assert "Stopping" in said
    assert server.returncode == 0
