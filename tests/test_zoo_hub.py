"""Weights that are not on this machine, and a hub that does not give them."""

from __future__ import annotations

import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import vitviz
from vitviz import zoo


def test_a_model_nobody_trained() -> None:
    with pytest.raises(vitviz.ModelUnavailable, match="no pretrained weights"):
        vitviz.load_model("vit_base_patch16_xp_224")


def test_weights_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """The promise is an answer within ten seconds, whatever the network does."""

    class Silent:
        def head(self, *_: object, **__: object) -> None:
            time.sleep(60)

    monkeypatch.setattr(zoo.huggingface_hub, "get_session", Silent)
    start = time.monotonic()
    with pytest.raises(vitviz.ModelUnavailable, match="copy its folder to models/"):
        vitviz.load_model("vit_giant_patch14_clip_224.laion2b")
    assert time.monotonic() - start < 10


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
