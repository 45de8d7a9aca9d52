"""Weights from a model hub, which gives them or, in every way that a hub has, does not."""

from __future__ import annotations

import inspect
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fake_hub
import huggingface_hub
import pytest
import torch
from fake_hub import Handler, Hub
from huggingface_hub import constants, file_download
from safetensors.torch import load_file, save

from vitviz.errors import ModelUnavailable
from vitviz.zoo import hub as vitviz_hub
from vitviz.zoo.hub import PATIENCE, cached_weights, fetch_weights
from vitviz.zoo.hub_process import SHORT

REPOSITORY = "somebody/some-model"
CONTENT = save({"numbers": torch.arange(250_000.0)})  # 1 MB


@pytest.fixture
def hub() -> Iterator[Hub]:
    with fake_hub.running(CONTENT) as running:
        yield running


@pytest.fixture(autouse=True)
def cache(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    fake_hub.use(hub.address, tmp_path / "cache", monkeypatch)
    return tmp_path / "cache"


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[str]]:
    """Those that were started to fetch something."""
    started: list[subprocess.Popen[str]] = []

    class Watched(subprocess.Popen[str]):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **kwargs)
            started.append(self)

    monkeypatch.setattr(vitviz_hub.subprocess, "Popen", Watched)
    return started


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that passes for whoever fetches; it stands still until a test moves it."""
    now = [0.0]
    monkeypatch.setattr(vitviz_hub, "monotonic", lambda: now[0])
    return now


def left_over(cache: Path) -> list[Path]:
    return [*cache.rglob("*.incomplete"), *cache.rglob("blobs/*")]


def test_a_file_arrives_whole_with_progress_and_is_then_here(hub: Hub, cache: Path) -> None:
    shares: list[float] = []
    assert cached_weights(REPOSITORY) is None
    file = fetch_weights(REPOSITORY, "some-model", shares.append)
    assert file.read_bytes() == CONTENT
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert len(set(shares)) > 5
    assert shares[-1] == pytest.approx(1)
    asked = len(hub.asked)
    assert cached_weights(REPOSITORY) == file
    assert file.is_relative_to(cache)
    assert len(hub.asked) == asked


def test_the_older_kind_of_file_is_taken_where_there_is_no_other(hub: Hub) -> None:
    hub.files = {"pytorch_model.bin"}
    assert fetch_weights(REPOSITORY, "some-model").name == "pytorch_model.bin"
    assert cached_weights(REPOSITORY) is not None


def test_it_can_go_to_another_folder(tmp_path: Path) -> None:
    file = fetch_weights(REPOSITORY, "some-model", cache=tmp_path / "other")
    assert file.is_relative_to(tmp_path / "other")
    assert cached_weights(REPOSITORY) is None


@pytest.mark.parametrize(
    ("status", "headers", "says"),
    [
        (404, {}, "has no weights of some-model"),
        (404, {"x-error-code": "RepoNotFound"}, "has no weights of some-model"),
        (401, {"x-error-code": "GatedRepo"}, "hf auth login"),
        (403, {"x-error-code": "GatedRepo"}, "hf auth login"),
        (401, {}, "hf auth login"),
        (500, {}, "cannot be reached"),
        (503, {}, "cannot be reached"),
    ],
)
@pytest.mark.usefixtures("clock")
def test_a_hub_that_refuses(
    status: int, headers: dict[str, str], says: str, hub: Hub, cache: Path
) -> None:
    """It is said at once: the clock stands still, so nobody waited for the end of the patience."""
    hub.status, hub.headers = status, headers
    with pytest.raises(ModelUnavailable, match=says):
        fetch_weights(REPOSITORY, "some-model")
    assert left_over(cache) == []


@pytest.mark.usefixtures("clock")
def test_a_port_where_nobody_listens(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_hub.use("http://127.0.0.1:9", cache, monkeypatch)
    with pytest.raises(ModelUnavailable, match="python -m vitviz fetch some-model"):
        fetch_weights(REPOSITORY, "some-model")


@pytest.mark.usefixtures("clock")
def test_no_hub_at_all(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        fetch_weights(REPOSITORY, "some-model")
    assert hub.asked == []


def half(handler: Handler, body: bytes) -> None:
    handler.send(body[: len(body) // 2])


def half_and_then_nothing(handler: Handler, body: bytes) -> None:
    half(handler, body)
    handler.server.hold()


def drip(handler: Handler, body: bytes) -> None:
    """A byte every few milliseconds: far from 64 KiB in as long as one waits for a piece."""
    for byte in body:
        handler.send(bytes([byte]))
        if handler.server.released.wait(0.005):
            return


SILENT = {
    "the page": ("before_head", lambda hub: hub.hold, "cannot be reached"),
    "the file": ("serve", lambda hub: hub.hold, "cannot be reached"),
    "slowly": ("serve", lambda _: drip, "cannot be reached"),
    "in the middle": ("serve", lambda _: half_and_then_nothing, "stopped arriving"),
}


@pytest.mark.parametrize("where", SILENT)
def test_silence_is_waited_for_only_so_long(
    where: str, hub: Hub, cache: Path, clock: list[float], processes: list[subprocess.Popen[str]]
) -> None:
    """Four seconds of silence are waited for; nine are not."""
    place, behaviour, says = SILENT[where]
    setattr(hub, place, behaviour(hub))
    shares: list[float] = []
    quiet = itertools.count()
    expected = 0.4 if where == "in the middle" else 0.0

    def progress(share: float) -> None:
        silent = hub.asked and share >= expected and shares and share == shares[-1]
        shares.append(share)
        if silent or where == "the page":
            clock[0] += 0.5 if next(quiet) < 8 else PATIENCE + 1

    with pytest.raises(ModelUnavailable, match=says):
        fetch_weights(REPOSITORY, "some-model", progress)
    assert next(quiet) >= 9
    [process] = processes
    assert process.poll() is not None
    assert left_over(cache) == []


def test_a_process_that_ignores_being_asked_to_end_is_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As while it looks a name up."""
    script = tmp_path / "stubborn.py"
    script.write_text(
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('{\"share\": 0.5}', flush=True)\ntime.sleep(3600)\n"
    )
    monkeypatch.setattr(vitviz_hub, "SCRIPT", script)

    def stop(share: float) -> None:
        if share:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_weights(REPOSITORY, "some-model", stop)


