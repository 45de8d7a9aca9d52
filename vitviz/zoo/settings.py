"""What the owner of a server decides, from the environment. docs/models.md describes each."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from vitviz.errors import VitvizError
from vitviz.models.devices import as_device

__all__ = [
    "allow_downloads",
    "device",
    "drain_seconds",
    "logs_are_json",
    "max_parameters",
    "max_visitors",
    "metrics_port",
    "models_in_memory",
    "own_models",
]

MAX_PARAMETERS = 350_000_000  # up to ViT-L: 1.4 GB in memory
MODELS_IN_MEMORY = 3
MAX_VISITORS = 64  # a class of sixty; two processor cores keep up with their redraws


def allow_downloads() -> bool:
    """VITVIZ_ALLOW_DOWNLOADS: whether visitors may fetch weights from the model hub; default no."""
    text = os.environ.get("VITVIZ_ALLOW_DOWNLOADS", "0")
    if text not in ("0", "1"):
        raise VitvizError(
            "downloads_setting",
            "VITVIZ_ALLOW_DOWNLOADS is “{value}”; set it to 0 or 1.",
            value=text,
        )
    return text == "1"


def device() -> torch.device:
    """VITVIZ_DEVICE: where models run, such as cuda:1, or auto; default the processor."""
    return as_device(os.environ.get("VITVIZ_DEVICE") or "cpu")


def drain_seconds() -> int:
    """VITVIZ_DRAIN_SECONDS: how long visitors may finish once the process is asked to end by
    SIGTERM; default not at all."""
    return _count("VITVIZ_DRAIN_SECONDS", 1) if os.environ.get("VITVIZ_DRAIN_SECONDS") else 0


def logs_are_json() -> bool:
    """VITVIZ_LOG: whether what the app logs is lines of JSON; default text."""
    text = os.environ.get("VITVIZ_LOG") or "text"
    if text not in ("text", "json"):
        raise VitvizError(
            "log_setting", "VITVIZ_LOG is “{value}”; set it to text or json.", value=text
        )
    return text == "json"


def max_parameters() -> int:
    """VITVIZ_MAX_PARAMETERS: of a model that visitors may load."""
    return _count("VITVIZ_MAX_PARAMETERS", MAX_PARAMETERS)


def max_visitors() -> int:
    """VITVIZ_MAX_VISITORS: how many the app lets in at once."""
    return _count("VITVIZ_MAX_VISITORS", MAX_VISITORS)


def metrics_port() -> int | None:
    """VITVIZ_METRICS_PORT: of the app's metrics and readiness; default none."""
    if not os.environ.get("VITVIZ_METRICS_PORT"):
        return None
    port = _count("VITVIZ_METRICS_PORT", 1)
    if port >= 2**16:
        raise VitvizError(
            "port_setting",
            "VITVIZ_METRICS_PORT is {value}; set it to a port from 1 to 65535.",
            value=port,
        )
    return port


def models_in_memory() -> int:
    """VITVIZ_MODELS_IN_MEMORY: how many models the app holds, the bundled one included."""
    return _count("VITVIZ_MODELS_IN_MEMORY", MODELS_IN_MEMORY)


def own_models() -> Path:
    """VITVIZ_MODELS: the folder of one's own models; default `models` in the working folder."""
    return Path(os.environ.get("VITVIZ_MODELS") or "models")


def _count(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise VitvizError(
            "number_setting",
            "{setting} is “{value}”; set it to a whole number above 0.",
            setting=name,
            value=text,
        )
    return count
