"""Heatmaps → a picture that moves, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from io import BytesIO
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Literal

import cv2
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageOps

from vitviz.arguments import checked
from vitviz.errors import VitvizError
from vitviz.files import whole_file
from vitviz.heatmap import Heatmap, Scale
from vitviz.photos.given import PhotoLike, as_photo
from vitviz.pictures.figure import comparable, ends_of, meaning, save_figure
from vitviz.pictures.grid import Grid, draw_bar, write_lines
from vitviz.pictures.letters import LINE, check_letters, wrapped
from vitviz.pictures.overlay import overlay

__all__ = ["animation"]

SIDE = 640  # px of a photo's longer side
DPI = 150  # px for an inch of letters
EDGE = 0.05  # in
SECONDS = (0.02, 60.0)  # that a frame may last
MAP_COLOURS = 32  # of a GIF's 256, for the colour map
CODEC = "vp09"  # VP9, which browsers play and OpenCV's own build writes, without a system's ffmpeg


@checked
def animation(
    photo: PhotoLike | Sequence[PhotoLike],
    heats: Sequence[Heatmap] | Mapping[str, Heatmap],
    path: str | PathLike[str],
    *,
    seconds: float = 0.5,
    colormap: str = "inferno",
    alpha: float = 0.5,
    smooth: bool = True,
    scale: tuple[float, float] | Literal["shared", "own"] = "shared",
) -> None:
    """Write overlays one after the other as GIF or MP4: over layers, or over a video's frames.

    All frames have one scale, with a colour bar below, as in `figure`. The photo's longer side is
    640 px. A GIF has 256 colours a frame, of which 32 are the colour map's, and goes round; an MP4
    holds VP9, which Chromium, Firefox and Safari play, but not every program for slides does.

    Args:
        photo: the photo of all frames, or a list with one for each.
        heats: in their order; a dict gives each its caption.
        path: NAME.gif or NAME.mp4.
        seconds: that a frame lasts, from 0.02 to 60; in a GIF in steps of 0.01.
        colormap, alpha, smooth, scale: as for `figure`.

    Raises:
        VitvizError: if there is no heatmap, or not a photo for each; for another ending, scale or
            length; for letters in a caption that the fonts do not have; or if the file cannot be
            written.
        ImageError: if a photo is not readable.

    Warns:
        VitvizWarning: as `overlay`.

    Examples:
        >>> layers = {f"layer {n}": explain(rec, "attention", layer=n) for n in range(12)}
        >>> animation(photo, layers, "layers.gif", seconds=0.4)
    """
    file = Path(path)
    writers: dict[str, Callable[[Sequence[Image.Image], BinaryIO, float], None]] = {
        ".gif": partial(_write_gif, colormap),
        ".mp4": _write_mp4,
    }
    write = writers.get(file.suffix.lower())
    if write is None:
        raise VitvizError(
            "animation_file_ending",
            "An animation is a file NAME.gif or NAME.mp4, not {file}.",
            file=file.name,
        )
    if not SECONDS[0] <= seconds <= SECONDS[1]:
        raise VitvizError(
            "seconds_out_of_range",
            "A frame lasts from {least} to {most} seconds, not {seconds}.",
            least=SECONDS[0],
            most=SECONDS[1],
            seconds=seconds,
        )
    maps = list(heats.values() if isinstance(heats, Mapping) else heats)
    photos = _photos(photo, len(maps))
    ends = ends_of(scale, shown := comparable(maps))
    drawn = [
        overlay(small, heat.scaled(max(small.size) / max(whole.size)), colormap, alpha,
                smooth=smooth, scale=ends)
        for whole, small, heat in zip(photos, map(_small, photos), shown, strict=True)
    ]  # fmt: skip
    width, height = (max(sides) for sides in zip(*(one.size for one in drawn), strict=True))
    captions = _captions(list(heats) if isinstance(heats, Mapping) else [""] * len(maps), width)
    bar = _bar(width, ends, colormap, meaning(maps, scale), shown)
    frames = [
        _stacked([caption, ImageOps.pad(one, (width, height), color="white"), bar])
        for caption, one in zip(captions, drawn, strict=True)
    ]
    with whole_file(file) as opened:
        write(frames, opened, seconds)


def _photos(given: Any, frames: int) -> list[Image.Image]:
    """One for each frame."""
    if not frames:
        raise VitvizError("animation_without_maps", "An animation needs a heatmap at least.")
    if not isinstance(given, list | tuple):
        return [as_photo(given)] * frames
    if len(given) != frames:
        raise VitvizError(
            "photos_and_frames_differ",
            "There are {photos} photos for {frames} maps; give one for each, or one for all.",
            photos=len(given),
            frames=frames,
        )
    return [as_photo(one) for one in given]


def _small(photo: Image.Image) -> Image.Image:
    return ImageOps.contain(photo, (SIDE, SIDE), Image.Resampling.LANCZOS)


def _captions(texts: Sequence[str], width: int) -> list[Image.Image]:
    """Each over its frame, all of the same height."""
    check_letters(texts)
    inches = width / DPI
    lines = [wrapped(text, inches - 2 * EDGE) if text else [] for text in texts]
    height = max(map(len, lines)) * LINE + EDGE
    strips = []
    for own in lines:
        drawn = Figure((inches, height))
        write_lines(drawn, own, 0.5, 0.5, va="center")
        strips.append(_pixels(drawn, width))
    return strips


def _bar(
    width: int, ends: Scale | None, colormap: str, label: str, heats: Sequence[Heatmap]
) -> Image.Image:
    """The colour bar below every frame."""
    inches = width / DPI
    words = wrapped(label, inches - 2 * EDGE)
    grid = Grid(inches, inches - 2 * EDGE, [0.0], EDGE, 0.0, [], [[]], words)
    drawn = Figure((grid.width, grid.height))
    draw_bar(drawn, grid, ends, colormap, heats)
    return _pixels(drawn, width)


def _pixels(drawn: Figure, width: int) -> Image.Image:
    file = BytesIO()
    save_figure(drawn, file, "png", DPI)
    strip = Image.open(file).convert("RGB")
    return ImageOps.pad(strip, (width, strip.height), color="white")


def _stacked(parts: Sequence[Image.Image]) -> Image.Image:
    """One below the other; of even sides, as a video needs them."""
    width, height = parts[0].width, sum(part.height for part in parts)
    frame = Image.new("RGB", (width + width % 2, height + height % 2), "white")
    top = 0
    for part in parts:
        frame.paste(part, (0, top))
        top += part.height
    return frame


def _write_gif(
    colormap: str, frames: Sequence[Image.Image], file: BinaryIO, seconds: float
) -> None:
    first, *others = (_quantised(frame, colormap) for frame in frames)
    first.save(
        file, "GIF", save_all=True, append_images=others, duration=round(1000 * seconds), loop=0
    )


def _quantised(frame: Image.Image, colormap: str) -> Image.Image:
    """With 256 colours: some of the colour map's own, since the bar has few pixels and would
    otherwise get others', and what the frame needs most."""
    steps = np.linspace(0, 1, MAP_COLOURS)
    own = (matplotlib.colormaps[colormap](steps, bytes=True)[:, :3]).tobytes()
    most = bytes(frame.quantize(256 - MAP_COLOURS).getpalette() or [])
    palette = Image.new("P", (1, 1))
    palette.putpalette(own + most)
    return frame.quantize(palette=palette)  # dithered


def _write_mp4(frames: Sequence[Image.Image], file: BinaryIO, seconds: float) -> None:
    with TemporaryDirectory() as folder:  # OpenCV writes to a path alone
        path = Path(folder) / "video.mp4"
        codec = cv2.VideoWriter.fourcc(*CODEC)
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, codec, 1 / seconds, frames[0].size)
        if not writer.isOpened():
            raise VitvizError(
                "no_video_encoder",
                "This machine’s OpenCV cannot write VP9 videos; write a GIF instead, or install "
                "opencv-python-headless with pip.",
            )
        for frame in frames:
            writer.write(np.ascontiguousarray(np.asarray(frame)[..., ::-1]))
        writer.release()
        file.write(path.read_bytes())
