"""Methods that differentiate a class score."""

from __future__ import annotations

import torch
from torch import Tensor

from vitviz.errors import MethodError
from vitviz.gradients import Gradients, Score, attention_gradient, gradients, map_gradient
from vitviz.methods.rollout import discard_smallest, flow
from vitviz.progress import Progress, batches
from vitviz.recorder import Recorder
from vitviz.recording import ROWS_AT_ONCE, Query, Recording, sum_rows

__all__ = ["gradcam", "gradient_rollout", "legrad", "relevance", "transition"]

STEPS = 20
"""Points on the way from a grey image to the photo, both ends included, as in the authors' code."""


def gradient_rollout(
    rec: Recording, query: Query, score: Score, *, discard: float, start: int, residual: float
) -> Tensor:
    """Rollout of the heads' mean of (A ⊙ ∂s/∂A)⁺ instead of A: (tokens,), sums to 1.

    After Gildenblat's vit-explain, 2020.
    """
    grads = gradients(rec, score)

    def mixing(layer: int, rows: slice) -> Tensor:
        weighted = positive_part(rec, grads, layer, rows)
        return discard_smallest(weighted, rows, discard, rec.num_prefix_tokens)

    return flow(rec, rec.score_weights(query), mixing, start=start, residual=residual)


def relevance(rec: Recording, query: Query, score: Score) -> Tensor:
    """Row `query` of R after R ← R + E_h[(∂s/∂A ⊙ A)⁺] R, layer by layer from R = I: (tokens,).

    Chefer, Gur & Wolf, ICCV 2021. The row is carried down from the last layer, so that no two
    (tokens × tokens) matrices are ever multiplied.
    """
    grads = gradients(rec, score)
    row = rec.score_weights(query)
    for layer in reversed(range(rec.num_layers)):

        def rows_of(rows: slice, layer: int = layer) -> Tensor:
            return positive_part(rec, grads, layer, rows)

        row = row + sum_rows(row, rows_of)
    return row


def positive_part(rec: Recording, grads: Gradients, layer: int, rows: slice) -> Tensor:
    """E_h[(∂s/∂A ⊙ A)⁺] of some query tokens: (rows, tokens)."""
    gradient = attention_gradient(rec, grads.attended[layer], layer, rows)
    return gradient.mul_(rec.attention_rows(layer, rows)).clamp_(min=0).mean(dim=0)


def transition(rec: Recording, score: Score, *, progress: Progress) -> Tensor:
    """Transition attention map, (tokens,): s ⊙ W.

    s is the class row of E_h[A_L], then s ← s + s E_h[A_l] for every layer below. W is the class
    row of E_h[(∂s/∂A_L averaged over 20 steps from grey to the photo)⁺], integrated gradients
    without their factor. In a model that does not classify its class token, the rows are what the
    classifier reads. Yuan et al. 2021.

    `progress` is called with the finished share after every few steps; what it raises ends the
    computation.
    """
    weights = rec.score_weights("cls")
    state = sum_rows(weights, lambda rows: rec.attention_rows(rec.num_layers - 1, rows).mean(dim=0))
    for layer in reversed(range(rec.num_layers - 1)):

        def rows_of(rows: slice, layer: int = layer) -> Tensor:
            return rec.attention_rows(layer, rows).mean(dim=0)

        state = state + sum_rows(state, rows_of)
    used = weights.nonzero().flatten()
    integrated = _integrated(rec, score, used, progress)
    return state * (weights[used] @ integrated.clamp(min=0).mean(dim=0))


def _integrated(rec: Recording, score: Score, rows: Tensor, progress: Progress) -> Tensor:
    """∂s/∂A of these rows of the last layer, mean over `STEPS` inputs: (heads, rows, tokens)."""
    last = rec.layers[-1].module
    scales = torch.linspace(0, 1, STEPS)[:, None, None, None]
    total = torch.zeros(rec.num_heads(-1), len(rows), rec.num_tokens)
    for steps in batches(STEPS, rec.num_tokens, progress):
        with torch.inference_mode(False), torch.enable_grad():
            inputs = (scales[steps] * rec.pixels).requires_grad_()
            with Recorder(rec.vit.module) as recorder:
                scores = score.of(rec.vit.module(inputs))
            [gradient] = torch.autograd.grad(scores.sum(), recorder.attended[last])
        call = next(call for call in recorder.calls if call.module == last)
        total += map_gradient(call, gradient[:, :, rows]).detach().sum(dim=0)
    return total / STEPS


def legrad(rec: Recording, score: Score) -> Tensor:
    """Mean over layers l, heads and query tokens of (∂s^l/∂A^l)⁺: (tokens,).

    s^l is the score that the final norm and head give to block l's tokens. Bousselham et al. 2024;
    in models with map pooling, where the authors differentiate the pooling head's map, the layers'
    own maps are used as in all other models.

    Raises:
        MethodError: if the model's score is not its head applied to its normalised last tokens.
    """
    own = gradients(rec, score).own
    if own is None:
        raise MethodError(
            f"LeGrad asks the classifier about every block's tokens, and {rec.vit.name} has no "
            "final norm and head that could be applied to them; use relevance."
        )
    total = torch.zeros(rec.num_tokens)
    for layer, attended in enumerate(own):
        for start in range(0, rec.num_tokens, ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            gradient = attention_gradient(rec, attended, layer, rows)
            total += gradient.clamp_(min=0).mean(dim=0).sum(dim=0)
    return total / (rec.num_layers * rec.num_tokens)


def gradcam(rec: Recording, score: Score) -> Tensor:
    """(Σ_c w_c x_c)⁺, where w is the patches' mean of ∂s/∂x: (tokens,).

    x, (tokens, width), enters the last block's attention: its input norm's output. The outputs of
    the last block would not do, since those of the patches have no gradient where only the class
    token is classified. Selvaraju et al. 2017.
    """
    grads = gradients(rec, score)
    weights = grads.door_gradient[rec.num_prefix_tokens :].mean(dim=0)
    return (grads.door @ weights).clamp(min=0)
