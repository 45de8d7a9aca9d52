"""A Vision Transformer with what is needed to use it.

A `Vit` is a module in eval mode with its own transform, its labels and its name. It is never
changed after loading, so one object serves every visitor.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import timm
from PIL import Image
from timm.data import (
    ImageNetInfo,
    create_transform,
    infer_imagenet_subset,
    resolve_model_data_config,
)
from torch import Tensor, nn

from vitviz.errors import ModelError
from vitviz.memo import Memo
from vitviz.models.anatomy import Anatomy, channels_of, float_type
from vitviz.models.hooks import register
from vitviz.models.labels import imagenet_names
from vitviz.models.libraries import Tokens, is_timms, unwrapped
from vitviz.models.outputs import adapted
from vitviz.models.transform import readable

__all__ = ["Transform", "Vit", "create_pretrained", "from_module", "shared_copy"]

Transform = Callable[[Image.Image], Tensor]


@dataclass(frozen=True, eq=False)
class Vit:
    """A Vision Transformer ready to be recorded.

    Attributes:
        module: in eval mode, on the processor.
        name: what to call it on screen.
        labels: class names by index; empty when they are not known.
        transform: PIL RGB image → normalised tensor (channels, height, width).
        tokens: which of its tokens are patches; None where the module itself says so.
        anatomy: where it keeps what it is made of.
        layouts: where its queries and keys lie, by the size of the input, once found.

    Examples:
        >>> vit.transform(photo).shape
        torch.Size([3, 224, 224])
        >>> vit.labels[48]
        'tabby'
    """

    module: nn.Module
    name: str
    labels: Sequence[str]
    transform: Transform
    tokens: Tokens | None = None
    anatomy: Anatomy = field(init=False, repr=False)
    layouts: Memo = field(default_factory=Memo, init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "anatomy", Anatomy(self.module, self.tokens))
        register(self.module)


def from_module(
    module: nn.Module,
    labels: Sequence[str] | None = None,
    transform: Callable[..., Any] | None = None,
    name: str | None = None,
    tokens: Tokens | None = None,
) -> Vit:
    """Use a model you already hold; it is put in eval mode and gets hooks that cost nothing.

    Models of timm, torchvision, transformers and open_clip say which of their tokens are patches,
    also where something is wrapped around them, such as a normalisation or a head of your own; for
    a plain ViT of your own, `tokens` does. A model may return a tensor, or tensors in a dict, a
    tuple or a dataclass. One that timm did not make is run once.

    A transform may be of any library, such as torchvision's `weights.transforms()` or an image
    processor of transformers; what its steps do not say, it is asked, see `input_box`.

    Labels and transform default to what the module's `pretrained_cfg` says (timm's models have
    one): ImageNet names where the number of classes tells which, otherwise none.

    Raises:
        ModelError: if no transform is given and the module does not say how it was trained, the
            transform makes no input of a photo, or the module returns no numbers of classes.

    Examples:
        >>> module = timm.create_model("vit_tiny_patch16_224")  # or any of your own
        >>> from_module(module, name="mine").name
        'mine'
    """
    module = unwrapped(module).eval()
    config: Mapping[str, Any] = getattr(module, "pretrained_cfg", {})
    architecture = config.get("architecture", type(module).__name__)
    channels = channels_of(module)
    if transform is None:
        if not config:
            raise ModelError(
                "transform_needed", "This module has no pretrained_cfg: pass transform= as well."
            )
        transform = create_transform(**_data_config(module, channels))
    transform = readable(transform, channels)
    if labels is None:
        labels = _labels(module, config)
    if not is_timms(module):
        pixels = transform(Image.new("RGB", (256, 256), "grey"))
        module = adapted(module, pixels[None].to(float_type(module)), len(labels)).eval()
    return Vit(module, name or architecture, tuple(labels), transform, tokens)


def shared_copy(module: nn.Module, own: Collection[nn.Parameter] = ()) -> nn.Module:
    """A copy of a model that shares its weights, frozen, but for those it is to have for itself.

    Args:
        module: the model, left as it is.
        own: the parameters of which the copy gets copies.
    """
    kept = {id(p) for p in own}
    shared: dict[int, Any] = {
        id(p): nn.Parameter(p.detach(), requires_grad=False)
        for p in module.parameters()
        if id(p) not in kept
    }
    return deepcopy(module, shared)


def create_pretrained(name: str, **arguments: Any) -> nn.Module:
    """A timm model with weights, made to take inputs of any size where its family can.

    Args:
        name: as timm.create_model takes it.
        arguments: of timm.create_model.
    """
    try:
        return timm.create_model(name, pretrained=True, dynamic_img_size=True, **arguments)
    except TypeError as error:
        if "dynamic_img_size" not in str(error):
            raise
        # The family does not know the argument.
        return timm.create_model(name, pretrained=True, **arguments)


def _data_config(module: nn.Module, channels: int) -> dict[str, Any]:
    """The transform's settings; the input size is the module's own, which may differ from the
    size its weights were published for. Grey has the mean of the three colours' mean and deviation.

    Raises:
        ModelError: for a model of other channels, whose mean and deviation nobody says.
    """
    config: dict[str, Any] = resolve_model_data_config(module)
    size = Anatomy(module).input_size
    if size:
        config["input_size"] = (3, *size)
    if channels == 1:
        for name in ("mean", "std"):
            config[name] = (sum(config[name]) / len(config[name]),)
    elif channels != 3:
        raise ModelError(
            "transform_needed_for_channels",
            "The model takes {channels} channels, and nothing says how they are normalised: pass "
            "transform= as well.",
            channels=channels,
        )
    return config


def _labels(module: nn.Module, config: Mapping[str, Any]) -> list[str]:
    if names := config.get("label_names"):
        if isinstance(names, Mapping):  # index → name, where some indices have none
            named = {int(index): name for index, name in names.items()}
            names = [named.get(i, f"class {i}") for i in range(max(named) + 1)]
        described = config.get("label_descriptions") or {}
        return [described.get(name, name) for name in names]
    subset = infer_imagenet_subset(module)
    if subset is None or Anatomy(module).num_classes == 0:
        return []
    if subset == "imagenet-1k":
        return list(imagenet_names())
    return list(_imagenet_names(subset))


@cache  # timm reads the names of all 21,843 classes to tell those of one subset
def _imagenet_names(subset: str) -> tuple[str, ...]:
    info = ImageNetInfo(subset)
    return tuple(info.index_to_description(i) for i in range(info.num_classes()))
