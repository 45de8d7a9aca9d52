"""The lesson on the idea of attention, and the map of the course."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from lesson_pages import LESSONS, answer, opened
from streamlit.testing.v1 import AppTest
from visits import recording

import vitviz
from vitviz.ui.controls.question import typical_head
from vitviz.ui.lessons.idea.alignment import READ, WEIGHTS, WRITTEN, alignment
from vitviz.ui.parts import course_map
from vitviz.ui.parts.course_map import PARTS, drawing
from vitviz.ui.visit.language import LANGUAGES, texts

NOTATION = Path(__file__).parents[2] / "docs" / "notation.md"


def table(app: AppTest) -> list[list[str]]:
    return app.table[0].value.to_numpy().tolist()


def plain(text: str) -> str:
    """With spaces at which a line may break."""
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_attention_is_set_beside_the_plain_mean() -> None:
    app = opened("idea", step="2", sample="coffee", patch="3,7")
    rec = recording(app)
    layer, head = typical_head(rec)
    weights = rec.attention(layer)[head].double().numpy()
    own = weights[1 + 3 * 16 + 7]
    collected = (weights @ rec.layers[layer].value[0, head].double().numpy())[1:]
    lengths = np.linalg.norm(collected, axis=1)
    alike = collected @ collected[3 * 16 + 7] / lengths / lengths[3 * 16 + 7]
    assert table(app) == [
        ["0.4%", f"{own.max():.1%}"],  # 1 / 257
        ["257", f"{np.exp(-(own * np.log(own)).sum()):.0f}"],
        ["1.00", f"{np.delete(alike, 3 * 16 + 7).mean():.2f}"],
    ]
    assert f"Layer {layer}, head {head}" in app.caption[-1].value


def test_the_drawn_weights_are_shares() -> None:
    assert np.shape(WEIGHTS) == (len(WRITTEN), len(READ))
    np.testing.assert_allclose(np.sum(WEIGHTS, axis=1), 1.0)
    assert [READ[np.argmax(row)] for row in WEIGHTS] == ["red", "cup", "stands", "table", "on"]
    for number, squeezed in ((1, False), (4, True)):
        drawn = ElementTree.fromstring(alignment(number, squeezed=squeezed, alt="a < b"))
        widths = [float(line.get("stroke-width", 0)) for line in drawn.findall("path")]
        shares = WEIGHTS[number]
        assert len(widths) == len(shares) + squeezed
        if not squeezed:
            of_largest = np.array(widths) / max(widths)
            np.testing.assert_allclose(of_largest, np.array(shares) / max(shares), atol=1e-3)


def test_the_shapes_are_the_models() -> None:
    app = opened("idea", step="4")
    answer(app, right=True)
    assert "257 × 257" in plain(table(app)[2][0])
    assert f"{len(WRITTEN)} × {len(READ)}" in plain(table(app)[2][1])
    app = opened("idea", step="7")
    shapes = [plain(row[1]) for row in table(app)]
    assert "6 × 257 × 64" in shapes
    mlp = recording(app).vit.module.blocks[0].mlp
    does, handed_on = table(app)[6][:2]
    assert f"{mlp.fc1.out_features} numbers inside" in does
    assert plain(handed_on) == f"257 × {mlp.fc2.out_features}"
    numbers = [int(row[2]) for row in table(app)]
    assert numbers == sorted(numbers)


def test_letters_are_drawn_as_in_formulas() -> None:
    [drawn] = [m.value for m in opened("idea", step="8").markdown if "| --- |" in m.value]
    assert "| $z_j$ | score before the softmax: $q·k_j$ divided by √d" in drawn
    assert "`" not in drawn


def test_the_letters_of_the_page_are_those_of_the_lesson() -> None:
    rows = texts("en")["idea"]["notation"]["rows"]
    written = re.findall(r"^\| (`.*?) \| (.*) \|$", NOTATION.read_text(encoding="utf-8"), re.M)
    assert [list(row) for row in written] == rows
    assert [letter for letter, _ in rows] == [a for a, _ in texts("zh")["idea"]["notation"]["rows"]]
    vit = vitviz.load_model()
    rec = vitviz.record(vit, vitviz.load_image(vitviz.samples()[0].path))
    said = dict(rows)
    patch = 3 * rec.patch_size[0] * rec.patch_size[1]
    assert f"{patch} numbers" in said["`p`"]
    width, (_, heads, tokens, dim) = vit.anatomy.width, rec.layers[0].query.shape
    assert re.findall(r"\d+", said["`n`, `w`"]) == [str(tokens), str(width)]
    assert re.findall(r"\d+", said["`h`, `d`"]) == [str(heads), str(dim)]
    for language in LANGUAGES:
        words = texts(language)
        assert str(rec.num_layers) in words["course_map"]["blocks"]
        assert f"{heads} × {tokens} × {dim}" in words["idea"]["architecture"]["text"]
        assert f" {rec.num_layers} " in words["idea"]["architecture"]["text"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_map_leads_to_every_lesson_but_the_open_one(
    language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(course_map, "language", lambda: language)
    monkeypatch.setattr("vitviz.ui.visit.language.language", lambda: language)
    for here in (None, "attention", "idea"):
        html = ElementTree.fromstring(drawing(here))
        for kind in ("wide", "tall"):
            [svg] = [found for found in html.findall("svg") if found.get("class") == kind]
            drawn = [link.get("data-lesson") for link in svg.iter("a")]
            assert drawn == [None if name == here else name for name in PARTS if name in LESSONS]
            _, _, width, height = map(float, svg.get("viewBox", "").split())
            for box in svg.iter("rect"):
                x, y, w, h = (float(box.get(name, 0)) for name in ("x", "y", "width", "height"))
                assert min(x, y) >= 0
                assert x + w <= width
                assert y + h <= height
        marked = [link for link in html.iter("a") if link.get("aria-current") == "page"]
        assert len(marked) == {None: 0, "attention": 2, "idea": 1}[here]
        linked = {link.get("data-lesson") for link in html.iter("a")} - {None}
        assert linked == LESSONS.keys() - {here}
        titles = [link.get("aria-label") for link in html.iter("a")]
        assert f"{LESSONS['tokens'].number} · {texts(language)['tokens']['title']}" in titles


def test_a_lesson_shows_where_the_visitor_is() -> None:
    app = opened("tokens")
    [shown] = [part for part in app.get("bidi_component") if "course_map_menu" in part.proto.id]
    assert json.loads(shown.proto.json)["drawing"].count('class="here"') == 2  # wide and tall
