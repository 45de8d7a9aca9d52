"""The examples in the docstrings of every public name are run."""

from __future__ import annotations

import doctest
import inspect
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from clips import small
from detectors import detector
from light_model import light_model
from videos import video

import vitviz
from vitviz.inside import features, head_outputs, heads, lens
from vitviz.measures import faithfulness, results
from vitviz.pictures import export
from vitviz.recording import recorder

FUNCTIONS = [
    "deletion",
    "insertion",
    "masked_input",
    "perturbation",
    "removal_order",
    "saco",
    "versus_random",
]
INSIDE = (heads, head_outputs, lens, features, export, recorder)
REFERENCE = Path(__file__).parents[1] / "docs" / "reference.md"
PUBLIC = {
    **{name: getattr(vitviz, name) for name in vitviz.__all__},
    **{f"faithfulness.{name}": getattr(faithfulness, name) for name in FUNCTIONS},
    **{f"methods.{method.id}": method.function for method in vitviz.METHODS.values()},
    **{
        f"{module.__name__.removeprefix('vitviz.')}.{name}": getattr(module, name)
        for module in INSIDE
        for name in module.__all__
        if inspect.isfunction(getattr(module, name)) or name == "Recorder"
    },
    "measures.results.Evaluation": results.Evaluation,
    **{
        f"{owner.__name__}.{name}": thing
        for owner in (vitviz.Recording, vitviz.Heatmap)
        for name, thing in vars(owner).items()
        if inspect.isfunction(thing) and not name.startswith("_")
    },
}
EXPLAINED = {
    name: thing
    for name, thing in PUBLIC.items()
    if inspect.isfunction(thing)
    or (inspect.isclass(thing) and not issubclass(thing, (vitviz.VitvizError, Warning)))
}
CALLED = [name for name, thing in EXPLAINED.items() if inspect.isfunction(thing)]
MANY_PASSES = {"inside.heads.head_importance"}  # whose example needs no trained model
TWO_OF_EACH = {"cat": ("cat", "cat-and-coffee"), "coffee": ("coffee", "cat-and-coffee")}


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    """What every example knows."""
    vit = vitviz.load_model()
    photo = vitviz.load_image(vitviz.samples()[0].path)
    rec = vitviz.record(vit, photo)
    named = {"vitviz": vitviz, **{name: getattr(vitviz, name) for name in vitviz.__all__}}
    return {
        **named,
        "vit": vit,
        "photo": photo,
        "rec": rec,
        "heat": vitviz.explain(rec, "rollout"),
        "clip": small("open_clip").clip,
        "detector": detector(),
        "video": video(),
    }


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with photos/, one sub-folder a class."""
    paths = {sample.id: sample.path for sample in vitviz.samples()}
    for label, ids in TWO_OF_EACH.items():
        (tmp_path / "photos" / label).mkdir(parents=True)
        for name in ids:
            (tmp_path / "photos" / label / f"{name}.jpg").write_bytes(paths[name].read_bytes())
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", EXPLAINED)
def test_the_examples_are_true(name: str, known: dict[str, Any]) -> None:
    thing = EXPLAINED[name]
    module = sys.modules[thing.__module__]
    [example] = [
        found
        for found in doctest.DocTestFinder(recurse=False).find(thing, name, module)
        if found.examples
    ]
    example.globs = {**vars(module), **known}
    if name in MANY_PASSES:
        example.globs["rec"] = vitviz.record(light_model(), known["photo"])
    said: list[str] = []
    doctest.DocTestRunner().run(example, out=said.append)
    assert not said, "".join(said)


def test_the_reference_lists_what_is_public() -> None:
    """What is not a name of the package itself is a method or the measures' module."""
    listed = re.findall(r"^::: vitviz\.(\S+)$", REFERENCE.read_text(), re.MULTILINE)
    found = {f"measures.results.{name}" for name in ("Evaluation", "Summary")}
    others = {"faithfulness", *(f"methods.{id}" for id in vitviz.METHODS), *found}
    inside = {
        f"{module.__name__.removeprefix('vitviz.')}.{name}"
        for module in INSIDE
        for name in module.__all__
        if callable(getattr(module, name))
    }
    assert set(vitviz.__all__) - {"__version__"} | inside <= set(listed)
    assert set(listed) <= {*vitviz.__all__, *others, *inside}


@pytest.mark.parametrize("name", CALLED)
def test_who_raises_says_so(name: str) -> None:
    doc, source = inspect.getdoc(EXPLAINED[name]), inspect.getsource(EXPLAINED[name])
    assert doc is not None
    if "raise " in source or "@checked" in source:
        assert "Raises:" in doc
