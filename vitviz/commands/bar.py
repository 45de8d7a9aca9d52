"""The bar of a long run."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

__all__ = ["share_bar"]


def share_bar() -> tqdm[Any]:
    """A bar on standard error for a finished share, 0 to 1, with the time that is left."""
    return tqdm(total=1.0, bar_format="{l_bar}{bar}| {elapsed}<{remaining}", file=sys.stderr)
