"""One clip of a video: a Transformer over all its frames, recorded as a ViT is.

Tong et al. 2022, VideoMAE, arXiv 2203.12602; Arnab et al. 2021, ViViT, arXiv 2103.15691, model 1:
one token stands for a patch of a few frames in a row, a tubelet, and all tokens look at all.

What is recorded takes the clip as one tall picture: tubelet below tubelet, and in each of them the
rows of its patches, with what each of its frames shows there. So a token is one rectangle of that
picture, and every method, measure and check of a photo's patches is one of the clip's as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from vitviz.arguments import check_argument, checked
from vitviz.errors import ImageError, ModelError, VitvizError
from vitviz.heatmap import Box, Fingerprint, Heatmap
from vitviz.models.asked import Transform
from vitviz.models.core import device_of, float_type
from vitviz.models.labels import Labels
from vitviz.models.libraries import Tokens, transformers_labels
from vitviz.models.returned import run_module
from vitviz.models.transform import input_box, readable, transformed
from vitviz.models.vit import Vit, from_module
from vitviz.photos.given import PhotoLike, as_photo
from vitviz.recording.query import check_patch
from vitviz.recording.record import record
from vitviz.recording.recorder import Recorder
from vitviz.recording.recording import Recording

__all__ = ["VideoRecording", "VideoVit", "from_video_module", "record_video"]


class OfTallPicture(nn.Module):
    """A video model that takes its clip as a tall picture: (batch, 3, frames · height, width).

    Args:
        model: (batch, frames, 3, height, width) → what it gives.
        frames: of a clip.
        tubelet: (frames, height, width) of what one token stands for.
    """

    def __init__(self, model: nn.Module, frames: int, tubelet: tuple[int, int, int]) -> None:
        super().__init__()
        self.model = model
        self.frames = frames
        self.tubelet = tubelet

    def forward(self, picture: Tensor) -> Any:
        thick, side, _ = self.tubelet
        rows = picture.shape[2] // (self.frames * side)
        parts = picture.unflatten(2, (self.frames // thick, rows, thick, side))
        clip = parts.permute(0, 2, 4, 1, 3, 5, 6)  # (batch, tubelets, thick, 3, rows, side, width)
        return self.model(clip.flatten(1, 2).flatten(3, 4))

    def picture(self, clip: Tensor) -> Tensor:
        """The other way round: (frames, 3, height, width) → (3, frames · height, width)."""
        thick, side, _ = self.tubelet
        parts = clip.unflatten(0, (-1, thick)).unflatten(3, (-1, side))
        return parts.permute(2, 0, 3, 1, 4, 5).flatten(1, 4)


@dataclass(frozen=True, eq=False)
class Still:
    """One photo as a clip in which nothing moves."""

    of_frame: Transform
    tall: OfTallPicture

    def __call__(self, photo: Image.Image) -> Tensor:
        frame = self.of_frame(photo)
        return self.tall.picture(frame.expand(self.tall.frames, *frame.shape))


@dataclass(frozen=True, eq=False)
class VideoVit:
    """A video Transformer ready to be recorded.

    Attributes:
        vit: the model of the tall picture that a clip is.
        transform: of one frame: PIL RGB image → normalised tensor (3, height, width).
        tall: makes that picture.

    Examples:
        >>> video.num_frames, video.frames_a_token
        (8, 2)
    """

    vit: Vit
    transform: Transform
    tall: OfTallPicture

    @property
    def num_frames(self) -> int:
        """Frames of a clip."""
        return self.tall.frames

    @property
    def frames_a_token(self) -> int:
        """Frames in a row that one token stands for."""
        return self.tall.tubelet[0]


@dataclass(frozen=True, eq=False)
class VideoRecording:
    """What one forward pass on one clip computed.

    Attributes:
        recording: of all frames together, for `explain` and whatever else takes one; its grid has
            the rows of all tubelets, one below the other.
        frames: of the clip.
        boxes: the part of each frame that the model saw.
        frames_a_token: frames in a row that one token stands for.

    Examples:
        >>> clip = record_video(video, [photo] * 8)
        >>> clip.recording.grid  # 8 frames in pairs, of 4 × 4 patches each
        (16, 4)
    """

    recording: Recording
    frames: tuple[Image.Image, ...] = field(repr=False)
    boxes: tuple[Box, ...] = field(repr=False)
    frames_a_token: int

    @property
    def frame_grid(self) -> tuple[int, int]:
        """(rows, cols) of the patches of one frame."""
        rows, cols = self.recording.grid
        return rows * self.frames_a_token // len(self.frames), cols

    def query(self, frame: int, patch: tuple[int, int]) -> tuple[int, int]:
        """A patch of a frame as a patch of `recording`, for the methods that have a query.

        Args:
            frame: from 0.
            patch: (row, col) in `frame_grid`.

        Raises:
            VitvizError: if there is no such frame or patch.
        """
        if not 0 <= frame < len(self.frames):
            raise VitvizError(
                "no_such_frame",
                "There is no frame {frame}; the clip’s frames are 0 to {last}.",
                frame=frame,
                last=len(self.frames) - 1,
            )
        check_patch(patch, self.frame_grid)
        return frame // self.frames_a_token * self.frame_grid[0] + patch[0], patch[1]

    def maps(self, heat: Heatmap) -> list[Heatmap]:
        """A map of `recording` as one for each frame; frames that a token stands for share theirs.

        Raises:
            VitvizError: if it is a map of another grid.
        """
        rows, cols = self.recording.grid
        if heat.values.shape != (rows, cols):
            raise VitvizError(
                "map_of_no_clip",
                "A map of {own_rows} × {own_cols} patches is none of this clip, whose recording "
                "has {rows} × {cols}.",
                own_rows=heat.values.shape[0],
                own_cols=heat.values.shape[1],
                rows=rows,
                cols=cols,
            )
        parts = heat.values.reshape(-1, *self.frame_grid)
        return [
            replace(
                heat,
                values=parts[number // self.frames_a_token],
                box=box,
                fingerprint=Fingerprint.of(frame),
            )
            for number, (frame, box) in enumerate(zip(self.frames, self.boxes, strict=True))
        ]


def from_video_module(
    module: nn.Module,
    transform: Callable[..., Any],
    labels: Labels | None = None,
    name: str | None = None,
) -> VideoVit:
    """Use a video Transformer of transformers that you already hold, whose tokens all look at all:
    VideoMAE, ViViT and V-JEPA 2. It is put in eval mode, and run twice on grey frames.

    Args:
        module: (batch, frames, 3, height, width) → numbers of classes.
        transform: its image processor, or any function of one frame → (3, height, width).
        labels: names of the classes; by default those of its config.
        name: what to call it.

    Raises:
        ModelError: if its tokens do not look at those of all frames, as with divided space-time
            attention (TimeSformer), or as `from_module`.
        VitvizError: for a module or a name of another kind.

    Examples:
        >>> import transformers
        >>> sizes = {"hidden_size": 48, "num_attention_heads": 3, "num_hidden_layers": 2}
        >>> config = transformers.VideoMAEConfig(**sizes, id2label={0: "walks", 1: "sits"})
        >>> module = transformers.VideoMAEForVideoClassification(config)  # or from_pretrained
        >>> video = from_video_module(module, transformers.VideoMAEImageProcessor())
        >>> video.num_frames, video.vit.labels
        (16, ('walks', 'sits'))
    """
    for argument, value in (("module", module), ("name", name)):
        check_argument(from_video_module, argument, value)
    name = name or type(module).__name__
    config = getattr(module, "config", None)
    frames = getattr(config, "num_frames", None) or getattr(config, "frames_per_clip", None)
    cut = next((part for part in module.modules() if isinstance(part, nn.Conv3d)), None)
    if cut is None or frames is None or cut.kernel_size != cut.stride:
        raise _no_joint_attention(name)
    tubelet = cut.stride[0], cut.stride[1], cut.stride[2]
    of_frame = readable(transform, cut.in_channels)
    tall = OfTallPicture(module.eval(), frames, tubelet)
    still = Still(of_frame, tall)
    pixels = still(Image.new("RGB", (256, 256), "grey"))
    tokens = _tokens(tall, pixels, name)
    if labels is None:
        labels = transformers_labels(config) or None
    return VideoVit(from_module(tall, labels, still, name, tokens), of_frame, tall)


@torch.no_grad()
def _tokens(tall: OfTallPicture, pixels: Tensor, name: str) -> Tokens:
    """Which of the tokens are patches, if all of them look at all."""
    thick, height, width = tall.tubelet
    with Recorder(tall) as recorder:
        run_module(tall, pixels[None].to(device_of(tall), float_type(tall)), name)

    def grid(size: tuple[int, int]) -> tuple[int, int]:
        return size[0] // (thick * height), size[1] // width

    rows, cols = grid((pixels.shape[1], pixels.shape[2]))
    square = [call.shape[2] for call in recorder.calls if call.shape[2] == call.shape[3]]
    prefix = max(square, default=0) - rows * cols
    if prefix not in (0, 1):  # a class token, or none
        raise _no_joint_attention(name)
    return Tokens(grid, prefix, has_class_token=prefix == 1)


def _no_joint_attention(name: str) -> ModelError:
    return ModelError(
        "no_joint_attention",
        "In {model} patches do not look at those of all frames at once (TimeSformer looks along "
        "time and within a frame by turns), so it has no map of a clip; VideoMAE, ViViT and "
        "V-JEPA 2 of transformers have.",
        model=name,
    )


@checked
def record_video(video: VideoVit, frames: Sequence[PhotoLike]) -> VideoRecording:
    """Run a video Transformer once on a clip and keep what its attention was given.

    Args:
        video: from `from_video_module`.
        frames: as many as the model takes, in their order; images, paths or arrays, or one array
            (frames, height, width, 3).

    Raises:
        ImageError: for another number of frames, frames of several sizes, or one that is not
            readable.
        ModelError: as `record`.
        VitvizError: for an argument of another kind.

    Examples:
        >>> clip = record_video(video, [photo] * 8)
        >>> maps = clip.maps(explain(clip.recording, "rollout"))
        >>> len(maps), maps[0].values.shape
        (8, (4, 4))
        >>> animation(clip.frames, maps, "rollout.gif")
    """
    if len(frames) != video.num_frames:
        raise ImageError(
            "frames_needed",
            "{model} takes {needed} frames, and {given} were given; take as many, spread over the "
            "clip.",
            model=video.vit.name,
            needed=video.num_frames,
            given=len(frames),
        )
    photos = tuple(map(as_photo, frames))
    clip = [transformed(video.transform, photo) for photo in photos]
    if len({pixels.shape for pixels in clip}) > 1:
        raise ImageError(
            "frames_differ",
            "The frames have several sizes, and those of a clip have one; give frames of one video "
            "as they are.",
        )
    boxes = tuple(input_box(video.transform, photo.size) for photo in photos)
    rec = record(video.vit, video.tall.picture(torch.stack(clip)))
    return VideoRecording(rec, photos, boxes, video.frames_a_token)
