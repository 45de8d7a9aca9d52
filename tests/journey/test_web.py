"""The component's own modules, by the tests beside this file in Node's runner."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

TESTS = sorted(Path(__file__).parent.glob("web/*.test.mjs"))


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.name)
def test_modules(file: Path, tmp_path: Path) -> None:
    halves = tmp_path / "halves"
    halves.write_bytes(np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32))
    environment = {**os.environ, "HALVES": str(halves)}
    command = ["node", "--test", "--test-reporter=tap", file]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "# skipped 0" in run.stdout
