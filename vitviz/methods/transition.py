"""Transition attention maps: integrated gradients through a Markov chain of layers."""

from __future__ import annotations

import torch
from torch import Tensor

from vitviz.methods.gradients import Score, gradient, map_gradient
from vitviz.methods.method import (
    CLASSIFIERS,
    Method,
)
from vitviz.progress import Progress, batches
from vitviz.recording.query import sum_rows
from vitviz.recording.recording import Recording

__all__ = ["METHOD", "transition"]

STEPS = 20
"""Points on the way from a grey image to the photo, both ends included, as in the authors' code."""


def transition(rec: Recording, score: Score, *, progress: Progress) -> Tensor:
    """Transition attention map, (tokens,): s ⊙ W.

    s is the class row of E_h[A_L], then s ← s + s E_h[A_l] for every layer below. W is the class
    row of E_h[(∂s/∂A_L averaged over 20 steps from grey to the photo)⁺], integrated gradients
    without their factor. In a model that does not classify its class token, the rows are what the
    classifier reads. Yuan et al. 2021, "Explaining Information Flow Inside Vision Transformers
    Using Markov Chain".

    Args:
        rec: from `record`.
        score: the class's logit, or how far it is above another's.
        progress: called with the finished share after every few steps; what it raises ends the
            computation.

    Raises:
        MethodError: if no gradient leads from classes to attention, as with weights in int8.

    Examples:
        >>> score = Score(rec.predictions[0].index)
        >>> transition(rec, score, progress=lambda share: None).shape
        torch.Size([257])
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
    scales = torch.linspace(0, 1, STEPS, dtype=torch.float32)[:, None, None, None]
    total = torch.zeros(rec.num_heads(-1), len(rows), rec.num_tokens, dtype=torch.float32)
    for steps in batches(STEPS, rec.num_tokens, progress):
        with torch.inference_mode(False), torch.enable_grad():
            inputs = (scales[steps] * rec.pixels).requires_grad_()
            with rec.recorder() as recorder:
                scores = score.of(rec.vit.run(inputs))
            [attended] = gradient(rec, scores.sum(), [recorder.attended.get(last)])
        call = next(call for call in recorder.calls if call.module == last)
        total += map_gradient(call, attended[:, :, rows]).detach().sum(dim=0)
    return total / STEPS


METHOD = Method(
    "transition",
    7,
    "Transition attention map",
    "Which patches feed the last layer where this class is decided?",
    transition,
    "Yuan et al. 2021, Explaining Information Flow Inside Vision Transformers Using Markov Chain",
    needs_gradient=True,
    class_specific=True,
    has_query=False,
    slow=True,
    applies_to=CLASSIFIERS,
)
