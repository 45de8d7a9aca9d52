"""What is offered, and what is said of it before it is loaded."""

from __future__ import annotations

import time
from pathlib import Path

import fake_hub
import pytest
import timm
import torch
from timm.models import is_model_pretrained, save_for_hf

import vitviz
from vitviz.zoo import catalogue
from vitviz.zoo.catalogue import BUNDLED, CURATED, count, offer, offers, search
from vitviz.zoo.hub import fetch_weights


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own models, empty at first."""
    monkeypatch.setenv("VITVIZ_MODELS", str(tmp_path))
    return tmp_path


def put(folder: Path, classes: int = 3) -> int:
    """A small model in a folder; how many parameters it has."""
    torch.manual_seed(0)
    module = timm.create_model("vit_tiny_patch16_224", depth=1, num_classes=classes)
    save_for_hf(module, folder, safe_serialization=True)
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name", CURATED)
def test_a_curated_model_is_one_of_timms_and_its_size_is_right(name: str) -> None:
    assert is_model_pretrained(name)
    found = offer(name)
    assert found.parameters == count(name)
    assert found.licence == timm.get_pretrained_cfg(name).license
    assert found.note.endswith(".")


def test_the_list_begins_with_the_bundled_model_and_holds_every_curated_one() -> None:
    names = [o.name for o in offers()]
    assert names[0] == BUNDLED
    assert [name for name in names if name in CURATED] == list(CURATED)
    assert len(names) == len(set(names))
    assert offers()[0].here
    assert offers()[0].licence == "apache-2.0"


def test_a_folder_that_is_added_appears_at_once(own: Path) -> None:
    assert "mine" not in [o.name for o in offers()]
    parameters = put(own / "mine")
    found = next(o for o in offers() if o.name == "mine")
    assert found.parameters == parameters
    assert found.here
    assert found.folder == own / "mine"
    assert vitviz.load_model("mine").name == "mine"
    assert vitviz.bundled_models()[0] == BUNDLED
    assert "mine" not in vitviz.bundled_models()


def test_one_that_is_written_anew_is_another(own: Path) -> None:
    put(own / "mine")
    before = offer("mine")
    assert offer("mine") == before
    time.sleep(0.01)  # the clock of some file systems is slow
    parameters = put(own / "mine", classes=7)
    assert offer("mine").version != before.version
    assert offer("mine").parameters == parameters != before.parameters


def test_what_is_no_model_does_not_appear(own: Path) -> None:
    put(own / "whole")
    put(own / "half")
    (own / "half" / "config.json").unlink()
    put(own / "empty")
    (own / "empty" / "model.safetensors").unlink()
    put(own / ".fetching-x")
    (own / "file").touch()
    names = {o.name for o in offers()}
    assert names & {"whole", "half", "empty", ".fetching-x", "file"} == {"whole"}


def test_the_bundled_model_cannot_be_replaced(own: Path) -> None:
    put(own / BUNDLED)
    assert offer(BUNDLED).folder == catalogue.MODELS_DIR / BUNDLED


def test_what_is_in_the_hubs_cache_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_hub.running(fake_hub.weights()) as hub:
        fake_hub.use(hub.address, tmp_path, monkeypatch)
        assert not offer(fake_hub.NAME).here
        assert fake_hub.NAME not in [o.name for o in offers()]
        fetch_weights(fake_hub.REPOSITORY, fake_hub.NAME)
    assert offer(fake_hub.NAME).here
    assert offers()[1].name == fake_hub.NAME


def test_search_finds_every_word_in_any_order() -> None:
    found = search("dinov2 Small")
    assert "vit_small_patch14_reg4_dinov2.lvd142m" in found
    assert all("dinov2" in name and "small" in name for name in found)
    assert search("") == search("  ") == search("nonsense") == []
    assert search("vit_tiny")[0].startswith("vit_tiny")
    assert set(search("v")) <= set(timm.list_pretrained())


@pytest.mark.parametrize(
    ("licence", "free", "non_commercial"),
    [
        ("apache-2.0", True, False),
        ("mit", True, False),
        ("cc-by-nc-4.0", False, True),
        ("fair-noncommercial-research-license", False, True),
        ("dinov3-license", False, False),
        (None, False, False),
    ],
)
def test_licences(licence: str | None, free: bool, non_commercial: bool) -> None:
    found = catalogue.Offer("x", "", None, licence, False, None)
    assert (found.free, found.non_commercial) == (free, non_commercial)


def test_a_plain_architecture_is_offered_with_its_usual_weights() -> None:
    assert offer("vit_base_patch16_224").licence == "apache-2.0"


@pytest.mark.parametrize(
    "name",
    [
        "../vit_small_patch14_in1k",
        "/etc",
        "models/vit_small_patch14_in1k",
        ".",
        "..",
        "",
        "hf-hub:timm/vit_tiny_patch16_224",
        "local-dir:/etc",
        "https://example.org/model",
        "timm/vit_tiny_patch16_224.augreg_in21k",
        "vit_tiny_patch16_224.",
        "vit_tiny_patch16_224.nonsense",
        "vit_tiny_patch16_224.augreg_in21k/../..",
        "vit\0tiny",
        "x" * 100_000,
    ],
)
def test_a_path_or_an_address_is_no_name(name: str) -> None:
    with pytest.raises(vitviz.ModelError) as caught:
        offer(name)
    assert len(str(caught.value)) < 400


def test_an_unknown_name_is_answered_with_those_that_are_alike() -> None:
    with pytest.raises(vitviz.ModelError, match="did you mean “vit_base_patch16_224”"):
        offer("vit_base_patch_16_224")


@pytest.mark.parametrize(
    "name", ["vit_giant_patch14_dinov2.lvd142m", "swin_large_patch4_window7_224"]
)
def test_counting_needs_no_memory_for_the_numbers(name: str) -> None:
    assert count(name) > 190_000_000
