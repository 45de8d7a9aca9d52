"""LeGrad: how each layer's attention would raise a class's score."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vitviz.errors import MethodError, ModelError
from vitviz.interventions.sources import blocks_of, first_of
from vitviz.methods.gradients import Score, attention_gradient, gradient, run_with_gradients
from vitviz.methods.method import ChoiceOption, Method
from vitviz.methods.rollout import START
from vitviz.recording.changes import OutputChange
from vitviz.recording.query import ROWS_AT_ONCE
from vitviz.recording.recorder import Recorder
from vitviz.recording.recording import Recording

__all__ = ["METHOD", "legrad"]


def legrad(rec: Recording, score: Score, *, scored: str, start: int) -> Tensor:
    """Mean over layers l, heads and query tokens of (∂s^l/∂A^l)⁺: (tokens,).

    s^l is the score that the final norm and head give to block l's tokens. Bousselham et al. 2024,
    arXiv 2404.03214; in models with map pooling, where the authors differentiate the pooling head's
    map, the layers' own maps are used as in all other models.

    The authors' code scores the mean of all tokens and takes the last two layers alone:
    `scored="mean"` and `start` two below the last. The default asks about what the classifier
    reads, so that the last layer's score is the model's own, and about all layers, as the paper's
    formula does.

    Args:
        rec: from `record`.
        score: the class's logit, or how far it is above another's.
        scored: "classifier", the tokens that the classifier reads, or "mean", the mean of all.
        start: the first layer.

    Raises:
        MethodError: if the model's score is not its head applied to its normalised last tokens, or
            no gradient leads from there to the attention, as with weights in int8.

    Examples:
        >>> score = Score(rec.predictions[0].index)
        >>> legrad(rec, score, scored="classifier", start=0).shape
        torch.Size([257])
    """
    key = (score, scored)
    own = rec.derived.get(key, lambda: _own_gradients(rec, score, scored == "mean"), "legrad")
    if own is None:
        raise MethodError(
            "legrad_inapplicable",
            "LeGrad asks the classifier about every block's tokens, and {model} has no "
            "final norm and head that could be applied to them; use relevance.",
            model=rec.vit.name,
        )
    total = torch.zeros(rec.num_tokens, dtype=torch.float32)
    for layer in range(start, rec.num_layers):
        for first in range(0, rec.num_tokens, ROWS_AT_ONCE):
            rows = slice(first, first + ROWS_AT_ONCE)
            found = attention_gradient(rec, own[layer], layer, rows)
            total += found.clamp_(min=0).mean(dim=0).sum(dim=0)
    return total / ((rec.num_layers - start) * rec.num_tokens)


def _own_gradients(rec: Recording, score: Score, of_mean: bool) -> tuple[Tensor, ...] | None:
    """∂s^l/∂O of each layer l, (heads, tokens, dim), where O = A V; None unless what follows the
    blocks turns the last tokens alone into the model's score.

    Two forward passes, and less than one backward pass: only block l lies between s^l and O of
    layer l.
    """
    if not (blocks := blocks_of(rec)):
        return None
    with torch.inference_mode(False), torch.enable_grad():
        recorder, logits = run_with_gradients([rec], blocks)
        scores = _scores_of_blocks(rec, recorder, blocks, of_mean)
        if scores is None or not torch.allclose(scores[-1:], logits, atol=1e-4):
            return None
        return tuple(
            gradient(rec, score_of_block, [recorder.attended.get(call.module)])[0][0]
            for score_of_block, call in zip(
                score.of(scores)[: rec.num_layers], rec.layers, strict=True
            )
        )


def _scores_of_blocks(
    rec: Recording, recorder: Recorder, blocks: Sequence[str], of_mean: bool
) -> Tensor | None:
    """What the model makes of each block's tokens, or of their mean in the place of each, and at
    last of its last block's as they are: (blocks, classes), or one more.

    It is asked: the model runs once more, and in the place of its last block's tokens those of all
    blocks go on, as a batch. None where a block is given anything but the tokens of the one before,
    or what follows takes no such batch.
    """
    states = [first_of(recorder.outputs[block]) for block in blocks]
    given = [first_of(recorder.inputs[block]) for block in blocks[1:]]
    if not all(a is b for a, b in zip(states, given, strict=False)):
        return None
    tokens = torch.cat([state for state in states if state is not None])
    if of_mean:  # whatever the classifier reads, it finds the mean
        channels_first = tokens.shape[2:] == rec.grid
        places = (2, 3) if channels_first else tuple(range(1, tokens.ndim - 1))
        tokens = torch.cat([tokens.mean(places, keepdim=True).expand_as(tokens), tokens[-1:]])
    try:
        with rec.recorder(changes=[OutputChange(blocks[-1], lambda _: tokens)]):
            scores = rec.vit.run(rec.pixels[None])
    except ModelError:  # what follows takes no batch but the photo's own
        return None
    return scores if len(scores) == len(tokens) else None


METHOD = Method(
    "legrad",
    8,
    "LeGrad",
    "Which patches would each layer have to look at more to raise this class?",
    legrad,
    "Bousselham et al. 2024, arXiv 2404.03214",
    {
        "scored": ChoiceOption("Tokens scored", "classifier", ("classifier", "mean")),
        "start": START,
    },
    needs_gradient=True,
    class_specific=True,
    has_query=False,
    applies_to="Models whose classifier is a final norm and a head after the last block.",
)
