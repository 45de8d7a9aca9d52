"""The app in a real Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import fake_hub
import light_app
import pytest
import timm
import torch
from fake_hub import Hub
from journey_pages import SAMPLE
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright
from serving import served
from timm.models import save_for_hf

import vitviz

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",  # a camera that shows a test picture
    "--use-fake-ui-for-media-stream",
]


expect.set_options(timeout=120_000)  # a busy machine is no defect


@pytest.fixture(scope="session")
def hub() -> Iterator[Hub]:
    """A model hub that has one model."""
    with fake_hub.running(fake_hub.weights()) as hub:
        yield hub


@pytest.fixture(scope="session")
def own_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where the server looks for models besides its own, empty at first."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def flowers(own_models: Path) -> str:
    """A model that is put into the folder while the server runs, once: written anew it would be
    another one, and the server holds few. Its name."""
    torch.manual_seed(0)
    module = timm.create_model("vit_tiny_patch16_224", depth=2, num_classes=2)
    names = {"label_names": ["rose", "tulip"]}
    save_for_hf(module, own_models / "flowers", safe_serialization=True, model_config=names)
    return "flowers"


@pytest.fixture(scope="session")
def server(hub: Hub, own_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app on a free port of this machine; its address."""
    settings = {
        "VITVIZ_MODELS": str(own_models),
        "VITVIZ_ALLOW_DOWNLOADS": "1",
        "VITVIZ_MODELS_IN_MEMORY": "9",  # pages of earlier tests hold theirs for two minutes
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(tmp_path_factory.mktemp("cache")),
        "NO_PROXY": "*",
    }
    with served(["-m", "vitviz", "app"], settings) as address:
        yield address


@pytest.fixture(scope="session")
def light_server() -> Iterator[str]:
    """The same with a light model, for what does not hang on what the bundled one has learned."""
    with served([str(Path(light_app.__file__))], {}) as address:
        yield address


@pytest.fixture(scope="session")
def rec() -> vitviz.Recording:
    """The bundled model's recording of the sample that the journey's tests show."""
    photo = next(sample.path for sample in vitviz.samples() if sample.id == SAMPLE)
    return vitviz.record(vitviz.load_model(), photo)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        path = shutil.which("chromium-headless-shell")
        yield playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)


def complaints(said: ConsoleMessage) -> list[str]:
    """An error on the console, but for addresses that Streamlit itself tries in vain below a page's
    own path before it finds the server's root, and for pictures that were replaced before a busy
    machine had loaded them, which Streamlit forgets."""
    complaint = f"{said.text} {said.location['url']}"
    usual = "/_stcore/" in complaint or "/media/" in complaint
    return [] if said.type != "error" or usual else [complaint]


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A desktop page; an error of a script or on the console fails the test, and so does a picture
    that is missing at its end. Nothing moves: a third of a page's processor time is moving."""
    errors: list[str] = []
    page = browser.new_page(
        viewport={"width": 1280, "height": 900}, accept_downloads=True, reduced_motion="reduce"
    )
    page.set_default_timeout(120_000)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.extend(complaints(said)))
    yield page
    page.wait_for_function("[...document.images].every((image) => image.naturalWidth > 0)")
    page.close()
    assert not errors
