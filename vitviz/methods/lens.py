"""The logit lens on patches: what the model's own classifier says of each token after a layer."""

from __future__ import annotations

import torch
from torch import Tensor

from vitviz.errors import MethodError, ModelError
from vitviz.interventions.sources import states
from vitviz.methods.gradients import Score
from vitviz.methods.method import LayerOption, Method
from vitviz.recording.recording import Recording

__all__ = ["METHOD", "classified", "lens", "token_lens"]


@torch.no_grad()
def lens(rec: Recording, score: Score, *, layer: int) -> Tensor:
    """The class's probability if the classifier read this token alone, after a layer: (tokens,). Of
    a label that others do not exclude it is its own probability, of a regression the score, 0 where
    it is negative.

    The final norm and the classifier are applied to each token as the layer leaves it.
    nostalgebraist 2020, "interpreting GPT: the logit lens"; for the patches of Vision Transformers
    Vilas et al. 2023, arXiv 2310.18969.

    Args:
        rec: from `record`.
        score: its `target` is the class.
        layer: after which.

    Raises:
        MethodError: if the model's score is not its classifier applied to its normalised last
            tokens.

    Examples:
        >>> lens(rec, Score(rec.predictions[0].index), layer=8).shape
        torch.Size([257])
    """
    try:
        tokens = states(rec)
        said = token_lens(rec, tokens[layer][0])
        last = classified(rec, tokens[-1])[0]
        if last.shape != rec.logits.shape or not torch.allclose(last, rec.logits, atol=1e-3):
            raise _no_classifier(rec)
    except ModelError as error:
        raise MethodError(
            "lens_inapplicable",
            "The logit lens asks the classifier about single tokens, and {model} has no final norm "
            "and head after blocks that hand on all tokens; use relevance.",
            model=rec.vit.name,
        ) from error
    return rec.values(said)[:, score.target].clamp(min=0)


@torch.no_grad()
def token_lens(rec: Recording, states: Tensor) -> Tensor:
    """What the model's final norm and classifier make of each token of one layer alone, as if it
    were what the classifier reads.

    Args:
        rec: from `record`.
        states: of every token, (tokens, width), such as `Stream.states[layer]`.

    Returns:
        Logits (tokens, classes). A class token's are those of `logit_lens`.

    Raises:
        ModelError: if the model has no classifier after a final norm.
    """
    # Whether the classifier takes the first token or the mean of the patches, it finds this one.
    return classified(rec, states[:, None].expand(-1, rec.num_prefix_tokens + 1, -1))


def classified(rec: Recording, tokens: Tensor) -> Tensor:
    """What the model's final norm and classifier make of tokens: (batch, tokens, width) → logits
    (batch, classes).

    Raises:
        ModelError: if the model has no classifier after a final norm.
    """
    anatomy = rec.vit.anatomy
    if len(rec.logits) == 0 or anatomy.norm is None or not anatomy.can_classify:
        raise _no_classifier(rec)
    return anatomy.classify(anatomy.norm(tokens.to(anatomy.float_type))).float()


def _no_classifier(rec: Recording) -> ModelError:
    return ModelError(
        "no_classifier_after_norm",
        "{model} has no classifier after a final norm to apply.",
        model=rec.vit.name,
    )


METHOD = Method(
    "lens",
    10,
    "Logit lens",
    "Of which patches would the classifier say this class, after this layer?",
    lens,
    "nostalgebraist 2020; Vilas et al. 2023, arXiv 2310.18969",
    {"layer": LayerOption("Layer", -1)},
    class_specific=True,
    has_query=False,
    applies_to="Models whose classifier is a final norm and a head after the last block.",
)
