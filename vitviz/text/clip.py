"""Models that put photos and texts into one space: CLIP and SigLIP of open_clip and transformers.

Radford et al. 2021, CLIP, arXiv 2103.00020; Zhai et al. 2023, SigLIP, arXiv 2303.15343. How these
libraries call what is needed here (open_clip 3.3, transformers 5.24) is known in this file alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitviz.arguments import check_argument, checked
from vitviz.errors import FAILURES, ModelError, VitvizError, in_a_line
from vitviz.models.core import device_of
from vitviz.models.outputs import Meaning
from vitviz.models.returned import numbers_in
from vitviz.models.vit import Vit, from_module

__all__ = ["Clip", "ZeroShot", "from_clip"]

IMAGE_SIDES = ("encode_image", "get_image_features")  # open_clip's, and transformers'
TEXT_SIDES = ("encode_text", "get_text_features")


class ImageSide(nn.Module):
    """Pixels (batch, channels, height, width) → the photos' vectors of length 1, (batch, width)."""

    def __init__(self, clip: nn.Module) -> None:
        super().__init__()
        self.clip = clip

    def forward(self, pixels: Tensor) -> Tensor:
        return _vectors(_side(self.clip, IMAGE_SIDES)(pixels))


class ZeroShot(nn.Module):
    """A classifier whose classes are prompts: pixels (batch, channels, height, width) → logits
    (batch, prompts), the model's own scale times the cosines, plus its bias.

    Args:
        image_side: what makes the photos' vectors.
        texts: the prompts' vectors of length 1, (prompts, width).
        scale: one over the model's temperature.
        bias: 0 in a model that has none.
    """

    texts: Tensor

    def __init__(self, image_side: nn.Module, texts: Tensor, scale: float, bias: float) -> None:
        super().__init__()
        self.image_side = image_side
        self.register_buffer("texts", texts)
        self.scale, self.bias = scale, bias

    def forward(self, pixels: Tensor) -> Tensor:
        cosines: Tensor = self.image_side(pixels) @ self.texts.T
        return self.scale * cosines + self.bias


