"""Pretrained models through a hub: fetched, found in its cache, or written to a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fake_hub
import pytest
import timm
import torch
from fake_hub import NAME, REPOSITORY, Hub
from families import make_photo
from safetensors.torch import load

import vitviz
from vitviz.zoo import load as zoo
from vitviz.zoo.hub import cached_weights


@pytest.fixture(scope="module")
def content() -> bytes:
    return fake_hub.weights()


@pytest.fixture
def hub(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with fake_hub.running(content) as hub:
        fake_hub.use(hub.address, tmp_path / "cache", monkeypatch)
        yield hub


def same_as(vit: vitviz.Vit, content: bytes) -> bool:
    """Whether the model has exactly these weights."""
    state = vit.module.state_dict()
    expected = load(content)
    return state.keys() == expected.keys() and all(
        torch.equal(state[key], expected[key]) for key in state
    )


def test_a_model_is_fetched_once(hub: Hub, content: bytes) -> None:
    vit = vitviz.load_model(NAME)
    assert same_as(vit, content)
    assert vit.name == NAME
    assert len(vit.labels) == 21843
    asked = list(hub.asked)
    assert same_as(vitviz.load_model(NAME), content)
    assert hub.asked == asked


@pytest.mark.usefixtures("hub")
def test_progress_ends_the_fetching() -> None:
    def stop(share: float) -> None:
        if share > 0.1:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        vitviz.load_model(NAME, progress=stop)
    assert cached_weights(REPOSITORY) is None


def test_weights_of_another_model_in_the_cache(hub: Hub) -> None:
    module = timm.create_model("vit_tiny_patch16_224", depth=2, num_classes=21843)
    hub.content = fake_hub.as_file(module)
    hub.sha256 = "an-etag-that-is-no-sha256"
    with pytest.raises(vitviz.ModelError, match=rf"{NAME} cannot be loaded: .*lacks blocks\.2\."):
        vitviz.load_model(NAME)


@pytest.mark.usefixtures("hub")
def test_a_folder_for_a_machine_without_a_network(tmp_path: Path, content: bytes) -> None:
    made = zoo.save_pretrained(NAME, tmp_path / "models")
    assert made == tmp_path / "models" / NAME
    assert {path.name for path in made.iterdir()} == {"config.json", "model.safetensors"}
    assert [path.name for path in made.parent.iterdir()] == [NAME]
    assert cached_weights(REPOSITORY) is None
    assert zoo.save_pretrained(NAME, tmp_path / "models") == made
    vit, photo = vitviz.load_model(made), make_photo()
    assert same_as(vit, content)
    fetched = vitviz.load_model(NAME)
    assert vit.labels == fetched.labels
    assert str(vit.transform) == str(fetched.transform)
    assert torch.equal(vitviz.record(vit, photo).logits, vitviz.record(fetched, photo).logits)


def test_a_hub_without_the_model(hub: Hub, tmp_path: Path) -> None:
    hub.status = 404
    with pytest.raises(vitviz.ModelUnavailable, match="has no weights"):
        zoo.save_pretrained(NAME, tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.usefixtures("hub")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(vitviz.VitvizError, match="cannot be written"):
        zoo.save_pretrained(NAME, tmp_path / "file")


def test_a_model_nobody_trained() -> None:
    with pytest.raises(vitviz.ModelUnavailable, match="no pretrained weights"):
        vitviz.load_model("vit_base_patch16_xp_224")


def test_a_model_that_is_elsewhere() -> None:
    with pytest.raises(vitviz.ModelUnavailable, match=r"get them from http.*architecture=gcvit"):
        vitviz.load_model("gcvit_tiny.in1k")


def test_what_captions_taught_is_no_classifier(hub: Hub) -> None:
    """The 512 numbers of a CLIP model are an embedding; they are not shown as classes."""
    name = "vit_base_patch32_clip_224.openai"
    hub.content = fake_hub.as_file(timm.create_model(name, pretrained=False))
    hub.sha256 = "an-etag-that-is-no-sha256"
    rec = vitviz.record(vitviz.load_model(name), make_photo())
    assert rec.predictions == []
    assert rec.logits.shape == (0,)
