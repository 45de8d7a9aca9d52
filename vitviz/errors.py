"""What can go wrong, each with one sentence that says what to do."""

from __future__ import annotations

__all__ = ["ImageError", "MethodError", "ModelError", "ModelUnavailable", "VitvizError"]


class VitvizError(Exception):
    """Base of every error that Vitviz raises on purpose."""


class ImageError(VitvizError):
    """A file that cannot be used as a photo."""


class ModelError(VitvizError):
    """A model that cannot be loaded or mapped."""


class ModelUnavailable(ModelError):
    """Weights that are not on this machine and cannot be fetched."""


class MethodError(VitvizError):
    """A method or option that does not exist or does not apply to this model."""
