"""Fetches a file of the model hub into the cache, as a process of its own.

    python -P vitviz/zoo/hub_process.py REPOSITORY CACHE ENDPOINT FILE…

The hub's client tries again for minutes, and looking a name up may block for longer than any limit
given to it; a process can be ended at any moment, a thread cannot. What happens is said on standard
output, a JSON object a line: {"share": 0.2} for each piece that arrives, then {"file": path}, or
{"failed": "missing" | "gated" | "unreachable" | "damaged" | "unwritable" | "full", "reason": …}.
It imports neither torch nor the rest of Vitviz, so that it starts at once.

What is private in huggingface_hub is used here alone, checked with huggingface_hub 2.4: the size of
the pieces, `constants.DOWNLOAD_CHUNK_SIZE`, and the words of its error for a file that came short.
tests/zoo/test_hub.py says what a newer version broke.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import signal
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import constants, errors
from safetensors import SafetensorError, safe_open

PIECE = 65_536  # bytes
SHORT = "Consistency check"  # in the client's error for a file of another length than announced
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # a disk, a quota, a file system of small files


class Report:
    """What the hub's client takes for its progress bar: says which share has arrived."""

    def __init__(self, *, total: int | None, initial: int, **_: object) -> None:
        self.total, self.arrived = total, initial

    def update(self, count: int) -> None:
        self.arrived += count
        say(share=min(1.0, self.arrived / self.total) if self.total else 0.0)

    def __enter__(self) -> Report:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def main(repository: str, cache: str, endpoint: str, *files: str) -> None:
    """Fetch the first of the files that the repository has."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that half a file is removed
    constants.DOWNLOAD_CHUNK_SIZE = PIECE
    try:
        path = Path(fetched(repository, cache, endpoint, files))
        check(path)
    except errors.HfHubHTTPError as error:
        kinds = {401: "gated", 403: "gated", 404: "missing"}
        fail(kinds.get(error.response.status_code, "unreachable"), error)
    except (SafetensorError, Damaged) as error:
        fail("damaged", error)
    except (PermissionError, FileNotFoundError, FileExistsError, NotADirectoryError) as error:
        fail("unwritable", error)
    except OSError as error:  # the client's own errors, also for a file that ended too early
        cut = "damaged" if SHORT in str(error) else "unreachable"
        fail("full" if error.errno in FULL else cut, error)
    except Exception as error:  # whatever the network stack raises, no file came
        fail("unreachable", error)
    else:
        say(file=str(path))


def fetched(repository: str, cache: str, endpoint: str, files: tuple[str, ...]) -> str:
    """The path in the cache. The file's page is asked for first: the client would ask again and
    again for it where there is no network."""
    for file in files:
        url = huggingface_hub.hf_hub_url(repository, file, endpoint=endpoint)
        try:
            huggingface_hub.get_hf_file_metadata(url, endpoint=endpoint)
        except errors.RemoteEntryNotFoundError:
            if file == files[-1]:
                raise
        else:
            bar: Any = Report
            return huggingface_hub.hf_hub_download(
                repository, file, cache_dir=cache, endpoint=endpoint, tqdm_class=bar
            )
    raise ValueError("no file was asked for")


class Damaged(Exception):
    """The content is not what the hub announced."""


def check(path: Path) -> None:
    """A file is what its name in the cache says, the SHA-256 that the hub announced, and it opens;
    otherwise it is removed, so that the next attempt fetches it again."""
    stored = path.resolve()
    try:
        if re.fullmatch("[0-9a-f]{64}", stored.name):
            with stored.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != stored.name:
                    raise Damaged("its SHA-256 is not the one that the hub announced")
        if path.suffix == ".safetensors":
            with safe_open(path, framework="np"):
                pass
    except (SafetensorError, Damaged):
        path.unlink()
        stored.unlink(missing_ok=True)
        raise


def fail(kind: str, error: Exception) -> None:
    say(failed=kind, reason=str(error).strip().split("\n")[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
