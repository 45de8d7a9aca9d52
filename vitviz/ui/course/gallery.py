"""The samples all together, as some lessons compare them."""

from __future__ import annotations

from PIL import Image

from vitviz.photos.load import load_image
from vitviz.ui.controls.photo_picker import sample_photos


def gallery_titles() -> list[str]:
    """The samples' titles, in order."""
    return [title for title, _ in sample_photos().values()]


def gallery_photos() -> list[Image.Image]:
    """The samples as pictures, in order."""
    return [load_image(photo.data) for _, photo in sample_photos().values()]
