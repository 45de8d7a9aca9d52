"""Models in memory: bounded, the ones used longest ago leave first, and the bundled one stays."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from weakref import ref

import pytest
import timm
import torch
from families import make_photo
from timm.models import save_for_hf

import vitviz
from vitviz.ui.visit import shelf as ui_shelf
from vitviz.ui.visit.memory import leave_out_imports
from vitviz.ui.visit.shelf import Shelf, check_allowed
from vitviz.zoo.catalogue import BUNDLED, count, offer

NAMES = "abcde"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five small models."""
    for name in NAMES:
        save(tmp_path / name)
    monkeypatch.setenv("VITVIZ_MODELS", str(tmp_path))
    monkeypatch.setenv("VITVIZ_MODELS_IN_MEMORY", "3")
    return tmp_path


def save(folder: Path, classes: int = 3) -> None:
    torch.manual_seed(0)
    module = timm.create_model("vit_tiny_patch16_224", depth=1, num_classes=classes)
    save_for_hf(module, folder, safe_serialization=True)


@pytest.fixture
def loads(own: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that were loaded from disk."""
    assert own.is_dir()
    loaded: list[str] = []

    def counted(offered: vitviz.zoo.catalogue.Offer) -> vitviz.Vit:
        loaded.append(offered.name)
        return vitviz.zoo.load.load_offer(offered)

    monkeypatch.setattr(ui_shelf, "load_offer", counted)
    return loaded


def test_a_model_is_loaded_once(loads: list[str]) -> None:
    shelf = Shelf()
    first = shelf.take("a")
    assert shelf.take("a") is first
    assert loads == ["a"]


def test_the_one_used_longest_ago_leaves_first(loads: list[str]) -> None:
    shelf = Shelf()
    for name in ("a", "b", "a", "c"):  # two beside the bundled model
        shelf.take(name)
    shelf.take("a")
    assert loads == ["a", "b", "c"]
    shelf.take("b")
    assert loads == ["a", "b", "c", "b"]


def test_what_left_is_gone_from_memory_although_it_was_used(loads: list[str]) -> None:
    """Also after a recording with gradients, whose graph holds on to much."""
    shelf = Shelf()
    rec = vitviz.record(shelf.take("a"), make_photo())
    vitviz.explain(rec, "relevance")
    module = ref(rec.vit.module)
    del rec
    for name in "bcd":
        shelf.take(name)
    gc.collect()
    assert module() is None
    assert loads == ["a", "b", "c", "d"]


class Visit:
    """Something that holds itself, as a visitor's session does: only a collection frees it."""

    def __init__(self) -> None:
        self.itself = self


def test_a_visit_during_a_load_is_freed_when_it_is_over(loads: list[str]) -> None:
    shelf, visit = Shelf(), Visit()
    gone = ref(visit)
    shelf.take("a")
    del visit
    gc.collect()
    assert gone() is None
    assert loads == ["a"]


def test_garbage_does_not_stay_for_good_when_the_server_starts() -> None:
    gone = ref(Visit())
    leave_out_imports()
    try:
        assert gc.get_freeze_count() > 1000
        assert gone() is None
    finally:
        gc.unfreeze()


def test_one_that_a_recording_needs_stays_and_counts(loads: list[str]) -> None:
    shelf = Shelf()
    needed = [shelf.take("a"), shelf.take("b")]
    with pytest.raises(vitviz.ModelError, match="at most 3 models at once, and all are in use"):
        shelf.take("c")
    assert shelf.take("b") is needed[1]
    needed.pop(0)
    shelf.take("c")
    assert loads == ["a", "b", "c"]


def test_the_bundled_model_always_has_its_place(loads: list[str]) -> None:
    shelf = Shelf()
    needed = [shelf.take("a"), shelf.take("b")]
    bundled = ref(shelf.take(BUNDLED))
    del needed
    for name in "cdea":
        shelf.take(name)
    assert shelf.take(BUNDLED) is bundled()
    assert loads.count(BUNDLED) == 1


def test_a_folder_that_was_written_anew_is_loaded_anew(loads: list[str], own: Path) -> None:
    shelf = Shelf()
    assert shelf.take("a").module.num_classes == 3
    save(own / "a", classes=5)
    assert shelf.take("a").module.num_classes == 5
    assert loads == ["a", "a"]


def test_many_who_ask_at_once_get_the_same(loads: list[str]) -> None:
    shelf, taken = Shelf(), []
    threads = [threading.Thread(target=lambda: taken.append(shelf.take("a"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, taken))) == 1
    assert loads == ["a"]


def test_a_model_that_is_too_large_is_refused_before_it_is_loaded(
    loads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITVIZ_MAX_PARAMETERS", "600_000")
    shelf = Shelf()
    with pytest.raises(
        vitviz.ModelError, match=r"0\.6315 million parameters.*at most 0\.6 million"
    ):
        shelf.take("a")
    assert loads == []
    shelf.take(BUNDLED)
    assert loads == [BUNDLED]


def test_a_model_of_timm_is_counted_before_it_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "vit_7b_patch16_dinov3.lvd1689m"
    with pytest.raises(vitviz.ModelError, match=r"6716 million parameters.*at most 350 million"):
        check_allowed(offer(name))
    monkeypatch.setenv("VITVIZ_MAX_PARAMETERS", str(count(name)))
    check_allowed(offer(name))


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "hf-hub:a/b", "a/../b", ""])
def test_nothing_but_a_name_in_the_list_is_taken(name: str, loads: list[str]) -> None:
    with pytest.raises(vitviz.ModelError, match="no model called"):
        Shelf().take(name)
    assert loads == []
