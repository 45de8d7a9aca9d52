"""A model hub on this machine, which serves one small file of weights, or does not."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save
from torch import nn

NAME = "vit_tiny_patch16_224.augreg_in21k"
REPOSITORY = f"timm/{NAME}"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def weights() -> bytes:
    """A model.safetensors of that name, with random numbers."""
    torch.manual_seed(0)
    return as_file(timm.create_model(NAME, pretrained=False))


def as_file(module: nn.Module) -> bytes:
    return save(module.state_dict())


class Hub(http.server.ThreadingHTTPServer):
    """Serves `content` as model.safetensors; `serve` writes a body, `status` is every answer's."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.files = {"model.safetensors"}
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.status = 200
        self.headers: dict[str, str] = {}
        self.before_head: Callable[[], object] = lambda: None
        self.serve: Callable[[Handler, bytes], object] = lambda handler, body: handler.send(body)
        self.released = threading.Event()  # for whoever waits until the test is over
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """Whoever asked has gone away, as some tests want."""

    def hold(self, *_: object) -> None:
        """Answer nothing until the test is over."""
        self.released.wait()


class Handler(http.server.BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.server.before_head()
        self.head()

    def do_GET(self) -> None:
        if self.head():
            self.server.serve(self, self.server.content)

    def head(self) -> bool:
        """Status and headers as the hub sends them; whether a body follows."""
        hub = self.server
        hub.asked.append(f"{self.command} {self.path}")
        there = self.path.rpartition("/")[2] in hub.files
        status = hub.status if there or hub.status != 200 else 404
        self.send_response(status)
        headers = {"x-repo-commit": COMMIT, "content-length": "0"}
        if status == 404:
            headers["x-error-code"] = "EntryNotFound"
        elif status == 200:
            headers |= {"etag": f'"{hub.sha256}"', "content-length": str(len(hub.content))}
        for name, value in (headers | hub.headers).items():
            self.send_header(name, value)
        self.end_headers()
        return status == 200

    def send(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running(content: bytes) -> Iterator[Hub]:
    hub = Hub(content)
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.released.set()
        hub.shutdown()
        hub.server_close()
        thread.join()


def use(address: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process and those it starts ask that hub, with a cache of their own."""
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setenv("NO_PROXY", "*")
