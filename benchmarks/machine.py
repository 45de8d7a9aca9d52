"""What a benchmark ran on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path


def processor() -> str:
    """Its name, what it computes with, how busy it is, and what runs on it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    known = dict(line.split(":", 1) for line in lines if ":" in line)
    said = {key.strip(): value.strip() for key, value in known.items()}
    kinds = ("avx2", "avx512f", "avx512_bf16", "avx_vnni", "avx512_vnni", "amx_bf16")
    flags = [kind for kind in kinds if kind in said["flags"].split()]
    load = ", ".join(f"{part:.2f}" for part in os.getloadavg())
    return (
        f"{said['model name']}, {os.cpu_count()} cores, {' '.join(flags)}; Python "
        f"{platform.python_version()}, PyTorch {version('torch')}, Streamlit "
        f"{version('streamlit')}; load before the run {load}"
    )
