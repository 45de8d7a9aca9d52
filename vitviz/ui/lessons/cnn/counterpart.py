"""The convolutional network beside the Vision Transformer, and what it is given."""

from __future__ import annotations

from torch import Tensor

from vitviz.heatmap import Box
from vitviz.models.transform import input_box, transformed
from vitviz.ui.visit.analyse import model
from vitviz.ui.visit.opening import opened
from vitviz.ui.visit.session import Session
from vitviz.zoo.catalogue import COUNTERPART

NETWORKS = ("vit", "cnn")
ANSWERS = 3  # classes below a photo


def cnn_input(session: Session) -> tuple[Tensor, Box]:
    """The photo as the CNN is given it, and the part of the photo that this is."""

    def look() -> tuple[Tensor, Box]:
        cnn, photo = model(COUNTERPART), opened(session.photo)
        return transformed(cnn.transform, photo), input_box(cnn.transform, photo.size)

    found: tuple[Tensor, Box] = session.rec.derived.get(None, look, "cnn input", most=1)
    return found
