"""Photos measured by two processes of a Ray cluster: the same rows as by one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch
from families import random_classifier, random_module
from PIL import Image
from timm.models import save_for_hf

import vitviz
from vitviz.commands.main import main
from vitviz.measures.cluster import other_than_asked
from vitviz.measures.evaluation import evaluate
from vitviz.measures.measuring import Plan

CHOSEN: dict[str, Any] = {
    "methods": ["rollout", "legrad"],
    "metrics": ["deletion", "negative", "saco"],
    "steps": 4,
    "seeds": 2,
}
RAY: dict[str, Any] = {"engine": "ray", "workers": 2}
ONE: dict[str, Any] = {"engine": "ray", "workers": 1}  # each takes seconds to start


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of one on this machine, which this process is connected to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init("local", num_cpus=2, log_to_driver=False)
        yield ray.get_runtime_context().gcs_address
        ray.shutdown()


@pytest.fixture(scope="module")
def vit() -> vitviz.Vit:
    return vitviz.from_module(random_classifier("vit", depth=2))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve photos, one of them in a sub-folder, and one that cannot be read."""
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    for number in range(12):
        name = f"{'sub/' * (number == 7)}{number:02}.png"
        noise = np.random.default_rng(number).integers(0, 256, (40, 40 + number, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "05 broken.png").write_text("none")
    return tmp_path / "photos"


@pytest.mark.usefixtures("cluster")
def test_both_engines_write_the_same(vit: vitviz.Vit, folder: Path, tmp_path: Path) -> None:
    shares: list[float] = []
    one = evaluate(vit, folder, **CHOSEN, out=tmp_path / "one.csv")
    two = evaluate(vit, folder, **CHOSEN, **RAY, out=tmp_path / "two.csv", progress=shares.append)
    assert one == two
    assert [error["photo"] for error in two.errors] == ["05 broken.png"]
    for name in ("{}.csv", "{}.json"):
        first, second = (tmp_path / name.format(engine) for engine in ("one", "two"))
        assert first.read_bytes() == second.read_bytes()
    assert shares == pytest.approx(np.arange(1, 14) / 13)


@pytest.mark.usefixtures("cluster")
def test_either_goes_on_where_the_other_stopped(
    vit: vitviz.Vit, folder: Path, tmp_path: Path
) -> None:
    def end(share: float) -> None:
        if share > 0.3:
            raise KeyboardInterrupt

    whole = tmp_path / "whole.csv"
    expected = evaluate(vit, folder, **CHOSEN, out=whole)
    for number, (first, then) in enumerate([({}, ONE), (RAY, {})]):
        out = tmp_path / f"{number}.csv"
        with pytest.raises(KeyboardInterrupt):
            evaluate(vit, folder, **CHOSEN, **first, out=out, progress=end)
        kept = out.read_bytes()
        assert 3 * 3 <= len(kept.splitlines()) < 3 * 6
        assert evaluate(vit, folder, **CHOSEN, **then, out=out) == expected
        if first:  # whole photos only
            assert out.read_bytes() == whole.read_bytes()
        else:
            assert sorted(out.read_bytes().splitlines()) == sorted(whole.read_bytes().splitlines())


@pytest.mark.usefixtures("cluster")
def test_both_stop_at_the_same_photo(vit: vitviz.Vit, folder: Path, tmp_path: Path) -> None:
    chosen = {**CHOSEN, "metrics": ["deletion"], "width": 1.0}
    one = evaluate(vit, folder, **chosen, out=tmp_path / "one.csv")
    two = evaluate(vit, folder, **chosen, **RAY, out=tmp_path / "two.csv")
    assert one == two
    assert one.used == 10
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


def test_the_command_joins_the_cluster_that_is_named(
    cluster: str, folder: Path, tmp_path: Path
) -> None:
    save_for_hf(random_classifier("vit", depth=1), tmp_path / "model", safe_serialization=True)
    asked = [str(folder), "--methods", "attention", "--metrics", "saco"]
    model = ["--model", str(tmp_path / "model"), "--out"]
    assert main(["evaluate", *asked, *model, str(tmp_path / "one.csv")]) == 2  # the broken one
    on_cluster = ["--engine", "ray", "--workers", "1", *model, str(tmp_path / "two.csv")]
    done = subprocess.run(
        [sys.executable, "-m", "vitviz", "evaluate", *asked, *on_cluster],
        env={**os.environ, "RAY_ADDRESS": cluster},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    assert "05 broken.png: This is not an image" in done.stderr
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


@pytest.mark.usefixtures("cluster")
def test_a_model_that_is_only_here_is_sent(folder: Path) -> None:
    """Its class is known to no other process, and its transform is a function within this one."""

    class Doubled(torch.nn.Module):
        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return 2 * self.inner(pixels)

    own = vitviz.from_module(random_classifier("vit")).transform
    vit = vitviz.from_module(
        Doubled(random_classifier("vit", depth=1)), transform=lambda photo: own(photo) / 2
    )
    one = evaluate(vit, folder, **CHOSEN, limit=2)
    assert evaluate(vit, folder, **CHOSEN, **ONE, limit=2) == one
    assert len(one.summaries) == 3 * 3


@pytest.mark.usefixtures("cluster")
def test_a_model_that_cannot_be_sent(vit: vitviz.Vit, folder: Path) -> None:
    lock = threading.Lock()

    def locked(photo: Image.Image) -> torch.Tensor:
        with lock:
            return vit.transform(photo)

    bound = replace(vit, transform=locked)
    with pytest.raises(vitviz.VitvizError, match="cannot be sent to a worker") as met:
        evaluate(bound, folder, **CHOSEN, **ONE)
    assert met.value.id == "model_not_sent"


@pytest.mark.usefixtures("cluster")
def test_a_model_that_a_worker_cannot_make(vit: vitviz.Vit, folder: Path) -> None:
    class Here:
        """Can be written, and not be read again."""

        def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
            return __import__, ("of_this_machine_alone",)

    vit = replace(vit, labels=[Here()])  # type: ignore[list-item]
    with pytest.raises(vitviz.VitvizError, match="cannot be sent to a worker") as met:
        evaluate(vit, folder, **CHOSEN, **ONE)
    assert met.value.id == "model_not_sent"


@pytest.mark.usefixtures("cluster")
def test_a_worker_that_dies_loses_no_finished_photo(
    vit: vitviz.Vit, folder: Path, tmp_path: Path
) -> None:
    own, here = vit.transform, os.getpid()

    def deadly(photo: Image.Image) -> torch.Tensor:
        if photo.width == 46 and os.getpid() != here:
            os._exit(1)
        return own(photo)

    out = tmp_path / "results.csv"
    with pytest.raises(vitviz.VitvizError, match="A worker has died"):
        evaluate(replace(vit, transform=deadly), folder, **CHOSEN, **RAY, out=out)
    assert 1 + 3 * 4 <= len(out.read_text().splitlines()) <= 1 + 3 * 6
    found = evaluate(replace(vit, transform=deadly), folder, **CHOSEN, out=out)
    assert found == evaluate(vit, folder, **CHOSEN)


@pytest.mark.usefixtures("cluster")
def test_what_ends_a_run_in_a_worker_ends_it_here(folder: Path) -> None:
    module = random_module("vit", depth=1)
    module.reset_classifier(1)
    vit = vitviz.from_module(module)
    with pytest.raises(vitviz.VitvizError, match="gives scores, which have no bounds"):
        evaluate(vit, folder, metrics=["saco"], methods=["attention"], width=0.1, **ONE)


@pytest.mark.usefixtures("cluster")
def test_a_cluster_that_is_too_small(vit: vitviz.Vit, folder: Path) -> None:
    with pytest.raises(vitviz.VitvizError, match="has 2 processors"):
        evaluate(vit, folder, **CHOSEN, engine="ray", workers=3)


def test_a_worker_that_would_measure_something_else(
    vit: vitviz.Vit, folder: Path, tmp_path: Path
) -> None:
    plan = Plan(folder, ("attention",), ("saco",), 4, 2)
    weights = vitviz.explain(vitviz.record(vit, Image.new("RGB", (40, 40))), "attention")
    assert weights.made_from is not None
    assert other_than_asked(vit, plan, weights.made_from.weights) is None
    for other, hash, says in [
        (plan, "0" * 64, "weights_changed_on_way"),
        (replace(plan, folder=tmp_path / "none"), weights.made_from.weights, "folder_not_shared"),
        (replace(plan, masks=tmp_path / "none"), weights.made_from.weights, "folder_not_shared"),
    ]:
        refusal = other_than_asked(vit, other, hash)
        assert refusal is not None
        assert refusal.id == says


@pytest.mark.parametrize("address", ["127.0.0.1:9", "nonsense"])
def test_a_cluster_that_is_not_there(
    vit: vitviz.Vit, folder: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(vitviz.VitvizError, match=f"no Ray cluster at {address}: .+; check RAY_A"):
        evaluate(vit, folder, **CHOSEN, **RAY)


def test_without_ray_one_sentence_says_how(
    vit: vitviz.Vit, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(vitviz.VitvizError) as met:
        evaluate(vit, folder, **CHOSEN, **RAY)
    assert str(met.value) == "The engine “ray” needs Ray: pip install 'vitviz[ray]'."


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ({"engine": "spark"}, "no engine “spark”; choose from process, ray"),
        ({"engine": "ray", "workers": 0}, "a whole number from 1"),
        ({"workers": 2}, "of the engine “ray”, not 2 of “process”"),
    ],
)
def test_no_such_engine(vit: vitviz.Vit, folder: Path, chosen: dict[str, Any], says: str) -> None:
    with pytest.raises(vitviz.VitvizError, match=says):
        evaluate(vit, folder, **CHOSEN, **chosen)
