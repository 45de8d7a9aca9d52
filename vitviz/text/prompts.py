"""A photo asked in words: a recording whose classes are the prompts."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from vitviz.arguments import checked
from vitviz.errors import MethodError
from vitviz.photos.given import PhotoLike
from vitviz.recording.record import record
from vitviz.recording.recording import Recording
from vitviz.text.clip import Clip, ZeroShot

__all__ = ["cosines", "prompt"]


@checked
def prompt(clip: Clip, photo: PhotoLike | Tensor, prompts: Sequence[str]) -> Recording:
    """Run the image side once on a photo; the classes of the recording are the prompts.

    Predictions, methods, measures and figures are those of any other recording: `explain(rec,
    "relevance", target="a cat")` and `"legrad"` differentiate the logit of that prompt, which is
    the cosine of its vector and the photo's times the model's own scale. Relevance is then what
    Chefer, Gur & Wolf 2021, arXiv 2103.15679, propose for CLIP, with all layers.

    Args:
        clip: from `from_clip`.
        photo: as for `record`.
        prompts: texts, such as “a photo of a cat”, each of at most as many tokens as the model
            reads.

    Raises:
        VitvizError: for arguments of another kind, no prompts, or one that is too long.
        ModelError: if the tokenizer is not the model's, or as `record`.
        ImageError: if the photo is not readable.

    Examples:
        >>> rec = prompt(clip, photo, ["a cat", "a cup", "a mountain"])
        >>> rec.outputs, sorted(each.label for each in rec.predictions)
        ('softmax', ['a cat', 'a cup', 'a mountain'])
        >>> heat = explain(rec, "legrad", target="a cat")
        >>> heat.made_from.target_label
        'a cat'
    """
    return record(clip.zero_shot(prompts), photo)


@checked
def cosines(rec: Recording) -> dict[str, float]:
    """How near a photo is to each prompt: the cosine of their vectors, from −1 to 1.

    Raises:
        VitvizError: if this is no recording.
        MethodError: if it is not one of prompts.

    Examples:
        >>> rec = prompt(clip, photo, ["a cat", "a cup"])
        >>> list(cosines(rec))
        ['a cat', 'a cup']
    """
    asked = rec.vit.module
    if not isinstance(asked, ZeroShot):
        raise MethodError(
            "no_prompts_recorded",
            "{model} was not asked with prompts; record the photo with vitviz.prompt.",
            model=rec.vit.name,
        )
    found = (rec.logits.float() - asked.bias) / asked.scale
    return dict(zip(rec.vit.labels, found.tolist(), strict=True))
