"""The recipes run as they stand in the documentation, and do what they say."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from light_model import light_model
from matplotlib import pyplot as plt
from PIL import Image

import vitviz

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
START, *RECIPES = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)
PHOTOS = ("cat", "coffee")


def as_many_pages_as_the_photos_ask(known: dict[str, Any], out: str) -> None:
    """A photo and four maps of each, one row a photo."""
    del out
    assert list(known["rows"]) == list(PHOTOS)
    assert b"/CIDFontType2" in Path("methods.pdf").read_bytes()  # TrueType, not Type 3
    assert b"/Type3" not in Path("methods.pdf").read_bytes()


def all_heads(known: dict[str, Any], out: str) -> None:
    del out
    text = Path("heads.svg").read_text()
    assert all(f">head {head}<" in text for head in range(known["rec"].num_heads(5)))


def one_array(known: dict[str, Any], out: str) -> None:
    del out
    looks, rec = np.load("looks.npz")["looks"], known["rec"]
    assert looks.shape == (2, 12, rec.num_heads(0), 256)
    np.testing.assert_allclose(looks[0, 3], rec.attention(3)[:, 0, 1:], atol=1e-5)


def one_map_a_photo(known: dict[str, Any], out: str) -> None:
    del out
    alone = vitviz.explain(known["rec"], "relevance")
    with np.load("cat.npz") as saved, np.load("coffee.npz") as other:
        np.testing.assert_allclose(saved["values"], alone.values, rtol=1e-3, atol=1e-5)
        assert saved["input"] != other["input"]


def one_class_against_another(known: dict[str, Any], out: str) -> None:
    del out
    [picture] = Path().glob("* not *.png")
    assert picture.name.startswith(known["first"].label)
    assert Image.open(picture).size == known["rec"].photo.size


def a_table(known: dict[str, Any], out: str) -> None:
    assert known["found"].errors == []
    rows = [line.split(" | ")[0] for line in out.splitlines()[2:5]]
    assert rows == ["| Attention rollout", "| Relevance", "| Random"]
    assert len(Path("faithful.csv").read_text().splitlines()) == 1 + 3 * len(PHOTOS)


def a_number_a_head(known: dict[str, Any], out: str) -> None:
    del out
    assert known["drops"].shape == (12, known["rec"].num_heads(0))
    assert Path("importance.pdf").stat().st_size


def another_map(known: dict[str, Any], out: str) -> None:
    assert out.startswith("Prediction(")
    assert known["before"].made_from.edits == ()
    assert "ablate_heads" in known["after"].made_from.edits[0]
    assert not np.allclose(known["before"].values, known["after"].values)


def the_other_class_in_the_end(known: dict[str, Any], out: str) -> None:
    """Behind the last block nothing but the class token counts."""
    lines = [line.split(" ", 1) for line in out.splitlines()]
    assert [int(layer) for layer, _ in lines] == [0, 4, 8, 11]
    assert lines[-1][1] == known["other"].predictions[0].label


def the_class_in_the_end(known: dict[str, Any], out: str) -> None:
    del out
    top = known["rec"].predictions[0]
    last = known["logits"].softmax(dim=-1)[-1, top.index]
    assert len(known["logits"]) == 13
    assert float(last) == pytest.approx(top.probability, abs=1e-3)


def three_colours(known: dict[str, Any], out: str) -> None:
    del known, out
    assert Image.open("features.png").size == (16, 16)


def the_same_recording(known: dict[str, Any], out: str) -> None:
    del out
    assert known["again"].predictions[0] == known["rec"].predictions[0]
    assert Image.open("layers.gif").n_frames == 12
    assert "</html>" in Path("cat.html").read_text(encoding="utf-8")


CHECKS: list[Callable[[dict[str, Any], str], None]] = [
    as_many_pages_as_the_photos_ask,
    all_heads,
    one_array,
    one_map_a_photo,
    one_class_against_another,
    a_table,
    a_number_a_head,
    another_map,
    the_other_class_in_the_end,
    the_class_in_the_end,
    three_colours,
    the_same_recording,
]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the page begins with, in a folder that has photos/."""
    folder, before = tmp_path_factory.mktemp("paper"), Path.cwd()
    (folder / "photos").mkdir()
    for sample in vitviz.samples():
        if sample.id in PHOTOS:
            shutil.copy(sample.path, folder / "photos" / f"{sample.id}.jpg")
    os.chdir(folder)
    [code] = CODE.findall(START)
    found: dict[str, Any] = {}
    light = light_model()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vitviz, "load_model", lambda: light)
        exec(code, found)
    yield found
    plt.close("all")
    os.chdir(before)


@pytest.mark.parametrize(
    ("recipe", "check"),
    list(zip(RECIPES, CHECKS, strict=True)),
    ids=[recipe.partition("\n")[0] for recipe in RECIPES],
)
def test_a_recipe_does_what_it_says(
    recipe: str,
    check: Callable[[dict[str, Any], str], None],
    known: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    [code] = CODE.findall(recipe)
    assert len(code.splitlines()) < 10
    exec(code, known)
    check(known, capsys.readouterr().out)
