"""The outlook: what it says and shows, against the model."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
import torch
from lesson_pages import answer, opened
from visits import recording

import vitviz
from vitviz.inside.attention_steps import head_steps
from vitviz.inside.cost import block_operations, block_weights
from vitviz.inside.tokens import patch_means
from vitviz.interventions.patterns import PATTERNS, pattern, with_pattern
from vitviz.interventions.token_merging import merge_tokens, pool_tokens
from vitviz.ui.controls.question import typical_head
from vitviz.ui.lessons.outlook.flash_attention import LONGER
from vitviz.ui.lessons.outlook.mixing_cost import SIDES
from vitviz.ui.visit.language import texts

WORDS = texts("en")["outlook"]


@pytest.fixture(scope="module")
def samples() -> dict[str, vitviz.Recording]:
    vit = vitviz.load_model()
    return {sample.id: vitviz.record(vit, sample.path) for sample in vitviz.samples()}


def changed(rec: vitviz.Recording, logits: torch.Tensor) -> bool:
    return int(logits.argmax()) != rec.predictions[0].index


def test_the_words_on_pooling_and_merging_are_true(samples: dict[str, vitviz.Recording]) -> None:
    recs = samples.values()
    assert len(recs) == 7
    assert sum(changed(rec, pool_tokens(rec, 0).logits) for rec in recs) == 4
    assert not any(changed(rec, pool_tokens(rec, 9).logits) for rec in recs)
    merged = [merge_tokens(rec, 16) for rec in recs]
    assert {found.counts[-1] for found in merged} == {65}
    assert not any(changed(r, m.logits) for r, m in zip(recs, merged, strict=True))
    eyes = merge_tokens(samples["cat"], 16).groups
    assert eyes[5, 4] == eyes[6, 12] != eyes[6, 9]  # left, right, and the nose between them


def test_the_words_on_cost_are_true(samples: dict[str, vitviz.Recording]) -> None:
    rec = samples["cat"]
    weights = block_weights(rec)
    for tokens, matrices_cost_most in ((257, True), (10_000, False)):
        found = block_operations(tokens, 384, weights)
        assert (found.matrices > found.attention) is matrices_cost_most


def test_the_table_is_that_of_the_chosen_side() -> None:
    app = opened("outlook", step="1", budget_side="1792")
    answer(app, right=True)
    table = app.table[0].value
    n, width = (1792 // 14) ** 2 + 1, 384
    shown = table[WORDS["budget"]["operations"]]
    assert shown[WORDS["budget"]["full"]] == f"{2 * n * n * width / 1e6:,.0f}"
    assert shown[WORDS["budget"]["windowed"]] == f"{2 * n * 49 * width / 1e6:,.0f}"
    assert shown[WORDS["budget"]["linear"]] == f"{2 * n * 64 * width / 1e6:,.0f}"
    assert table[WORDS["budget"]["memory"]][WORDS["budget"]["full"]] == f"{6 * n * n * 4e-6:,.1f}"
    spec = json.loads(app.get("vega_lite_chart")[0].proto.spec)
    assert len(spec["layer"]) == 2
    assert 1792 in SIDES


@pytest.mark.parametrize("kind", PATTERNS)
def test_what_a_pattern_keeps_and_what_the_model_says(kind: str) -> None:
    app = opened("outlook", step="2", sample="coffee", patch="3,7", pattern=kind, in_layer="5")
    rec = recording(app)
    row = rec.attention(5)[int(app.slider(key="in_head").value), 1 + 3 * 16 + 7]
    allowed = pattern(kind, (16, 16), 1, 5)[1 + 3 * 16 + 7]
    assert app.metric[0].value == f"{row[allowed].sum():.1%}"
    best = rec.vit.labels[int(with_pattern(rec, kind).argmax())]
    assert best in app.get("html")[-1].proto.body
    assert f"{int(pattern(kind, (16, 16), 1, 5).sum()):,} of 66,049" in app.caption[-2].value


def test_a_map_less_product_is_the_same() -> None:
    app = opened("outlook", step="3", sample="coffee")
    said = app.markdown[-1].value
    assert "**8,454,272**" in said  # 2 · 257² · 64
    assert "**2,105,344**" in said  # 2 · 257 · 64²
    assert "·10⁻⁷ at most" in said


def test_pooled_and_merged_answers_are_the_models() -> None:
    app = opened("outlook", step="4", sample="mountains")
    rec = recording(app)
    best = rec.vit.labels[int(pool_tokens(rec, 0).logits.argmax())]
    before, whole = (part.proto.body for part in app.get("html")[-2:])
    assert best in before
    assert rec.predictions[0].label in whole != best
    app = opened("outlook", step="5", sample="mountains", pairs="20")
    answer(app, right=True)
    found = merge_tokens(recording(app), 20)
    spent = sum(n * block_weights(rec) + 2 * n * n * 384 for n in found.counts[:-1]) / (
        12 * (257 * block_weights(rec) + 2 * 257**2 * 384)
    )
    assert app.metric[0].value == f"{spent:.0%}"


def test_the_blocks_of_a_real_row_end_at_its_output() -> None:
    app = opened("outlook", step="6", sample="coffee", patch="3,7")
    answer(app, right=True)
    rec = recording(app)
    steps = head_steps(rec, *typical_head(rec), (3, 7))
    table, moved = app.dataframe[0].value, app.table[0].value
    assert table[WORDS["flash"]["keys"]].tolist() == [64, 128, 192, 256, 257]
    assert table["o₀"].iloc[-1] == pytest.approx(float(steps.output[0]), abs=1e-5)
    assert table["m"].iloc[-1] == pytest.approx(float(steps.scores.max()))
    assert table["ℓ"].iloc[-1] == pytest.approx(
        float((steps.scores - steps.scores.max()).exp().sum()), rel=1e-5
    )
    assert f"**{steps.output[0]:.4f}**" in app.markdown[-1].value
    for n in LONGER:
        plain, blocked, saved = map(float, moved.loc[f"{n:,}"])
        assert plain == pytest.approx((4 * n * 64 + 4 * n * n) * 4e-6, abs=0.06)
        assert blocked == pytest.approx(2 * n * 64 * (1 + -(-n // 64)) * 4e-6, abs=0.06)
        assert saved == pytest.approx(plain / blocked, rel=0.1)


def test_turned_by_places_the_score_is_one_of_the_distance() -> None:
    app = opened("outlook", step="7", rope_query="2", rope_key="9")
    here, further = app.latex[-1].value.strip("$\n").split(r",\quad ")
    assert here.startswith("z(2,9) = ")
    assert further.startswith("z(7,14) = ")
    assert here.split("=")[1] == further.split("=")[1]
    data = app.get("vega_lite_chart")[1].proto.datasets
    tables = [pa.ipc.open_stream(each.data.data).read_pandas() for each in data]
    [dot] = [table for table in tables if len(table) == 1]
    assert dot["distance"].tolist() == [7]
    assert dot["score"].tolist() == pytest.approx([float(here.split("=")[1])], abs=1e-4)
    plane = json.loads(app.get("vega_lite_chart")[0].proto.spec)["encoding"]
    for axis, sides in (("x", "width / height"), ("y", "height / width")):  # of equal units
        assert sides in plane[axis]["scale"]["domainMax"]["expr"]


def test_what_a_scan_has_left() -> None:
    app = opened("outlook", step="8", patch="3,7")
    assert [metric.value for metric in app.metric] == ["90.0%", f"{0.9**16:.1%}"]
    app.segmented_control(key="scan").set_value("four").run()
    assert [metric.value for metric in app.metric] == ["90.0%", "90.0%"]
    assert f"{patch_means(recording(app)).numel()} patches" in app.caption[-1].value
    corner = opened("outlook", step="8", patch="0,0")
    assert not corner.metric


def test_the_task_tells_when_the_answer_changes() -> None:
    app = opened("outlook", step="9", sample="photographer", pairs="16")
    assert "is still **tripod**" in app.markdown[-1].value
    app.slider(key="pairs").set_value(32).run()
    assert "has become **crutch**" in app.markdown[-1].value
    assert "**2** tokens" in app.markdown[-1].value
