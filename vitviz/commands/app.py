"""`vitviz app`: the app in the browser."""

from __future__ import annotations

import argparse
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vitviz.commands.answer import Answer
from vitviz.errors import VitvizError
from vitviz.zoo.settings import drain_seconds, logs_are_json, max_visitors, metrics_port

__all__ = ["PORT", "SCRIPT", "add"]

PORT = 8501
SCRIPT = Path(__file__).parents[1] / "ui" / "entry" / "app.py"  # its configuration lies beside it
SERVER = "vitviz.ui.entry.serve"
NEEDED = ("streamlit", "altair", "pandas", "markdown_it")


def add(commands: Any) -> None:
    """Add the verb to a parser's commands."""
    app = commands.add_parser("app", help="open the app in the browser")
    app.add_argument("--port", type=_port, default=PORT, help=f"default {PORT}; 0 takes a free one")
    app.set_defaults(command=_app)


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"{text!r} is no port; give one from 0 to 65535")
    return int(text)


def _app(args: argparse.Namespace) -> Answer:
    """Serve the app until Ctrl-C; this process becomes Streamlit's own."""
    if not all(map(find_spec, NEEDED)):
        raise VitvizError(
            "app_needs_streamlit", "The app needs Streamlit: pip install 'vitviz[app]'."
        )
    for setting in (max_visitors, metrics_port, drain_seconds, logs_are_json):
        setting()  # a wrong one is said here rather than on every page
    sys.argv = ["streamlit", "run", str(SCRIPT), "--server.port", str(args.port)]
    runpy.run_module(SERVER, run_name="__main__", alter_sys=True)
    return {}, "", False
