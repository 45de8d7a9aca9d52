"""The server's memory: what stays for good, and what is searched for garbage."""

from __future__ import annotations

import gc

__all__ = ["leave_out_imports"]


def leave_out_imports() -> None:
    """Leave what lives by now, which is what was imported, out of the garbage collector's searches.

    So they are quick, and frequent enough for visitors' recordings not to pile up. For the start
    of a server only: whatever lives by now is never collected.
    """
    gc.collect()  # or garbage would stay too
    gc.freeze()