@pytest.mark.parametrize("damage", ["cut off", "changed", "no weights"])
def test_a_damaged_file_is_not_kept(damage: str, hub: Hub, cache: Path) -> None:
    if damage == "cut off":  # and the hub does not go on where it ended either
        hub.headers = {"connection": "close"}
        hub.content = CONTENT[:-1000]
        hub.sha256 = "an-etag-that-is-no-sha256"
    elif damage == "changed":
        hub.content = CONTENT[:-1] + b"\xff"
    else:
        hub.content, hub.sha256 = b"no weights at all", "an-etag-that-is-no-sha256"
    with pytest.raises(ModelUnavailable, match="arrived damaged"):
        fetch_weights(REPOSITORY, "some-model")
    assert cached_weights(REPOSITORY) is None
    assert left_over(cache) == []


def test_a_connection_that_breaks_is_taken_up_again(hub: Hub) -> None:
    served = iter([half])
    hub.serve = lambda handler, body: next(served, Handler.send)(handler, body)
    file = fetch_weights(REPOSITORY, "some-model")
    assert torch.equal(load_file(file)["numbers"], torch.arange(250_000.0))


def test_a_hub_that_begins_again_and_again(hub: Hub, cache: Path, clock: list[float]) -> None:
    """It breaks off in the middle, whatever part it is asked for."""
    hub.serve = half
    shares = [0.0]

    def progress(share: float) -> None:
        clock[0] += share <= max(shares) and max(shares) > 0
        shares.append(share)

    with pytest.raises(ModelUnavailable, match="stopped arriving"):
        fetch_weights(REPOSITORY, "some-model", progress)
    assert left_over(cache) == []


def test_whoever_waits_can_stop(
    hub: Hub, cache: Path, processes: list[subprocess.Popen[str]]
) -> None:
    hub.serve = half_and_then_nothing

    def stop(share: float) -> None:
        if share > 0.4:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fetch_weights(REPOSITORY, "some-model", stop)
    [process] = processes
    assert process.poll() is not None
    assert left_over(cache) == []
    hub.serve = Handler.send
    assert fetch_weights(REPOSITORY, "some-model").read_bytes() == CONTENT


def test_a_cache_that_cannot_be_written(cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(ModelUnavailable, match="HF_HOME"):
        fetch_weights(REPOSITORY, "some-model")


def test_the_process_starts_without_what_takes_seconds_to_import() -> None:
    code = (
        "import runpy, sys; runpy.run_path(sys.argv[1]); "
        "sys.exit(bool({'torch', 'timm', 'vitviz'} & sys.modules.keys()))"
    )
    subprocess.run([sys.executable, "-P", "-c", code, vitviz_hub.SCRIPT], check=True)


def test_the_patience_leaves_time_for_ending() -> None:
    """Within ten seconds: the silence, a tick, and the second that a process has to end."""
    assert PATIENCE + vitviz_hub.TICK + 1.0 < 10


class TestPrivate:
    NOW = f"huggingface_hub {huggingface_hub.__version__}"

    def test_the_size_of_pieces(self) -> None:
        used = "constants.DOWNLOAD_CHUNK_SIZE" in inspect.getsource(file_download)
        there = hasattr(constants, "DOWNLOAD_CHUNK_SIZE") and used
        assert there, f"{self.NOW} does not read DOWNLOAD_CHUNK_SIZE: nothing is said for long."

    def test_the_error_for_a_file_that_came_short(self) -> None:
        says = SHORT in inspect.getsource(file_download)
        assert says, f"{self.NOW} has other words for a file cut short than “{SHORT}”."
