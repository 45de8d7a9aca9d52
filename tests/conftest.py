"""Fixtures: a small random model of every family, and a photo."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from colour_photos import COLOURS, EACH, write_photo
from families import FAMILIES, make_photo, random_module
from hypothesis import settings
from PIL import Image
from streamlit.components.v2 import manifest_scanner
from timm.models import save_for_hf
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

import vitviz

settings.register_profile("any machine", deadline=None)  # a busy one is no defect
settings.load_profile("any machine")


# Seen in a browser, but not of the app with the bundled model, or of no app at all.
LIGHT = ("test_course", "test_journey_on_disk", "test_live_class", "test_steps.py::test_every_step")


class ByFile(LoadScopeScheduling):
    """A file's tests share what they set up, so that one worker takes the file; and one takes all
    that is seen of the app in a browser, another what needs less: each has one Chromium, and while
    they wait for pages a third computes."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        if not file.startswith("tests/browser/"):
            return file
        return "light pages" if any(part in nodeid for part in LIGHT) else "the app"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile | None:
    """Where `make test` asks for it."""
    return ByFile(config, log) if config.getvalue("dist") == "loadscope" else None


@pytest.fixture(scope="session", autouse=True)
def _components_are_sought_once() -> Iterator[None]:
    """Every AppTest reads the metadata of all installed packages for Streamlit components, most of
    the time that it takes; they stay the same."""
    with pytest.MonkeyPatch.context() as patch:
        seek = manifest_scanner.scan_component_manifests
        patch.setattr(manifest_scanner, "scan_component_manifests", cache(seek))
        yield


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def vit(family: str) -> vitviz.Vit:
    return vitviz.from_module(random_module(family))


@pytest.fixture
def photo() -> Image.Image:
    return make_photo()


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random ViT with 17 tokens, in timm's hub layout."""
    torch.manual_seed(0)
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "num_heads": 3, "depth": 3}
    module = timm.create_model("vit_tiny_patch16_224", num_classes=5, **sizes)
    folder = tmp_path_factory.mktemp("base")
    save_for_hf(module, folder, safe_serialization=True)
    return folder


@pytest.fixture(scope="session")
def colour_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten noisy photos of each of three colours."""
    root = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        for number in range(EACH):
            write_photo(root / name / f"{number}.png", colour, generator)
    return root
