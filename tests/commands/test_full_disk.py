"""A disk that takes no more: one sentence, and what was finished is there for the next run.

The operating system refuses to let any file grow beyond a limit, whoever writes it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import fake_hub
import pytest
import torch
from fake_hub import NAME
from safetensors.torch import load_file
from timm.models import save_for_hf

import vitviz
from vitviz.commands.main import main
from vitviz.files import whole_file
from vitviz.finetuning import report
from vitviz.training.training import Training

resource = pytest.importorskip("resource")
finetuning = sys.modules["vitviz.finetuning.finetune"]  # the package has a function of that name


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """Whatever writes more bytes into a file, here or in a process begun here, fails."""
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, kept[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)


class TestFinetune:
    @pytest.fixture
    def tune(self, colour_folder: Path, tiny_base: Path) -> Callable[[Path], int]:
        """Runs the command into a folder; gives its exit code."""
        settings = ["--epochs", "3", "--batch", "5", "--rate", "3e-3", "--base", str(tiny_base)]
        return lambda out: main(["finetune", str(colour_folder), "--out", str(out), *settings])

    @pytest.fixture
    def steps(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """The number of every step of a training from now on."""
        done: list[int] = []
        real = Training.step

        def step(training: Training) -> object:
            done.append(training.done)
            return real(training)

        monkeypatch.setattr(Training, "step", step)
        return done

    def check(self, tune: Callable[[Path], int], out: Path) -> None:
        """The next run ends as one that was never stopped."""
        assert tune(out) == 0
        assert sorted(file.name for file in out.iterdir()) == [
            "config.json",
            "model.safetensors",
            "report.html",
        ]
        assert tune(out.parent / "at once") == 0
        one, other = (
            load_file(folder / "model.safetensors") for folder in (out, out.parent / "at once")
        )
        assert all(torch.equal(one[name], other[name]) for name in one)

    def test_no_room_for_the_state(self, tune, tmp_path: Path, capsys) -> None:
        out = tmp_path / "mine"
        with no_file_beyond(1000):
            assert tune(out) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert last == f"vitviz: {out / 'training.pt'} cannot be written: File too large."
        assert list(out.iterdir()) == []
        self.check(tune, out)

    def test_no_room_for_a_later_state(
        self, tune, steps: list[int], tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The state of the epoch before is what the next run goes on from."""
        out, real = tmp_path / "mine", torch.save

        def save(state: dict, file: object) -> None:
            with no_file_beyond(1000 if len(state["epochs"]) > 1 else resource.RLIM_INFINITY):
                real(state, file)

        with monkeypatch.context() as patch:
            patch.setattr(torch, "save", save)
            assert tune(out) == 2
        assert capsys.readouterr().err.splitlines()[-1].endswith("written: File too large.")
        assert [file.name for file in out.iterdir()] == ["training.pt"]
        epoch = len(steps) // 2
        del steps[:]
        assert tune(out) == 0
        assert steps[0] == epoch

    @pytest.mark.parametrize("stage", ["weights", "report"])
    def test_no_room_for_the_model_or_its_report(
        self,
        stage: str,
        tune,
        steps: list[int],
        tmp_path: Path,
        capsys,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """What was trained is kept, and half a model is none."""
        out = tmp_path / "mine"

        def save(*args: object, **named: object) -> None:
            with no_file_beyond(100_000):
                save_for_hf(*args, **named)

        @contextmanager
        def file(path: Path) -> Iterator[object]:
            with no_file_beyond(10_000), whole_file(path) as opened:
                yield opened

        with monkeypatch.context() as patch:
            if stage == "weights":
                patch.setattr(finetuning, "save_for_hf", save)
            else:
                patch.setattr(report, "whole_file", file)
            assert tune(out) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        place = out if stage == "weights" else out / "report.html"
        assert last.startswith(f"vitviz: {place} cannot be written: ")
        assert "File too large" in last
        assert (out / "config.json").exists() == (stage == "report")
        assert not (out / "report.html").exists()
        trained = list(steps)
        self.check(tune, out)
        assert steps == 2 * trained  # the one that was never stopped; this one trained no more


class TestFetch:
    @pytest.fixture(autouse=True)
    def hub(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        with fake_hub.running(fake_hub.weights()) as hub:
            fake_hub.use(hub.address, tmp_path / "cache", monkeypatch)
            yield

    @pytest.mark.parametrize("cached", [False, True], ids=["to fetch", "to write"])
    def test_no_room_for_a_model(self, cached: bool, tmp_path: Path, capsys) -> None:
        """A folder that was there before stays, and nothing else does."""
        models = tmp_path / "models"
        (models / "before").mkdir(parents=True)
        if cached:
            vitviz.load_model(NAME)
        with no_file_beyond(10**6):
            assert main(["fetch", NAME, "--out", str(models)]) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        if cached:
            assert last.startswith(f"vitviz: {models / NAME} cannot be written: ")
            assert "File too large" in last
        else:
            assert last == (
                f"vitviz: There is no room on the disk for the weights of {NAME}; make some and "
                "try again."
            )
        assert [folder.name for folder in models.iterdir()] == ["before"]
        assert main(["fetch", NAME, "--out", str(models)]) == 0
        assert vitviz.load_model(models / NAME).name == NAME
