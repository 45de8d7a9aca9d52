"""How a class's score pulls on the matrices that make queries, keys and values.

From O = A V, A = softmax(Z) and Z = Q Kᵀ / √d the chain rule gives, for each head,
∂s/∂V = Aᵀ ∂s/∂O, ∂s/∂A = ∂s/∂O Vᵀ, then each row of ∂s/∂Z = J ∂s/∂A with the softmax's Jacobian J,
∂s/∂Q = ∂s/∂Z K / √d, ∂s/∂K = (∂s/∂Z)ᵀ Q / √d, and from these, with X the normed tokens,
∂s/∂W_q = (∂s/∂Q)ᵀ X and so on. Queries and keys are reached through the softmax alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitviz.errors import MethodError
from vitviz.methods.gradients import Score, gradient, run_with_gradients
from vitviz.models.anatomy import Anatomy
from vitviz.recording.recording import Recording

__all__ = ["projection_gradient", "projection_gradients"]


def projection_gradient(rec: Recording, score: Score, layer: int) -> Tensor:
    """∂score/∂W of a layer's three matrices, (3, width, width): of queries, keys and values.

    Raises:
        MethodError: if the model does not keep the three in one matrix, or has no gradients.
    """
    return _gradients(rec, score, [layer])[0]


def projection_gradients(rec: Recording, score: Score) -> Tensor:
    """Lengths ‖∂score/∂W‖ (Frobenius) in every layer, (layers, 3): of the matrices of queries, keys
    and values, from one backward pass.

    Raises:
        MethodError: as `projection_gradient`.
    """
    found = _gradients(rec, score, range(rec.num_layers))
    return torch.stack([each.flatten(1).norm(dim=1) for each in found])


def _gradients(rec: Recording, score: Score, layers: range | list[int]) -> list[Tensor]:
    anatomy = Anatomy(rec.vit.running)
    projections = [anatomy.query_key_value(rec.layers[layer].module) for layer in layers]
    weights = [each.weight for each in projections if isinstance(each, nn.Linear)]
    if len(weights) < len(projections):
        raise MethodError(
            "no_common_projection",
            "{model} does not make queries, keys and values with one matrix; choose a plain "
            "Vision Transformer.",
            model=rec.vit.name,
        )
    with torch.inference_mode(False), torch.enable_grad():
        _, logits = run_with_gradients([rec])
        found = gradient(rec, score.of(logits[0]), weights)
    return [each.detach().float().unflatten(0, (3, -1)) for each in found]
