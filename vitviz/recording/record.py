"""One forward pass, watched: from a photo and a model to a recording."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor

from vitviz.arguments import checked
from vitviz.errors import ImageError, ModelError
from vitviz.heatmap import Box, Fingerprint
from vitviz.models.core import channels_of
from vitviz.models.transform import input_box, mode_of, transformed, whole_photo
from vitviz.models.vit import Vit
from vitviz.photos.given import PhotoLike, as_photo
from vitviz.recording.layers import Layers, sort_calls
from vitviz.recording.predictions import read_outputs
from vitviz.recording.recorder import Recorder
from vitviz.recording.recording import AS_IT_IS, Edit, Edited, Recording

__all__ = [
    "Given",
    "edited",
    "given_to",
    "is_finite",
    "mixed",
    "of_photo",
    "record",
    "record_batch",
    "record_pixels",
]


@checked
def record(
    vit: Vit, photo: PhotoLike | Tensor, *, whole: bool = False, edits: Sequence[Edit] = ()
) -> Recording:
    """Run the model once on a photo and keep what its attention was given.

    The model is shared between threads and left as it was, also after an error. It may be of any
    float type, such as bfloat16; it is given its own, and maps are computed in float32.

    Args:
        vit: the model.
        photo: as `load_image` gives it; or a PIL image of any mode, a path, or an array (height,
            width, 3), see `as_photo`. Or a tensor as the model takes it, normalised already,
            (channels, height, width) or (1, channels, height, width): the photo is then this input.
        whole: show the model all of the photo in its own proportions instead of the square that its
            transform cuts out. The model interpolates its position embeddings as timm does.
        edits: what is done to the model in this forward pass, one after the other, such as
            `ablate_heads([(3, 1)])`; every method then explains the edited model. They are fitted
            to the model as it is, which takes one more forward pass.

    Raises:
        ModelError: if none of the model's attention can be shown on the photo, or not that of its
            last layers; if it is in training mode, drops numbers at random in eval mode too, or
            gives numbers that are not finite; if there is not one label for each of them; if
            `whole` is asked of a model that takes one size only.
        ImageError: if the photo is not readable, or the tensor no input of the model.
        VitvizError: for an argument of another kind, or an edit that does not apply to the model.

    Examples:
        >>> rec = record(vit, photo)
        >>> rec.grid, rec.num_layers, rec.predictions[0].label
        ((16, 16), 12, 'Egyptian cat')
    """
    given = given_to(vit, photo, whole=whole)
    return edited(of_photo(record_pixels(vit, given.pixels, given.box), given), edits)


@dataclass(frozen=True)
class Given:
    """What a model is given of a photo.

    Attributes:
        pixels: its input, (channels, height, width), normalised.
        box: the part of the photo that this shows.
        photo: RGB; None where there is none.
    """

    pixels: Tensor
    box: Box
    photo: Image.Image | None = None


def given_to(vit: Vit, photo: PhotoLike | Tensor, *, whole: bool = False) -> Given:
    """What the model is given of a photo; arguments and errors as of `record`."""
    if isinstance(photo, Tensor):
        pixels = _as_input(vit, photo)
        return Given(pixels, (0.0, 0.0, pixels.shape[2], pixels.shape[1]))
    photo = as_photo(photo, mode_of(vit.transform))
    transform = vit.transform
    if whole:
        if (patch := vit.anatomy.any_size_patch) is None:
            raise ModelError(
                "whole_photo_impossible",
                "{model} takes inputs of one size only, so it cannot be shown the whole "
                "photo; record the part that its transform cuts out.",
                model=vit.name,
            )
        transform = whole_photo(transform, photo.size, patch)
    pixels, box = transformed(transform, photo), input_box(transform, photo.size)
    return Given(pixels, box, as_photo(photo))


def of_photo(rec: Recording, given: Given) -> Recording:
    """A recording of an input as that of the photo."""
    seen = None if given.photo is None else Fingerprint.of(given.photo)
    return replace(rec, box=_covered(rec), photo=given.photo, fingerprint=seen)


def edited(rec: Recording, edits: Sequence[Edit]) -> Recording:
    """A recording of the same input with edits after those that it has; the same one without any.

    Raises:
        VitvizError: if an edit does not apply to the model.
        ModelError: as `record`.
    """
    if not edits:
        return rec
    with torch.inference_mode(False), torch.no_grad():  # gradients lead through what is made here
        found = [change for edit in edits for change in edit.changes(rec)]
    done = Edited((*rec.edits, *edits), (*rec.edited.changes, *found))
    again = record_pixels(rec.vit, rec.pixels, rec.box, done)
    return replace(again, photo=rec.photo, fingerprint=rec.fingerprint)


def _as_input(vit: Vit, given: Tensor) -> Tensor:
    """A tensor as the model takes it, (channels, height, width), on the processor."""
    pixels = given[0] if given.ndim == 4 and len(given) == 1 else given
    channels = channels_of(vit.module)
    dense = pixels.layout == torch.strided and not pixels.is_meta
    if (
        pixels.ndim != 3
        or len(pixels) != channels
        or not (pixels.is_floating_point() and dense and pixels.numel())
    ):
        raise ImageError(
            "tensor_no_input",
            "{model} takes one float tensor ({channels}, height, width) that is normalised "
            "already, not {dtype} {shape}; pass a photo for its transform to do so.",
            model=vit.name,
            channels=channels,
            dtype=str(given.dtype).removeprefix("torch."),
            shape=tuple(given.shape),
        )
    return pixels.detach().cpu()


def record_pixels(vit: Vit, pixels: Tensor, box: Box, done: Edited = AS_IT_IS) -> Recording:
    """The same for an input of the model, (channels, height, width), that is normalised already.

    Args:
        vit: the model.
        pixels: such as another recording's, changed.
        box: the part of the photo that their patches show.
        done: what is done to the model.

    Raises:
        ModelError: as `record`.
    """
    return record_batch(vit, [Given(pixels, box)], done)[0]


def record_batch(vit: Vit, given: Sequence[Given], done: Edited = AS_IT_IS) -> list[Recording]:
    """The same for inputs of one size, in one forward pass.

    Raises:
        ModelError: as `record`; also if an attention call of several inputs does not keep each as
            one item of its batch, so that they cannot be told apart.
    """
    # Some transforms give float64, and methods run the model again on this.
    pixels = torch.stack([each.pixels.float() for each in given])
    with torch.no_grad(), _watching(vit, done) as recorder:
        start = time.perf_counter()
        numbers = vit.run(pixels.to(vit.anatomy.float_type))
        seconds = (time.perf_counter() - start) / len(given)
    _require_sound(vit, numbers, recorder)
    if len(given) == 1:
        return [_recording(vit, given[0], recorder, numbers, seconds, done)]
    if recorder.batch != len(given) or len(numbers) != len(given):
        raise mixed(vit)
    return [
        _recording(vit, each, recorder.of(i), numbers[i : i + 1], seconds, done)
        for i, each in enumerate(given)
    ]


def mixed(vit: Vit) -> ModelError:
    """Why photos of one batch cannot be told apart."""
    return ModelError(
        "no_batches",
        "{model} mixes the photos of a batch in its attention; record one at a time.",
        model=vit.name,
    )


def _watching(vit: Vit, done: Edited) -> Recorder:
    watch = (*vit.anatomy.blocks[-1:], vit.anatomy.core_name)
    return Recorder(vit.running, watch, changes=done.changes)


def _recording(
    vit: Vit, given: Given, recorder: Recorder, numbers: Tensor, seconds: float, done: Edited
) -> Recording:
    """What was seen of one photo, put in order."""
    found = sort_calls(vit, recorder, (given.pixels.shape[-2], given.pixels.shape[-1]))
    logits, reading = read_outputs(vit, numbers, recorder)
    norms = _norms(recorder.outputs.get("".join(vit.anatomy.blocks[-1:])), found)
    return Recording(
        vit,
        given.pixels.float(),
        logits,
        found.layers,
        found.pool,
        found.grid,
        found.num_prefix_tokens,
        found.has_class_token,
        given.box,
        seconds,
        norms,
        found.layouts,
        found.left_out,
        found.is_chain,
        reading=reading,
        edited=done,
    )


def without_layers(rec: Recording) -> Recording:
    """A recording without its queries, keys and values, which are most of its memory, for
    `with_layers`; what was derived is the same for both."""
    return _sharing(rec, replace(rec, layers=(), pool=None))


def with_layers(rec: Recording) -> Recording:
    """The recording that `rec` was: its model runs again on the same input."""
    again = record_pixels(rec.vit, rec.pixels, rec.box, rec.edited)
    return _sharing(rec, replace(rec, layers=again.layers, pool=again.pool))


def _sharing(rec: Recording, other: Recording) -> Recording:
    """`other`, with all that was derived from `rec`."""
    object.__setattr__(other, "derived", rec.derived)
    return other


def _require_sound(vit: Vit, numbers: Tensor, recorder: Recorder) -> None:
    """ModelError if the numbers are not the same in each run, or are none."""
    if recorder.dropping:
        raise ModelError(
            "active_dropout",
            "{model} drops numbers at random in eval mode too, in {part}, so that its maps differ "
            "from run to run; pass training=self.training to the dropout, or dropout_p=0 to the "
            "attention.",
            model=vit.name,
            part=recorder.dropping[0] or vit.name,
        )
    recorded = [part for call in recorder.calls for part in call.given]
    if not all(map(is_finite, (numbers, *recorded))):
        weights = (name for name, p in vit.module.named_parameters() if not p.isfinite().all())
        if (name := next(weights, None)) is not None:
            raise ModelError(
                "weights_not_finite",
                "The weights of {model} hold numbers that are not finite, in {weight}: the file is "
                "damaged, or its training has diverged.",
                model=vit.name,
                weight=name,
            )
        raise ModelError(
            "outputs_not_finite",
            "{model} computes numbers that are not finite for this photo; if it is in float16, "
            "whose range is small, load it in float32.",
            model=vit.name,
        )


def is_finite(part: Tensor) -> bool:
    """Whether all its numbers are. A number that is not makes their sum not finite, which is one
    pass and no copy; the sum may also be too large by itself."""
    return bool(part.sum(dtype=torch.float32).isfinite()) or bool(part.isfinite().all())


def _norms(last: object, found: Layers) -> Tensor | None:
    """Length of each token's vector, if this is what the last block gave for the photo's tokens."""
    tokens = found.num_prefix_tokens + found.grid[0] * found.grid[1]
    if isinstance(last, Tensor) and last.ndim == 3 and last.shape[:2] == (1, tokens):
        return last[0].norm(dim=-1)
    return None


def _covered(rec: Recording) -> Box:
    """The part of the photo under the patches, from the part under the whole input."""
    left, top, right, bottom = rec.box
    height, width = rec.pixels.shape[-2:]
    return (
        left,
        top,
        left + (right - left) * rec.grid[1] * rec.patch_size[1] / width,
        top + (bottom - top) * rec.grid[0] * rec.patch_size[0] / height,
    )
