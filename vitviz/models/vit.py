"""A Vision Transformer with what is needed to use it.

A `Vit` is a module in eval mode with its own transform, its labels and its name. It is never
changed after loading, so one object serves every visitor.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import timm
import torch
from PIL import Image
from torch import Tensor, nn

from vitviz.arguments import check_argument
from vitviz.errors import ModelError
from vitviz.memo import Memo
from vitviz.models.anatomy import Anatomy
from vitviz.models.asked import Transform
from vitviz.models.core import channels_of, device_of, float_type
from vitviz.models.devices import Device, FloatType, as_device, as_float_type
from vitviz.models.hooks import register
from vitviz.models.labels import Labels, check_number, label_names
from vitviz.models.libraries import (
    Tokens,
    declared_meaning,
    gives_features,
    is_timms,
    pretrained_config,
    unwrapped,
)
from vitviz.models.outputs import Meaning, check_meaning
from vitviz.models.pretrained import is_projection, own_labels, own_transform
from vitviz.models.returned import adapted, run_module
from vitviz.models.transform import readable
from vitviz.models.weights import follow

__all__ = ["Transform", "Vit", "create_pretrained", "from_module", "on_device", "shared_copy"]

PROCESSOR = torch.device("cpu")

SAME_IN_BOTH_MODES = (nn.Linear, nn.Conv2d, nn.LayerNorm, nn.GELU, nn.Identity, nn.Sequential)
"""Parts that may have been put in after the model was set to eval mode."""


@dataclass(frozen=True, eq=False)
class Vit:
    """A Vision Transformer ready to be recorded.

    Attributes:
        module: in eval mode, on the processor: what is asked for weights and parts.
        name: what to call it on screen.
        labels: class names by index; empty when they are not known.
        transform: PIL RGB image → normalised tensor (channels, height, width).
        tokens: which of its tokens are patches; None where the module itself says so.
        outputs: what its numbers mean; None where they have to be looked at.
        elsewhere: the same model on another device, which then runs in its place; None where it
            runs on the processor. If its weights change, those of `module` follow.
        anatomy: where it keeps what it is made of.
        layouts: where its queries and keys lie, by the size of the input, once found.

    Examples:
        >>> vit.transform(photo).shape
        torch.Size([3, 224, 224])
        >>> vit.labels[281]
        'tabby'
    """

    module: nn.Module
    name: str
    labels: Sequence[str]
    transform: Transform
    tokens: Tokens | None = None
    outputs: Meaning | None = None
    elsewhere: nn.Module | None = field(default=None, repr=False)
    anatomy: Anatomy = field(init=False, repr=False)
    layouts: Memo = field(default_factory=Memo, init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "anatomy", Anatomy(self.module, self.tokens))
        register(self.running)

    @property
    def running(self) -> nn.Module:
        """The module that runs: on the device that was chosen."""
        return self.module if self.elsewhere is None else self.elsewhere

    @property
    def device(self) -> torch.device:
        """Where the model runs. What is recorded of it lies on the processor."""
        return device_of(self.running)

    def run(self, pixels: Tensor) -> Tensor:
        """What the model gives: pixels (batch, 3, height, width) → (batch, classes), both on the
        processor, wherever it runs.

        Raises:
            ModelError: as `require_ready`, or if it fails on such an input.
        """
        self.require_ready()
        output: Tensor = run_module(self.running, pixels.to(self.device), self.name)
        return output.cpu()

    def last_tokens(self, pixels: Tensor) -> Tensor | None:
        """The tokens after the last block and the final norm of the model that runs, for what its
        part that is a Vision Transformer is given; None where they are not told."""
        anatomy = self.anatomy if self.elsewhere is None else Anatomy(self.elsewhere, self.tokens)
        found = anatomy.last_tokens(pixels.to(self.device))
        return found if found is None else found.cpu()

    def require_ready(self) -> None:
        """ModelError if the model has no numbers, or a part of it is in training mode, in which it
        gives other numbers each time. It is not switched here: another thread may be using or
        training it."""
        _require_weights(self.running, self.name)
        if self.elsewhere is not None:
            follow(self.module, self.elsewhere)
        for name, part in self.running.named_modules():
            if part.training and not (name and isinstance(part, SAME_IN_BOTH_MODES)):
                raise ModelError(
                    "in_training_mode",
                    "{model} is in training mode ({part}), and what it computes differs from run "
                    "to run; call module.eval() first.",
                    model=self.name,
                    part=name or type(part).__name__,
                )


def from_module(
    module: nn.Module,
    labels: Labels | None = None,
    transform: Callable[..., Any] | None = None,
    name: str | None = None,
    tokens: Tokens | None = None,
    outputs: Meaning | None = None,
    device: Device | None = None,
    dtype: FloatType | None = None,
) -> Vit:
    """Use a model you already hold; it is put in eval mode and gets hooks that cost nothing.

    It runs on the device where it is. Its maps are computed on the processor, from what it was
    recorded there; a copy of its weights is kept on the processor, and follows when they change.

    Models of timm, torchvision, transformers and open_clip say which of their tokens are patches,
    also where something is wrapped around them, such as a normalisation or a head of your own; for
    a plain ViT of your own, `tokens` does. A model may return a tensor, or tensors in a dict, a
    tuple or a dataclass. One that timm did not make is run once.

    A transform may be of any library, such as torchvision's `weights.transforms()` or an image
    processor of transformers; what its steps do not say, it is asked, see `input_box`.

    Labels and transform default to what the module's `pretrained_cfg` says (timm's models have
    one), labels also to transformers' `config.id2label`: ImageNet names where the number of classes
    tells which, otherwise none.

    Args:
        module: pixels (batch, 3, height, width) → numbers (batch, classes).
        labels: names of the classes, in order or as a dict: index → name, or name → index.
        transform: PIL RGB image → normalised tensor (3, height, width).
        name: what to call it.
        tokens: which of its tokens are patches.
        outputs: what its numbers mean, see `Meaning`. By default what the model says (the
            `problem_type` of transformers, a missing head), or what its numbers look like: one
            alone is a score, and a softmax or sigmoid that the model applies itself is not applied
            again.
        device: run a copy of it on another device, see `as_device`.
        dtype: run a copy of it in another float type, see `as_float_type`; what changes in the
            module later is then not seen.

    Raises:
        ModelError: if it is no module, or one that has no weights yet or no eval mode; there is no
            such device or float type; no transform is given and the module does not say how it was
            trained; the transform makes no input of a photo, the module fails on it or returns no
            numbers of classes; there is not one label for each class, or there are no such outputs.
        VitvizError: for a name or tokens of another kind.

    Examples:
        >>> module = timm.create_model("vit_tiny_patch16_224")  # or any of your own
        >>> from_module(module, name="mine").name
        'mine'
    """
    check_argument(from_module, "name", name)
    check_argument(from_module, "tokens", tokens)
    module = _ready(module)
    channels = channels_of(module)
    if transform is None:
        transform = own_transform(module, channels)
    transform = readable(transform, channels)
    name = name or str(pretrained_config(module).get("architecture", type(module).__name__))
    _require_weights(module, name)
    module, elsewhere = _placed(module, device, dtype)
    names = own_labels(module) if labels is None else label_names(labels)
    model, given = module, None
    if not is_timms(module):
        pixels = transform(Image.new("RGB", (256, 256), "grey"))
        pixels = pixels[None].to(float_type(module))
        model, given = adapted(module, pixels, name, len(names))
        model.eval()
        if elsewhere is not None:
            there = pixels.to(device_of(elsewhere))
            elsewhere = adapted(elsewhere, there, name, len(names))[0].eval()
    anatomy = Anatomy(model)
    classes = anatomy.num_classes
    meaning = check_meaning(outputs)
    if outputs is None:
        meaning = _declared(anatomy, module, is_named=labels is not None)
    if labels is not None:
        if (expected := 0 if meaning == "embedding" else classes or given) is not None:
            check_number(names, expected, name)
    elif meaning == "embedding" or classes not in (None, len(names)):
        names = ()  # of another head, which was replaced
    return Vit(model, name, names, transform, tokens, meaning, elsewhere)


def on_device(vit: Vit, device: Device, dtype: FloatType | None = None) -> Vit:
    """The same model where it runs on another device, or in another float type; itself if it does.

    Raises:
        ModelError: if there is no such device or float type.
    """
    kind = vit.anatomy.float_type if dtype is None else as_float_type(dtype)
    if (as_device(device), kind) == (vit.device, vit.anatomy.float_type):
        return vit
    module, elsewhere = _placed(vit.module, device, kind)
    return replace(vit, module=module, elsewhere=elsewhere)


def _declared(anatomy: Anatomy, module: nn.Module, *, is_named: bool) -> Meaning | None:
    """What a module says of its numbers; names of classes say that they are no embedding."""
    classes = anatomy.num_classes
    if not is_named and is_projection(module, classes):
        return "embedding"
    # Something around the core, such as a sigmoid, may change what its classes' numbers mean.
    known = classes if classes == 0 or anatomy.core is module else None
    return declared_meaning(anatomy.speaker, known)


def _ready(module: nn.Module) -> nn.Module:
    """What was given, without torch's wrappers and in eval mode; ModelError if it is no module that
    can be recorded."""
    if not isinstance(module, nn.Module):
        raise ModelError(
            "no_module",
            "{given} is no torch module; load a file or a name with vitviz.load_model.",
            given=type(module).__name__,
        )
    module = unwrapped(module)
    if gives_features(module):
        raise ModelError(
            "features_only",
            "This model was made with features_only=True and returns several maps of features; "
            "make it without that, and with num_classes=0 if it has no classes.",
        )
    try:
        return module.eval()
    except NotImplementedError as error:
        raise ModelError(
            "exported",
            "This model was exported, and has no eval mode and no attention that could be watched; "
            "give the original module with its weights.",
        ) from error


def _placed(
    module: nn.Module, device: Device | None, dtype: FloatType | None
) -> tuple[nn.Module, nn.Module | None]:
    """The module on the processor, and the one that runs on another device, if one does."""
    wanted = device_of(module) if device is None else as_device(device)
    kind = float_type(module) if dtype is None else as_float_type(dtype)
    if kind != float_type(module):
        module = deepcopy(module).to(kind)
    here = module if device_of(module) == PROCESSOR else deepcopy(module).to(PROCESSOR)
    if wanted == PROCESSOR:
        return here, None
    return here, module if device_of(module) == wanted else deepcopy(module).to(wanted)


def _require_weights(module: nn.Module, name: str) -> None:
    """ModelError if weights have no numbers yet, or lie on several devices."""
    devices = {weight.device for weight in module.parameters()}
    if torch.device("meta") in devices:
        raise ModelError(
            "weights_not_there",
            "{model} was made without numbers (on the device meta); load its weights first.",
            model=name,
        )
    if len(devices) > 1:
        raise ModelError(
            "on_several_devices",
            "{model} lies on several devices ({devices}); move it to one with module.to first.",
            model=name,
            devices=", ".join(sorted(map(str, devices))),
        )


def shared_copy(module: nn.Module, own: Collection[nn.Parameter] = ()) -> nn.Module:
    """A copy of a model that shares its weights, frozen, but for those it is to have for itself.

    Args:
        module: the model, left as it is.
        own: the parameters of which the copy gets copies.
    """
    own_ids = {id(p) for p in own}
    shared: dict[int, Any] = {
        id(p): nn.Parameter(p.detach(), requires_grad=False)
        for p in module.parameters()
        if id(p) not in own_ids
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
