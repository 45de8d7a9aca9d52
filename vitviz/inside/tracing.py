"""Where a model holds what decides: the tokens of a photo put back, one by one, into the run on a
corrupted one.

Meng et al. 2022, “Locating and editing factual associations in GPT”, arXiv 2202.05262, trace causes
so over layers and words; here it is layers and patches.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from vitviz.arguments import checked
from vitviz.errors import ModelError, Phrase, VitvizWarning
from vitviz.heatmap import Heatmap
from vitviz.interventions.sources import blocks_of, fits, other_model, states
from vitviz.methods.target import Target, target_class
from vitviz.photos.given import PhotoLike, as_photo
from vitviz.pictures.figure import draw_figure
from vitviz.progress import Progress, batches, part_of
from vitviz.recording.changes import OutputChange
from vitviz.recording.recording import Recording

__all__ = ["CausalTrace", "causal_trace"]

TITLE = Phrase("causal_trace", "causal tracing")
PANEL = 1.1  # inches of a layer's map


@dataclass(frozen=True, eq=False)
class CausalTrace:
    """What each token, put back after each block, gives back of a class.

    Attributes:
        values: indirect effect of each patch, float32 (layers, rows, cols): how much more probable
            the class is than in the corrupted run (how much higher where it is a score), negative
            where it is less.
        prefix: the same of the tokens in front of the patches, float32 (layers, prefix tokens).
        clean, corrupt: the class's probability or score in the two recordings.
        target, target_label: the class, by index and name.
        heats: the effects as maps of the photo, one a layer; negative ones count as 0.

    Examples:
        >>> import timm
        >>> small = from_module(timm.create_model("test_vit", img_size=64))
        >>> clean, corrupt = record(small, photo), record(small, samples()[1].path)
        >>> trace = causal_trace(clean, corrupt)
        >>> bool(abs(trace.prefix[-1, 0] - (trace.clean - trace.corrupt)) < 1e-4)
        True
    """

    values: NDArray[np.float32]
    prefix: NDArray[np.float32]
    clean: float
    corrupt: float
    target: int
    target_label: str
    heats: tuple[Heatmap, ...]

    def figure(self, photo: PhotoLike) -> Figure:
        """All layers side by side over the photo, on one scale, with its colour bar; matplotlib's,
        so that `savefig` writes PDF, SVG or PNG.

        Args:
            photo: the one that was recorded clean.
        """
        layers = {f"Layer {layer}": heat for layer, heat in enumerate(self.heats)}
        highest = max(float(self.values.max()), float(np.finfo(np.float32).tiny))
        with warnings.catch_warnings():
            # Behind the last block the patches of most models decide nothing, and that is shown.
            warnings.filterwarnings("ignore", "This map ", VitvizWarning)
            return draw_figure(
                as_photo(photo),
                {self.target_label: layers},
                width=PANEL * len(layers),
                scale=(0.0, highest),
                label="indirect effect",
            )


@checked
@torch.no_grad()
def causal_trace(
    clean: Recording,
    corrupt: Recording,
    target: Target | None = None,
    *,
    progress: Progress | None = None,
) -> CausalTrace:
    """Put the clean photo's tokens, one at a time, after one block at a time, into the run on the
    corrupted photo, and see how much of the class comes back.

    The corrupted photo may be another one, or the same with noise or blur in some places: any input
    of the same size. An effect that is large says that the token, after this block, holds something
    that decides and has not yet passed it on.

    Layers × tokens runs, and in each only the blocks behind the one that is patched: about as long
    as 0.6 · layers · tokens forward passes, which is 1,850 for a ViT with 12 layers and 257 tokens.
    They run a few at a time.

    Args:
        clean: from `record`, with or without edits.
        corrupt: the same model's recording of the corrupted photo.
        target: class index or name; None is the clean recording's top prediction.
        progress: called with the finished share after every few runs; what it raises ends the
            computation.

    Raises:
        MethodError: if the model has no classifier or no such class, or is not in float32; if the
            two recordings have other tokens or other models.
        ModelError: if the model's layers are no blocks that hand on all tokens.
        VitvizError: for an argument of another kind.

    Examples:
        >>> import timm
        >>> small = from_module(timm.create_model("test_vit", img_size=64))
        >>> clean = record(small, photo)
        >>> noise = 2 * torch.randn(clean.pixels.shape, generator=torch.Generator().manual_seed(0))
        >>> trace = causal_trace(clean, record(small, clean.pixels + noise))
        >>> trace.values.shape, trace.prefix.shape
        ((6, 4, 4), (6, 1))
        >>> figure = trace.figure(photo)
    """
    index = target_class(clean, target, TITLE)
    fits(corrupt, clean)
    theirs, own = states(clean), states(corrupt)
    if [x.shape for x in theirs] != [x.shape for x in own]:
        raise other_model(corrupt, clean)
    layers, tokens = corrupt.num_layers, corrupt.num_tokens
    start = float(corrupt.values(corrupt.logits)[index])
    effects = torch.zeros(layers, tokens, dtype=torch.float32)
    for layer in range(layers):
        report = part_of(progress, layer, 1, layers)
        for part in batches(tokens, tokens, report):
            restored = _restored(own[layer], theirs[layer], part)
            logits = _from_block(corrupt, layer, restored)
            effects[layer, part] = corrupt.values(logits)[:, index] - start
    patches = effects[:, corrupt.num_prefix_tokens :].unflatten(1, corrupt.grid).numpy()
    return CausalTrace(
        patches,
        effects[:, : corrupt.num_prefix_tokens].numpy(),
        float(clean.values(clean.logits)[index]),
        start,
        index,
        next(p.label for p in clean.predictions if p.index == index),
        tuple(
            Heatmap(x.clip(min=0), clean.box, "causal_trace", None, clean.fingerprint)
            for x in patches
        ),
    )


def _restored(own: Tensor, theirs: Tensor, part: slice) -> Tensor:
    """The tokens (1, tokens, width), once for each of some tokens that is another recording's."""
    numbers = torch.arange(part.start, part.stop)
    restored = own.repeat(len(numbers), 1, 1)
    restored[torch.arange(len(numbers)), numbers] = theirs[0, numbers]
    return restored


def _from_block(rec: Recording, layer: int, tokens: Tensor) -> Tensor:
    """What the model makes of several states after a block: logits (states, classes)."""
    instead = OutputChange(blocks_of(rec)[layer], lambda _: tokens)
    with rec.recorder(changes=[instead]):
        logits = rec.vit.run(rec.pixels[None])
    if len(logits) != len(tokens):
        raise ModelError(
            "no_batch_of_states",
            "{model} does not take several states of one photo at once; choose a plain Vision "
            "Transformer.",
            model=rec.vit.name,
        )
    return logits
