"""The sample photos that come with Vitviz."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Sample", "samples"]
SAMPLES_DIR = Path(__file__).resolve().parents[1] / "data" / "samples"


@dataclass(frozen=True)
class Sample:
    """A photo that comes with Vitviz.

    Attributes:
        id: its name in links.
        title: its name on screen.
        path: its file.
        credit: who took it, and its licence.
        alt: what it shows, for those who do not see it.
        classes: ImageNet's names for what it shows; empty where no class fits.
    """

    id: str
    title: str
    path: Path
    credit: str
    alt: str
    classes: tuple[str, ...]


def samples() -> list[Sample]:
    """The built-in photos in the order of `credits.json`.

    Examples:
        >>> [sample.id for sample in samples()][:2]
        ['cat', 'cat-and-coffee']
    """
    rows = json.loads((SAMPLES_DIR / "credits.json").read_text(encoding="utf-8"))
    return [
        Sample(
            row["id"],
            row["title"],
            SAMPLES_DIR / row["file"],
            row["credit"],
            row["alt"],
            tuple(row["classes"]),
        )
        for row in rows
    ]
