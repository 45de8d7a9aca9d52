"""Pages and command line on models whose numbers are no classes of which one is right."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import timm
import torch
import transformers
from pages import opened
from streamlit.testing.v1 import AppTest
from timm.models import save_for_hf
from transformers_configs import small
from visits import recording

import vitviz
from vitviz.commands.main import main
from vitviz.measures import comparison

SIDE = 64
CAT = next(s.path for s in vitviz.samples() if s.id == "cat")
LABELS = {0: "indoor", 1: "animal", 2: "night"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models")
    for name, settings in {
        "multi": {"problem_type": "multi_label_classification", "id2label": LABELS},
        "age": {"num_labels": 1, "id2label": {0: "age"}},
    }.items():
        torch.manual_seed(0)
        config = small(transformers.ViTConfig, **settings)
        module = transformers.ViTForImageClassification(config)
        torch.nn.init.normal_(module.classifier.weight, std=0.5)
        module.classifier.bias.data.fill_(3.0)
        module.save_pretrained(made / name)
        processor = transformers.ViTImageProcessor(size={"height": SIDE, "width": SIDE})
        processor.save_pretrained(made / name)
    for name, classes in {"body": 0, "blind": 2}.items():
        arguments = {"img_size": SIDE, "depth": 2, "num_classes": classes}
        module = timm.create_model("vit_tiny_patch16_224", **arguments)
        if classes:
            torch.nn.init.zeros_(module.head.weight)
        save_for_hf(module, made / name, model_args=arguments, safe_serialization=True)
    arguments = {"depth": 1, "img_size": SIDE, "num_classes": 0}
    module = timm.create_model("cait_xxs24_224", **arguments)
    save_for_hf(module, made / "mixed", model_args=arguments, safe_serialization=True)
    return made


@pytest.fixture(autouse=True)
def offered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITVIZ_MODELS", str(folder))
    monkeypatch.setenv("VITVIZ_MODELS_IN_MEMORY", "9")
    monkeypatch.setattr(comparison, "SEEDS", 2)


def words(app: AppTest) -> str:
    """Everything that is read on the page."""
    parts = [*app.caption, *app.markdown, *app.info, *app.warning]
    bars = [block.proto.body for block in app.get("html")]
    return " ".join([*(part.value for part in parts), *bars])


class TestExplore:
    def test_labels_of_which_several_apply(self) -> None:
        app = opened("explore", model="multi", sample="cat")
        rec, text = recording(app), words(app)
        assert rec.outputs == "sigmoid"
        for prediction in rec.predictions:
            assert f"{prediction.value:.1%}" in text
        assert sum(p.value for p in rec.predictions) > 1.2
        assert "Each label has a probability of its own" in text

    @pytest.mark.parametrize(("lang", "said"), [("en", "These are scores"), ("zh", "不是概率")])
    def test_a_score(self, lang: str, said: str) -> None:
        app = opened("explore", model="age", sample="cat", method="relevance", lang=lang)
        [only] = recording(app).predictions
        text = words(app)
        assert f"<span>age</span><i></i><b>{only.value:.4g}</b>" in text
        assert "100.0%" not in text
        assert said in text

    def test_an_embedding(self) -> None:
        app = opened("explore", model="body", sample="cat")
        assert "a vector (an embedding), no classes" in words(app)
        app = opened("explore", model="body", sample="cat", method="gradcam")
        assert "no classifier" in app.warning[0].value

    def test_what_is_left_out_of_a_model_without_classes(self) -> None:
        app = opened("explore", model="mixed", sample="cat")
        assert recording(app).outputs == "embedding"
        assert "Shown are 2 attention layers. 1 more" in words(app)

    def test_a_map_of_zeros_says_so(self) -> None:
        app = opened("explore", model="blind", sample="cat", method="gradcam")
        assert "This map is 0 everywhere" in app.warning[0].value
        app = opened("explore", model="blind", sample="cat", method="attention")
        assert not app.warning


class TestCompare:
    def test_a_score_is_measured_as_it_is(self) -> None:
        app = opened("compare", model="age", sample="cat", methods="attention")
        assert "under the curve of the score" in words(app)
        [changed] = [c.value for c in app.caption if "of the patches removed" in c.value]
        assert float(changed.rpartition("`age` ")[2])  # a number, not a percentage

    def test_zero_maps_are_named(self) -> None:
        app = opened("compare", model="blind", sample="cat", methods="gradcam")
        assert "Grad-CAM: This map is 0 everywhere" in words(app)


class TestHeads:
    @pytest.mark.parametrize(("model", "form"), [("age", "score is"), ("multi", "points of")])
    def test_importance_in_its_own_unit(self, model: str, form: str) -> None:
        app = opened("heads", model=model, sample="cat", statistic="importance")
        assert form in words(app)

    def test_without_a_head(self) -> None:
        app = opened("heads", model="age", sample="cat", off="1.0")
        table = app.dataframe[0].value
        before = recording(app).predictions[0].value
        assert table.iloc[0, 2] == pytest.approx(before)


class TestCommandLine:
    def explained(self, folder: Path, model: str, tmp_path: Path, capsys) -> tuple[dict, str]:
        out = ["--out", str(tmp_path), "--model", str(folder / model), "--method", "attention"]
        assert main(["explain", str(CAT), *out, "--json"]) == 0
        [row] = json.loads(capsys.readouterr().out)
        assert main(["explain", str(CAT), *out]) == 0
        return row, capsys.readouterr().out

    def test_labels(self, folder: Path, tmp_path: Path, capsys) -> None:
        row, text = self.explained(folder, "multi", tmp_path, capsys)
        assert row["outputs"] == "sigmoid"
        assert sum(p["probability"] for p in row["predictions"]) > 1.2
        assert f"{row['predictions'][0]['probability']:.0%}" in text

    def test_a_score(self, folder: Path, tmp_path: Path, capsys) -> None:
        row, text = self.explained(folder, "age", tmp_path, capsys)
        [only] = row["predictions"]
        assert row["outputs"] == "score"
        assert f": age {only['score']:.4g} →" in text
        assert "probability" not in only

    def test_an_embedding(self, folder: Path, tmp_path: Path, capsys) -> None:
        row, text = self.explained(folder, "body", tmp_path, capsys)
        assert (row["outputs"], row["predictions"]) == ("embedding", [])
        assert "no classes →" in text

    def test_a_map_of_zeros(self, folder: Path, tmp_path: Path, capsys) -> None:
        out = ["--out", str(tmp_path), "--model", str(folder / "blind"), "--method", "gradcam"]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert main(["explain", str(CAT), *out]) == 0
        assert "This map is 0 everywhere" in capsys.readouterr().out
