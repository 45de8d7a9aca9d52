"""HTML files that load nothing else: their templates, and pictures inside them."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

__all__ = ["inline", "template"]


def template(file: Path) -> Template:
    """A Jinja template, and the files beside it that it includes. What it is given is escaped."""
    loader = FileSystemLoader(file.parent)
    made = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return made.get_template(file.name)


def inline(data: bytes, kind: str) -> str:
    """The address of a picture that is inside the page; kind is such as "jpeg" or "svg+xml"."""
    return f"data:image/{kind};base64,{b64encode(data).decode()}"
