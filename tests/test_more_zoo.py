"""To append to tests/test_zoo.py."""

from __future__ import annotations

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from families import make_photo, random_module
from timm.models import save_for_hf

import vitviz

SMALL = {"img_size": 32, "depth": 1, "embed_dim": 24, "num_heads": 2, "num_classes": 3}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    module = timm.create_model("vit_tiny_patch16_224", **SMALL)
    names = {"label_names": ["ant", "bee", "cow"]}
    save_for_hf(
        module, tmp_path / "mine", safe_serialization=True, model_config=names, model_args=SMALL
    )
    return tmp_path / "mine"


def test_a_saved_model_computes_the_same_bits(folder: Path) -> None:
    torch.manual_seed(0)
    module = timm.create_model("vit_tiny_patch16_224", **SMALL).eval()
    vit = vitviz.load_model(folder)
    rec = vitviz.record(vit, make_photo())
    with torch.no_grad():
        assert torch.equal(module(rec.pixels[None])[0], rec.logits)
    assert vit.labels == ("ant", "bee", "cow")


def edit(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda config: {**config, **changes}


def edit_cfg(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda config: {**config, "pretrained_cfg": {**config["pretrained_cfg"], **changes}}


@pytest.mark.parametrize(
    "change",
    [
        lambda _: [],
        lambda _: {},
        lambda _: "text",
        lambda _: None,
        edit(architecture=5),
        edit(model_args=[1]),
        edit(model_args={"nonsense": 1}),
        edit(pretrained_cfg=None),
        edit(pretrained_cfg="text"),
        edit(label_names=5),
        edit_cfg(mean="text"),
        edit_cfg(interpolation="text"),
        edit_cfg(input_size="text", fixed_input_size=False),
    ],
)
def test_a_config_of_the_wrong_shape(folder: Path, change: Callable[[Any], Any]) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(vitviz.ModelError, match=r"mine cannot be loaded: \S"):
        vitviz.load_model(folder)


@pytest.mark.parametrize("weights", [b"", b"hello", b"\0" * 4096])
def test_weights_that_are_no_weights(folder: Path, weights: bytes) -> None:
    (folder / "model.safetensors").write_bytes(weights)
    with pytest.raises(vitviz.ModelError, match=r"mine cannot be loaded: \S"):
        vitviz.load_model(folder)


@pytest.mark.parametrize(
    "name", ["vit_tiny_patch16_224.nonsense", "resnet", "hf-hub:a/b", "x" * 5000, "a\0b", " "]
)
def test_a_name_that_is_no_model(name: str) -> None:
    with pytest.raises(vitviz.ModelError) as caught:
        vitviz.load_model(name)
    assert name[:20] in str(caught.value)


def test_a_model_without_classes_has_no_predictions() -> None:
    vit = vitviz.from_module(
        timm.create_model("vit_tiny_patch16_224", **{**SMALL, "num_classes": 0})
    )
    rec = vitviz.record(vit, make_photo())
    assert vit.labels == ()
    assert rec.predictions == []
    assert rec.logits.shape == (0,)
    assert vitviz.explain(rec, "rollout").values.shape == (2, 2)


def test_the_number_of_threads_is_left_alone(folder: Path) -> None:
    before = torch.get_num_threads(), torch.get_num_interop_threads()
    vitviz.record(vitviz.load_model(folder), make_photo())
    assert (torch.get_num_threads(), torch.get_num_interop_threads()) == before


def test_another_models_labels_are_not_borrowed() -> None:
    assert vitviz.from_module(random_module("dinov2 registers")).labels == ()


class Failing(http.server.BaseHTTPRequestHandler):
    """A hub that is there, and out of order."""

    def do(self) -> None:
        self.send_response(200 if self.path == "/" else 503)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


for verb in ("HEAD", "GET"):
    setattr(Failing, f"do_{verb}", Failing.do)


@pytest.fixture(params=["closed port", "silent", "out of order"])
def hub(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a hub that gives no weights."""
    if request.param == "out of order":
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Failing)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        server.server_close()
        return
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        if request.param == "silent":  # connects, and never answers
            yield f"http://127.0.0.1:{port}"
            return
    yield f"http://127.0.0.1:{port}"


LOADING = """
import vitviz
print("ready", flush=True)
try:
    vitviz.load_model("vit_tiny_patch16_224")
except vitviz.ModelUnavailable as error:
    print(error)
"""


def test_an_answer_within_ten_seconds_whatever_the_hub_does(hub: str, tmp_path: Path) -> None:
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_ENDPOINT": hub, "NO_PROXY": "*"}
    root = Path(vitviz.__file__).parent.parent
    with subprocess.Popen(
        [sys.executable, "-c", LOADING],
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            said, _ = process.communicate(timeout=10)
        finally:
            process.kill()
    assert "vit_tiny_patch16_224" in said
