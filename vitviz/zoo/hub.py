"""Weights from the model hub: found in its cache, or fetched with progress and a way to stop."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import IO, Any

import huggingface_hub
from huggingface_hub import constants

from vitviz.errors import ModelUnavailable, Phrase
from vitviz.progress import Progress

__all__ = ["cached_weights", "fetch_weights"]

FILES = ("model.safetensors", "pytorch_model.bin")
PATIENCE = 7.0  # seconds without a piece of the file, from the start or since the last one
TICK = 0.2  # seconds between two calls of progress while nothing arrives
SCRIPT = Path(__file__).with_name("hub_process.py")


def cached_weights(repository: str | None) -> Path | None:
    """The weights in the hub's cache on this machine, found without asking the hub."""
    for file in FILES:
        found = repository and huggingface_hub.try_to_load_from_cache(
            repository, file, cache_dir=constants.HF_HUB_CACHE
        )
        if isinstance(found, str):
            return Path(found)
    return None


def fetch_weights(
    repository: str, name: str, progress: Progress | None = None, cache: Path | None = None
) -> Path:
    """Fetch the weights of a repository; what `progress` raises stops it and removes what came.

    Args:
        repository: on the hub, such as timm/vit_tiny_patch16_224.augreg_in21k.
        name: what messages call the model.
        progress: called with the share that has arrived, several times a second.
        cache: the folder to store it in; default the hub's cache on this machine.

    Returns:
        The file, whose size and, if the hub announced it, SHA-256 were checked.

    Raises:
        ModelUnavailable: if the hub does not give the file; within ten seconds if nothing arrives.
    """
    with _process(repository, str(cache or constants.HF_HUB_CACHE)) as messages:
        news: dict[str, Any] = {"share": 0.0}
        most, deadline = 0.0, monotonic() + PATIENCE
        while "share" in news:
            if progress:
                progress(news["share"])
            with suppress(queue.Empty):
                news = messages.get(timeout=TICK)
            if news.get("share", 0.0) > most:  # not if the hub begins again and again
                most, deadline = news["share"], monotonic() + PATIENCE
            elif "share" in news and monotonic() > deadline:
                news = {"failed": "stalled" if most else "unreachable"}
    if "file" in news:
        return Path(news["file"])
    raise _unavailable(news["failed"], name)


def _unavailable(why: str, name: str) -> ModelUnavailable:
    """The error for what hub_process or the deadline said."""
    return (_not_given(name) | _not_stored(name))[why]


def _not_given(name: str) -> dict[str, ModelUnavailable]:
    """What keeps the hub from giving the weights."""
    return {
        "unreachable": ModelUnavailable(
            "hub_unreachable",
            "The weights of {model} are not on this machine and the model hub cannot be "
            "reached; {elsewhere}",
            model=name,
            elsewhere=_elsewhere(name),
        ),
        "stalled": ModelUnavailable(
            "weights_stalled",
            "The weights of {model} stopped arriving; try again, or {elsewhere}",
            model=name,
            elsewhere=_elsewhere(name),
        ),
        "missing": ModelUnavailable(
            "hub_without_weights",
            "The model hub has no weights of {model}; choose another model.",
            model=name,
        ),
        "gated": ModelUnavailable(
            "weights_gated",
            "The model hub gives the weights of {model} only to those who accepted "
            "their terms: accept them on its page, log in with “hf auth login” and try again.",
            model=name,
        ),
    }


def _not_stored(name: str) -> dict[str, ModelUnavailable]:
    """What keeps them from being stored here."""
    return {
        "damaged": ModelUnavailable(
            "weights_damaged",
            "The weights of {model} arrived damaged and were removed; try again.",
            model=name,
        ),
        "full": ModelUnavailable(
            "no_room_for_weights",
            "There is no room on the disk for the weights of {model}; make some and try again.",
            model=name,
        ),
        "unwritable": ModelUnavailable(
            "cache_unwritable",
            "The weights of {model} cannot be stored in the hub’s cache; set HF_HOME "
            "to a folder that can be written, or {elsewhere}",
            model=name,
            elsewhere=_elsewhere(name),
        ),
    }


def _elsewhere(name: str) -> Phrase:
    return Phrase(
        "fetch_elsewhere",
        "run “python -m vitviz fetch {model}” where there is a network and copy the "
        "folder it makes to models/ here.",
        model=name,
    )


@contextmanager
def _process(repository: str, cache: str) -> Iterator[queue.Queue[dict[str, Any]]]:
    """The process that fetches, and what it says; it does not outlive the block."""
    command = [sys.executable, "-P", str(SCRIPT), repository, cache, constants.ENDPOINT, *FILES]
    with subprocess.Popen(
        command,
        env={**os.environ, "HF_HUB_DISABLE_XET": "1"},  # plain HTTP: piece by piece
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        messages: queue.Queue[dict[str, Any]] = queue.Queue()
        listener = threading.Thread(target=_listen, args=(process.stdout, messages), daemon=True)
        listener.start()
        try:
            yield messages
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(1.0)
            process.kill()
            listener.join()


def _listen(output: IO[str], messages: queue.Queue[dict[str, Any]]) -> None:
    """Pass every line on; a process that ends without a word could not reach the hub."""
    for line in output:
        messages.put(json.loads(line))
    messages.put({"failed": "unreachable"})
