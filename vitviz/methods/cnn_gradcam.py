"""Grad-CAM of a convolutional network: what a Vision Transformer's maps are compared with."""

from __future__ import annotations

import torch

from vitviz.arguments import checked
from vitviz.errors import ModelError
from vitviz.heatmap import Fingerprint, Heatmap, MadeFrom
from vitviz.methods.target import Target, class_index
from vitviz.models.transform import input_box, mode_of, transformed
from vitviz.models.vit import Vit
from vitviz.models.weights import cached_weights_hash, tensor_hash
from vitviz.photos.given import PhotoLike, as_photo

__all__ = ["cnn_gradcam"]


@checked
def cnn_gradcam(vit: Vit, photo: PhotoLike, target: Target | None = None) -> Heatmap:
    """(Σ_c w_c A_c)⁺, where w_c is the mean over all places of ∂s/∂A_c: (rows, cols).

    A, (channels, rows, cols), is what the last convolution gives and s the class's logit. It needs
    no attention, only a timm model whose features are maps. Selvaraju et al. 2017, arXiv
    1610.02391.

    Args:
        vit: such as `load_model("efficientnet_lite2_in1k")`.
        photo: as `record` takes it.
        target: class index or name; None is the top prediction.

    Raises:
        ModelError: if the model's features are not maps of channels.
        MethodError: if there is no such class.

    Examples:
        >>> cnn = load_model("efficientnet_lite2_in1k")
        >>> cnn_gradcam(cnn, photo).values.ndim
        2
    """
    anatomy, photo = vit.anatomy, as_photo(photo, mode_of(vit.transform))
    vit.require_ready()
    with torch.inference_mode(False), torch.enable_grad():
        pixels = transformed(vit.transform, photo)[None].to(anatomy.float_type).requires_grad_()
        maps = anatomy.last_tokens(pixels)
        if maps is None or maps.ndim != 4 or maps.shape[1] != anatomy.width:
            raise ModelError(
                "no_last_convolution",
                "{model} does not say what its last convolution gives.",
                model=vit.name,
            )
        logits = anatomy.classify(maps)[0]
        index = class_index(vit, len(logits), int(logits.argmax()) if target is None else target)
        (gradient,) = torch.autograd.grad(logits[index], maps)
    weights = gradient[0].mean(dim=(1, 2))
    values = (weights[:, None, None] * maps[0].detach()).sum(dim=0).clamp(min=0)
    box = input_box(vit.transform, photo.size)
    made = MadeFrom(
        "gradcam",
        {},
        None,
        index,
        vit.labels[index] if vit.labels else f"class {index}",
        None,
        None,
        vit.name,
        cached_weights_hash(vit.module),
        tensor_hash([("pixels", pixels[0].detach())]),
    )
    return Heatmap(values.numpy(), box, "gradcam", made, Fingerprint.of(as_photo(photo)))
