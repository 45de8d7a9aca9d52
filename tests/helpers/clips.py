"""Small random models of photos and texts, with what each library brings to ask them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import open_clip
import torch
import transformers
from open_clip.transform import PreprocessCfg, image_transform_v2
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn

import vitviz

SIDE, LONGEST = 64, 8  # px of the input, tokens of a text
WORDS = ("<pad>", "<start>", "<end>", "<unknown>", "a", "photo", "of", "cat", "cup", "mountain")
TOKENIZER = open_clip.SimpleTokenizer(context_length=LONGEST)
TRANSFORM = image_transform_v2(PreprocessCfg(size=SIDE), is_train=False)
TEXT = {"context_length": LONGEST, "width": 32, "heads": 2, "layers": 2}


@dataclass(frozen=True)
class Small:
    """A model, as Vitviz takes it and as its library asks it.

    Attributes:
        clip: the one.
        logits: pixels (1, 3, height, width) and texts → logits (1, texts) of the library's own.
        features: the same → the library's vector of the photo, and those of the texts, of any
            length.
    """

    clip: vitviz.Clip
    logits: Callable[[Tensor, Sequence[str]], Tensor]
    features: Callable[[Tensor, Sequence[str]], tuple[Tensor, Tensor]]


def shaken(module: nn.Module) -> nn.Module:
    """The module with larger random weights: attention is far from uniform, prompts far apart."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.2)
    return module.eval()


def of_open_clip(module: nn.Module) -> Small:
    clip = vitviz.from_clip(shaken(module), TOKENIZER, TRANSFORM)
    return Small(
        clip,
        lambda pixels, texts: module.get_logits(pixels, TOKENIZER(list(texts)))[0],
        lambda pixels, texts: (
            module.encode_image(pixels),
            module.encode_text(TOKENIZER(list(texts))),
        ),
    )


def hf_tokenizer() -> transformers.PreTrainedTokenizerFast:
    """Ten words, with marks around a text."""
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unknown>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        "<start> $A <end>", special_tokens=[("<start>", 1), ("<end>", 2)]
    )
    marks = {"pad_token": "<pad>", "bos_token": "<start>", "eos_token": "<end>"}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="<unknown>", **marks
    )


def processor(kind: str) -> transformers.ProcessorMixin:
    """Of CLIP, which others share, or Siglip."""
    square = {"height": SIDE, "width": SIDE}
    cut = {"size": {"shortest_edge": SIDE}, "crop_size": square}
    name = "Siglip" if kind == "Siglip" else "CLIP"
    images = getattr(transformers, f"{name}ImageProcessor")
    return getattr(transformers, f"{name}Processor")(
        images(**({"size": square} if kind == "Siglip" else cut)), hf_tokenizer()
    )


def of_transformers(kind: str) -> Small:
    """CLIP, MetaClip2 or Siglip."""
    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3}
    text = {"vocab_size": len(WORDS), "max_position_embeddings": LONGEST, "projection_size": 48}
    marks = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = getattr(transformers, f"{kind}Config")(
        text_config={**sizes, **text, **marks, "intermediate_size": 96},
        vision_config={**sizes, "image_size": SIDE, "patch_size": 16, "intermediate_size": 96},
    )
    module = shaken(getattr(transformers, f"{kind}Model")(config))
    tokenizer = hf_tokenizer()
    filled = {"padding": "max_length", "max_length": LONGEST} if kind == "Siglip" else {}

    def asked(pixels: Tensor, texts: Sequence[str]) -> transformers.utils.ModelOutput:
        given = tokenizer(list(texts), return_tensors="pt", **{"padding": True, **filled})
        return module(**given, pixel_values=pixels)

    return Small(
        vitviz.from_clip(module, processor(kind)),
        lambda pixels, texts: asked(pixels, texts).logits_per_image,
        lambda pixels, texts: (
            asked(pixels, texts).image_embeds,
            asked(pixels, texts).text_embeds,
        ),
    )


@cache
def small(name: str) -> Small:
    """One of `KINDS`; made once, as it is never changed."""
    torch.manual_seed(0)
    tower = {"layers": 2, "width": 48, "head_width": 16, "patch_size": 16, "image_size": SIDE}
    timms = {"timm_model_name": "test_vit", "timm_proj": "linear", "image_size": SIDE}
    if name == "open_clip":
        return of_open_clip(open_clip.CLIP(32, tower, TEXT))
    if name == "open_clip, mean":
        return of_open_clip(open_clip.CLIP(32, {**tower, "pool_type": "avg"}, TEXT))
    if name == "open_clip, timm, sigmoid":
        return of_open_clip(open_clip.CustomTextCLIP(32, timms, TEXT, init_logit_bias=-2.0))
    return of_transformers(name)


KINDS = ("open_clip", "open_clip, mean", "open_clip, timm, sigmoid", "CLIP", "MetaClip2", "Siglip")