@dataclass(frozen=True, eq=False)
class Clip:
    """A model of photos and texts, shared and unchanged.

    Attributes:
        vit: its image side, which gives a photo's vector.
        module: both sides, in eval mode.
        tokenizer: texts → what the text side takes.

    Examples:
        >>> features = clip.text_features(["a cat", "a cup"])
        >>> features.shape  # (texts, width)
        torch.Size([2, 32])
    """

    vit: Vit
    module: nn.Module
    tokenizer: Any

    @checked
    @torch.no_grad()
    def text_features(self, texts: Sequence[str]) -> Tensor:
        """The vector of each text, (texts, width), of length 1, on the processor.

        Raises:
            VitvizError: for a text of more tokens than the model reads.
            ModelError: if the tokenizer is not the model's.
        """
        encode, device = _side(self.module, TEXT_SIDES), device_of(self.module)
        try:
            given = {name: part.to(device) for name, part in self._given(texts).items()}
            return _vectors(encode(**given)).cpu()
        except FAILURES as error:
            raise ModelError(
                "texts_not_read",
                "{model} fails on texts from this tokenizer: {reason}; give the model’s own.",
                model=self.vit.name,
                reason=in_a_line(error),
            ) from error

    @checked
    def zero_shot(self, prompts: Sequence[str]) -> Vit:
        """A model whose classes are prompts, for `record`, `record_many` and `evaluate`.

        What it says of them is the model's own: a softmax over the cosines by the learned
        temperature (CLIP), or for each prompt alone a sigmoid of its cosine by temperature and bias
        (SigLIP). One prompt alone has no softmax, and its logit is a score.

        Raises:
            VitvizError: for no prompts, or one of more tokens than the model reads.
            ModelError: if the tokenizer is not the model's.
        """
        if len(prompts) == 0:
            raise VitvizError("no_prompt", "There is no prompt; give one text at least.")
        clip: Any = self.module
        texts, scale = self.text_features(prompts), float(clip.logit_scale.detach().exp())
        own_bias = getattr(clip, "logit_bias", None)
        bias = 0.0 if own_bias is None else float(own_bias.detach())
        alone: Meaning = "softmax" if len(prompts) > 1 else "score"

        def asked(side: nn.Module) -> nn.Module:
            return ZeroShot(side, texts.to(device_of(side)), scale, bias).eval()

        elsewhere = self.vit.elsewhere
        found = Vit(
            asked(self.vit.module),
            self.vit.name,
            tuple(prompts),
            self.vit.transform,
            outputs=alone if own_bias is None else "sigmoid",
            elsewhere=None if elsewhere is None else asked(elsewhere),
        )
        object.__setattr__(found, "layouts", self.vit.layouts)  # whatever the prompts are
        return found

    def _given(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """What the text side takes, whole texts only."""
        texts, ask = list(texts), self.tokenizer
        if not hasattr(self.module, "get_text_features"):
            tokens: Tensor = ask(texts)
            if "context_length" in inspect.signature(ask).parameters:  # it cuts in silence
                most = tokens.shape[1]
                longer = ask(texts, context_length=2 * most)[:, :most]
                self._require_whole(texts, (longer == tokens).all(dim=1).tolist(), most)
            return {"text": tokens}
        config: Any = self.module.config
        most = min(config.text_config.max_position_embeddings, ask.model_max_length)
        counts = [len(ids) for ids in ask(texts)["input_ids"]]
        self._require_whole(texts, [count <= most for count in counts], most)
        # SigLIP was trained on texts that are filled up.
        fill = "max_length" if hasattr(self.module, "logit_bias") else "longest"
        return dict(ask(texts, padding=fill, max_length=most, return_tensors="pt"))

    def _require_whole(self, texts: Sequence[str], whole: Sequence[bool], most: int) -> None:
        """VitvizError if some text would be cut."""
        for text, is_whole in zip(texts, whole, strict=True):
            if not is_whole:
                raise VitvizError(
                    "prompt_too_long",
                    "The prompt “{prompt}” is too long: {model} reads at most {most} tokens; "
                    "shorten it.",
                    prompt=text,
                    model=self.vit.name,
                    most=most,
                )


def from_clip(
    module: nn.Module,
    tokenizer: Callable[..., Any],
    transform: Callable[..., Any] | None = None,
    name: str | None = None,
) -> Clip:
    """Use a model of photos and texts that you already hold; it is put in eval mode.

    Models of open_clip (CLIP, SigLIP, CoCa, towers of timm too) and of transformers (CLIPModel,
    SiglipModel, and those that are built like them, such as MetaClip2Model and ChineseCLIPModel).
    It runs on the device where it is.

    Args:
        module: the whole model.
        tokenizer: its own: `open_clip.get_tokenizer(name)`, or a processor of transformers, which
            brings the transform too.
        transform: its own, for evaluation: what `open_clip.create_model_and_transforms` gives last.
        name: what to call it.

    Raises:
        ModelError: if it is no such model, there is no transform, or as `from_module`.
        VitvizError: for a name or a tokenizer of another kind.

    Examples:
        >>> import open_clip
        >>> vision, text = {"layers": 2, "width": 64}, {"layers": 2, "width": 64}
        >>> module = open_clip.CLIP(32, vision, text)  # or create_model_and_transforms
        >>> clip = from_clip(module, open_clip.tokenize, vit.transform, "mine")
        >>> clip.zero_shot(["a cat", "a cup"]).labels
        ('a cat', 'a cup')
    """
    for argument, value in (("tokenizer", tokenizer), ("name", name)):
        check_argument(from_clip, argument, value)
    sides = (_side(module, names) for names in (IMAGE_SIDES, TEXT_SIDES))
    if not all(map(callable, sides)) or not hasattr(module, "logit_scale"):
        raise ModelError(
            "not_clip",
            "{given} does not put photos beside texts; give a model of open_clip, or CLIP or "
            "SigLIP of transformers, as a whole.",
            given=type(module).__name__,
        )
    if hasattr(tokenizer, "image_processor"):  # a processor of transformers
        transform = transform or tokenizer.image_processor
        tokenizer = tokenizer.tokenizer  # type: ignore[attr-defined]
    if transform is None:
        raise ModelError(
            "clip_transform_needed",
            "The tokenizer brings no image processor: pass transform= as well, such as open_clip’s "
            "own for evaluation.",
        )
    vit = from_module(
        ImageSide(module),
        transform=transform,
        name=name or type(module).__name__,
        outputs="embedding",
    )
    return Clip(vit, module, tokenizer)


def _side(clip: Any, names: Sequence[str]) -> Any:
    """What encodes photos or texts there; None if nothing does."""
    return next((getattr(clip, name) for name in names if hasattr(clip, name)), None)


def _vectors(encoded: Any) -> Tensor:
    """The vectors in what a side gave, of length 1, (batch, width)."""
    return F.normalize(numbers_in(encoded)[1], dim=-1)
