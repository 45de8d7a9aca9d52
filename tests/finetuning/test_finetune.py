"""Fine-tuning on a folder: what is written, what is skipped, and going on after an interruption."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from colour_photos import COLOURS, EACH, QUICK, write_photo
from families import FAMILIES, make_photo, random_classifier, random_module
from PIL import Image
from safetensors.torch import load_file
from timm.models import save_for_hf

import vitviz
from vitviz.commands.main import main
from vitviz.finetuning import dataset as training_photos
from vitviz.finetuning.report import _example
from vitviz.photos.folder import read_folder
from vitviz.training import run as course
from vitviz.training.augmentation import views
from vitviz.training.plan import Plan, hold_out
from vitviz.training.trained_part import TrainedPart, logits_of, private_copy
from vitviz.training.training import start
from vitviz.zoo import catalogue

finetuning = sys.modules["vitviz.finetuning.finetune"]


class Stop(Exception):
    """An interruption."""


def held_out_files(folder: Path, settings: vitviz.FinetuneSettings) -> list[Path]:
    files = [file for name in sorted(COLOURS) for file in sorted((folder / name).iterdir())]
    _, held = hold_out([EACH] * 3, 2, settings.hold_out, settings.seed)
    return [files[index] for index in held]


@pytest.mark.parametrize("train", ["head", 2, "all"])
def test_what_is_written_is_what_is_reported(
    train: int | str, colour_folder: Path, tiny_base: Path, tmp_path: Path
) -> None:
    settings = replace(QUICK, train=train, epochs=6)
    found = vitviz.finetune(colour_folder, tmp_path / "mine", settings, base=tiny_base)
    vit = vitviz.load_model(tmp_path / "mine")
    assert vit.labels == found.labels == tuple(COLOURS)
    files = held_out_files(colour_folder, settings)
    counts = np.zeros((3, 3), int)
    for file in files:
        best = vitviz.record(vit, vitviz.load_image(file)).predictions[0]
        counts[list(COLOURS).index(file.parent.name), best.index] += 1
    assert found.confusion == tuple(map(tuple, counts.tolist()))
    assert found.held_out == len(files) == 6
    assert found.accuracy == counts.trace() / 6 >= 5 / 6
    assert len({p.stat().st_mode for p in found.out.iterdir()}) == 1  # the app may be another user
    assert sorted(p.name for p in found.out.iterdir()) == [
        "config.json",
        "model.safetensors",
        "report.html",
    ]


@pytest.mark.parametrize(("train", "moved"), [("head", ()), (1, ("blocks.2.", "norm."))])
def test_what_is_frozen_is_the_bases_own(
    train: int | str, moved: tuple[str, ...], colour_folder: Path, tiny_base: Path, tmp_path: Path
) -> None:
    vitviz.finetune(colour_folder, tmp_path / "mine", replace(QUICK, train=train), base=tiny_base)
    before, after = (load_file(f / "model.safetensors") for f in (tiny_base, tmp_path / "mine"))
    for name, weight in after.items():
        assert weight.dtype == torch.float32
        if not name.startswith("head."):
            assert torch.equal(weight, before[name]) != name.startswith(moved or "?"), name
    photo = vitviz.load_image(next((colour_folder / "red").iterdir()))
    pixels = [vitviz.load_model(f).transform(photo) for f in (tiny_base, tmp_path / "mine")]
    assert torch.equal(*pixels)


@pytest.mark.parametrize("every", [1e9, 0.0], ids=["from the epoch", "from the step"])
@pytest.mark.parametrize(
    "changes",
    [
        {"train": "head"},
        {"train": 2, "entropy": 0.5},
        {"train": "all", "layer_decay": 0.6},
        {"train": 1, "augment": ("crop", "flip", "colour")},
    ],
    ids=["head", "blocks", "all", "augmented"],
)
def test_an_interrupted_training_ends_with_the_same_weights(
    changes: dict[str, object],
    every: float,
    colour_folder: Path,
    tiny_base: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(course, "SAVED_EVERY", every)
    settings = replace(QUICK, **changes)
    whole = vitviz.finetune(colour_folder, tmp_path / "whole", settings, base=tiny_base)

    def interrupt(stage: str, share: float) -> None:
        if stage == "Training" and share > 0.5:  # in the middle of the second of three epochs
            raise Stop

    with pytest.raises(Stop):
        vitviz.finetune(
            colour_folder, tmp_path / "broken", settings, base=tiny_base, progress=interrupt
        )
    kept = torch.load(tmp_path / "broken" / "training.pt", weights_only=True)
    an_epoch = whole.plan.steps // 3
    assert kept["training"]["done"] == (an_epoch if every else an_epoch * 3 // 2 + 1)
    assert "broken" not in {p.parent.name for p in tmp_path.glob("*/config.json")}
    again = vitviz.finetune(colour_folder, tmp_path / "broken", settings, base=tiny_base)
    first, second = (load_file(tmp_path / n / "model.safetensors") for n in ("whole", "broken"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert again.epochs == whole.epochs
    assert not (tmp_path / "broken" / "training.pt").exists()


def test_a_report_that_was_interrupted_is_written_later(
    colour_folder: Path, tiny_base: Path, tmp_path: Path
) -> None:
    def interrupt(stage: str, share: float) -> None:
        if stage == "Report" and share > 0:
            raise Stop

    with pytest.raises(Stop):
        vitviz.finetune(colour_folder, tmp_path, QUICK, base=tiny_base, progress=interrupt)
    weights = (tmp_path / "model.safetensors").read_bytes()
    assert not (tmp_path / "report.html").exists()
    found = vitviz.finetune(colour_folder, tmp_path, QUICK, base=tiny_base)
    assert found.report.exists()
    assert (tmp_path / "model.safetensors").read_bytes() == weights


def test_a_model_under_models_is_offered_by_its_name(
    colour_folder: Path, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "MODELS_DIR", tmp_path)
    vitviz.finetune(colour_folder, tmp_path / "mine", QUICK, base=tiny_base)
    assert vitviz.bundled_models() == ["mine"]
    assert vitviz.load_model("mine").labels == tuple(COLOURS)


def test_the_seed_decides(colour_folder: Path, tiny_base: Path, tmp_path: Path) -> None:
    weights = []
    for number, seed in enumerate((0, 0, 1)):
        out = tmp_path / str(number)
        vitviz.finetune(colour_folder, out, replace(QUICK, seed=seed), base=tiny_base)
        weights.append(load_file(out / "model.safetensors")["head.weight"])
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_an_unfinished_training_is_not_mixed_with_another(
    colour_folder: Path, tiny_base: Path, tmp_path: Path
) -> None:
    def interrupt(stage: str, share: float) -> None:
        if stage == "Training" and share > 0.5:
            raise Stop

    with pytest.raises(Stop):
        vitviz.finetune(colour_folder, tmp_path, QUICK, base=tiny_base, progress=interrupt)
    with pytest.raises(vitviz.VitvizError, match="other settings"):
        vitviz.finetune(colour_folder, tmp_path, replace(QUICK, rate=1e-4), base=tiny_base)
    (tmp_path / "training.pt").write_bytes(b"damaged")
    with pytest.raises(vitviz.VitvizError, match="cannot be read"):
        vitviz.finetune(colour_folder, tmp_path, QUICK, base=tiny_base)


def test_a_photo_of_the_same_name_and_size_is_another_photo(
    tiny_base: Path, tmp_path: Path
) -> None:
    generator = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        for number in range(4):  # BMP: photos of one shape have files of one size
            write_photo(tmp_path / "photos" / name / f"{number}.bmp", colour, generator)

    def interrupt(stage: str, share: float) -> None:
        if stage == "Training" and share > 0.5:
            raise Stop

    photos, out = tmp_path / "photos", tmp_path / "mine"
    with pytest.raises(Stop):
        vitviz.finetune(photos, out, QUICK, base=tiny_base, progress=interrupt)
    file = photos / "red" / "0.bmp"
    size = file.stat().st_size
    write_photo(file, COLOURS["red"], generator)
    assert file.stat().st_size == size
    with pytest.raises(vitviz.VitvizError, match="other photos"):
        vitviz.finetune(photos, out, QUICK, base=tiny_base)


def test_a_base_in_bfloat16_has_a_fingerprint(colour_folder: Path) -> None:
    """NumPy has no bfloat16."""
    vit = vitviz.from_module(random_classifier("vit").bfloat16())
    folder = read_folder(colour_folder)
    marks = {
        finetuning._fingerprint(one, folder, QUICK.plan(24), QUICK)
        for one in (vit, vitviz.from_module(random_classifier("vit")))
    }
    assert len(marks) == 2


def test_a_model_is_not_overwritten(colour_folder: Path, tiny_base: Path) -> None:
    before = (tiny_base / "model.safetensors").read_bytes()
    with pytest.raises(vitviz.VitvizError, match=r"a model in .* already"):
        vitviz.finetune(colour_folder, tiny_base, QUICK, base=tiny_base)
    assert (tiny_base / "model.safetensors").read_bytes() == before


def test_the_best_weights_are_kept_and_a_stalled_training_ends(
    tiny_base: Path, colour_folder: Path, tmp_path: Path
) -> None:
    vit = vitviz.load_model(tiny_base)
    photos = [
        vitviz.load_image(f) for name in COLOURS for f in sorted((colour_folder / name).iterdir())
    ]
    pixels = torch.stack([vit.transform(photo) for photo in photos])
    targets = torch.arange(3).repeat_interleave(EACH)
    plan = Plan(steps=20 * 6, warmup=0, rate=3e-3, blocks=None, batch=5)
    wrong = (targets + 1) % 3  # the better it learns, the worse it becomes
    _, training = start(vit, list(COLOURS), pixels, targets, plan)
    found = course.run(
        training,
        pixels,
        wrong,
        patience=3,
        file=tmp_path / "training.pt",
        fingerprint="",
        progress=lambda _: None,
    )
    scores = [(epoch.held_out_accuracy, -epoch.held_out_loss) for epoch in found.epochs]
    assert found.best_epoch == max(range(len(scores)), key=lambda i: scores[i])
    assert len(scores) == found.best_epoch + 1 + 3 < 20
    logits = logits_of(training.part, pixels)
    loss = torch.nn.functional.cross_entropy(logits, wrong)
    assert float(loss) == found.epochs[found.best_epoch].held_out_loss


def test_a_loss_that_is_no_number_is_said(
    colour_folder: Path, tiny_base: Path, tmp_path: Path
) -> None:
    with pytest.raises(vitviz.VitvizError, match="lower the rate"):
        vitviz.finetune(
            colour_folder, tmp_path, replace(QUICK, train="all", rate=1e30), base=tiny_base
        )


def test_layer_decay_is_a_power_of_the_distance_from_the_head(tiny_base: Path) -> None:
    plan = Plan(steps=5, warmup=0, rate=0.1, blocks=None, layer_decay=0.5)
    pixels, targets = torch.zeros(2, 3, 32, 32), torch.tensor([0, 1])
    own, training = start(vitviz.load_model(tiny_base), ["a", "b"], pixels, targets, plan)
    names = {id(parameter): name for name, parameter in own.module.named_parameters()}
    powers = {"head": 0, "norm": 1, "blocks.2": 1, "blocks.1": 2, "blocks.0": 3}
    seen = set()
    for group in training.optimizer.param_groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            power = next((p for start, p in powers.items() if name.startswith(start)), 4)
            assert group["lr"] == pytest.approx(0.1 * 0.5**power), name
            assert group["weight_decay"] == (
                0 if parameter.ndim == 1 or name in ("pos_embed", "cls_token") else plan.decay
            )
            seen.add(name)
    assert seen == set(names.values())
    assert training.step().rate == pytest.approx(0.1)


def test_what_does_not_fit_into_memory_is_computed_in_every_step(
    colour_folder: Path, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)  # no bfloat16
    weights = []
    for room in (training_photos.ROOM, 0):
        monkeypatch.setattr(training_photos, "ROOM", room)
        vitviz.finetune(
            colour_folder, tmp_path / str(room), replace(QUICK, train=1), base=tiny_base
        )
        weights.append(load_file(tmp_path / str(room) / "model.safetensors"))
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, atol=2e-4, rtol=1e-3)


def test_bfloat16_is_close_and_leaves_weights_and_logits_in_float32(tiny_base: Path) -> None:
    vit = vitviz.load_model(tiny_base)
    pixels = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    exact, rough = (TrainedPart(vit, None, bfloat16=b)(pixels) for b in (False, True))
    assert exact.dtype == rough.dtype == torch.float32
    assert not torch.equal(exact, rough)
    torch.testing.assert_close(rough, exact, atol=0.02, rtol=0.05)
    assert all(p.dtype == torch.float32 for p in vit.module.parameters())


@pytest.mark.parametrize("family", ["eva02", "dinov2 registers", "average pooled"])
def test_other_families(family: str, colour_folder: Path, tmp_path: Path) -> None:
    module = random_module(family)
    if family == "dinov2 registers":
        module.reset_classifier(0)  # many models come without a classifier
    save_for_hf(module, tmp_path / "base", safe_serialization=True)
    found = vitviz.finetune(
        colour_folder, tmp_path / "mine", replace(QUICK, train=1, epochs=1), base=tmp_path / "base"
    )
    vit = vitviz.load_model(tmp_path / "mine")
    rec = vitviz.record(vit, vitviz.load_image(next((colour_folder / "red").iterdir())))
    assert {p.label for p in rec.predictions} == set(COLOURS)
    assert sum(found.photos) == 3 * EACH


@pytest.mark.parametrize("name", sorted(set(FAMILIES) - {"deit distilled"}))  # two heads
def test_every_family_is_written_as_it_was_at_another_size(name: str, tmp_path: Path) -> None:
    module = random_classifier(name)
    save_for_hf(module, tmp_path / "base", safe_serialization=True)
    side = 3 * module.patch_embed.patch_size[0]
    own = private_copy(finetuning._resized(vitviz.load_model(tmp_path / "base"), side), "ab")
    finetuning._save(own, tmp_path / "mine")
    written, photo = vitviz.load_model(tmp_path / "mine"), make_photo()
    pixels = written.transform(photo)
    assert torch.equal(pixels, own.transform(photo))
    assert vitviz.record(written, photo).grid == (3, 3)
    with torch.no_grad():
        assert torch.equal(written.module(pixels[None]), own.module(pixels[None]))


def test_a_model_of_one_input_size_is_refused_another() -> None:
    vit = vitviz.Vit(torch.nn.Linear(2, 2), "odd", [], torch.as_tensor)
    assert finetuning._resized(vit, None) is vit
    with pytest.raises(vitviz.VitvizError, match="odd has one input size only"):
        finetuning._resized(vit, 28)


def test_another_input_size_is_the_written_models_own(
    colour_folder: Path, tiny_base: Path, tmp_path: Path
) -> None:
    vitviz.finetune(colour_folder, tmp_path / "mine", replace(QUICK, size=16), base=tiny_base)
    vit = vitviz.load_model(tmp_path / "mine")
    rec = vitviz.record(vit, vitviz.load_image(next((colour_folder / "red").iterdir())))
    assert rec.pixels.shape == (3, 16, 16)
    assert rec.grid == (2, 2)
    with pytest.raises(vitviz.VitvizError, match="have 8 px; 30 px is no multiple"):
        vitviz.finetune(colour_folder, tmp_path / "other", replace(QUICK, size=30), base=tiny_base)


def test_every_class_gives_its_share_to_the_held_out_photos() -> None:
    counts = [2, 3, 10, 100]
    kept, held = hold_out(counts, 2, 0.2, seed=3)
    ends = np.cumsum(counts)
    shares = np.bincount(np.searchsorted(ends, held, side="right"), minlength=4)
    assert shares.tolist() == [1, 1, 2, 20]
    assert sorted(kept + held) == list(range(115))
    assert (kept, held) == hold_out(counts, 2, 0.2, seed=3)
    assert held != hold_out(counts, 2, 0.2, seed=4)[1]
    assert hold_out([4, 4], 2, 0.99, seed=0)[0] != []


def test_views_depend_on_seed_step_and_photo_only() -> None:
    photos = [Image.new("RGB", (4, 4))] * 3
    torch.manual_seed(7)
    first = torch.rand(1)
    torch.manual_seed(7)
    draw = views(photos, lambda _: torch.rand(2), seed=5)
    numbers = torch.tensor([2, 0])
    found = draw(numbers, 4)
    assert torch.equal(torch.rand(1), first)  # the common random numbers are as they were
    assert torch.equal(found.flip(0), draw(numbers.flip(0), 4))
    assert not torch.equal(found, draw(numbers, 5))
    assert not torch.equal(found, views(photos, lambda _: torch.rand(2), seed=6)(numbers, 4))


@pytest.mark.slow
def test_the_digits_are_learned_from_a_folder(tmp_path: Path, capsys) -> None:
    from benchmarks.digits import write_digits

    assert write_digits(tmp_path / "digits") == 1797
    call = ["finetune", str(tmp_path / "digits"), "--out", str(tmp_path / "mine"), "--json"]
    assert main([*call, "--train", "4", "--size", "56", "--epochs", "10"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["held_out"] == 359
    assert result["accuracy"] >= 0.97
    vit = vitviz.load_model(tmp_path / "mine")
    assert vit.labels == tuple("0123456789")


@pytest.mark.filterwarnings("ignore::vitviz.VitvizWarning")
def test_the_report_says_where_a_map_shows_nothing(tmp_path: Path) -> None:
    """A head of zeros: no patch speaks for any class."""
    module = random_module("vit")
    torch.nn.init.zeros_(module.head.weight)
    vit = vitviz.from_module(module)
    make_photo().save(tmp_path / "a.png")
    notices = _example(vit, vit, tmp_path / "a.png")["notices"]
    assert notices == ["relevance after: This map is 0 everywhere: nothing was found."]
