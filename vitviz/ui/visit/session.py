"""A photo, and what the model's run on it left."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from PIL import Image, ImageOps

from vitviz.memo import Memo
from vitviz.pictures.export import as_jpeg
from vitviz.recording.recording import Recording
from vitviz.ui.visit.kept import Kept
from vitviz.zoo.catalogue import Offer

SMALL_SIDE = 224  # px of a small map's longer side


@dataclass(frozen=True)
class Look:
    """How maps are drawn."""

    colormap: str
    alpha: float
    smooth: bool


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo to choose. It is kept as its file: that is smaller, and downloads need all of it.

    Attributes:
        key: SHA-256 of the file, computed once.
        data: the file.
        name: of the file, or the sample's id.
        alt: a description for those who do not see it.
        thumb: a thumbnail as a data address.
        classes: of a sample, ImageNet's classes that fit; None where nobody says.
        sample: whether it comes with Vitviz, so that its file may be trusted.
        stretched: the file's numbers shown as black and white, where they are not its range.
        reduced: how many times narrower and lower than its file it is shown.
    """

    key: str
    data: bytes
    name: str
    alt: str
    thumb: str
    classes: tuple[str, ...] | None = None
    sample: bool = False
    stretched: tuple[float, float] | None = None
    reduced: int = 1


@dataclass(frozen=True, eq=False)
class Session:
    """One visitor's photo and its recording.

    Attributes:
        model: as it was offered.
        photo: what is shown.
        whole: whether the model shall see the whole photo.
        preview: the photo for the browser.
        factor: preview pixels per photo pixel.
        kept: its recording, with results of the visitor's own.
        common: of a sample, what all visitors share; None of a photo of one's own.
    """

    model: Offer
    photo: Photo
    whole: bool
    preview: Image.Image
    factor: float
    kept: Kept
    common: Session | None = None

    @property
    def rec(self) -> Recording:
        """The recording; a forward pass where it was let go. Whoever keeps this keeps its layers
        in memory: functions that Streamlit keeps, such as a download's, take the session."""
        return self.kept.get()

    @property
    def own(self) -> Memo:
        """Results of this visitor only."""
        return self.rec.derived

    @property
    def results(self) -> Memo:
        """Finished results that every visitor of a sample may take. They are put here by `keep`,
        never computed in `get`: nobody waits for another."""
        return (self.common or self).rec.derived

    @cached_property
    def small(self) -> Image.Image:
        """What the model saw of it, for small maps."""
        if self.common:
            return self.common.small
        left, top, right, bottom = (round(self.factor * edge) for edge in self.rec.box)
        seen = self.preview.crop((left, top, right, bottom))
        return ImageOps.contain(seen, (SMALL_SIDE, SMALL_SIDE))

    @cached_property
    def jpeg(self) -> bytes:
        """The preview for the browser, encoded once."""
        return self.common.jpeg if self.common else as_jpeg(self.preview)

    @cached_property
    def small_jpeg(self) -> bytes:
        """The same of what the model saw."""
        return self.common.small_jpeg if self.common else as_jpeg(self.small)
