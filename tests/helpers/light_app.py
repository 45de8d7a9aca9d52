"""`vitviz app` with the light model in place of the bundled one."""

from __future__ import annotations

import sys

import pytest
from light_model import light_pages

from vitviz.commands.main import main

if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patch, light_pages(patch):
        sys.exit(main(["app", *sys.argv[1:]]))
