"""What the model says of a photo some of whose patches are hidden, computed once for each mask."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from vitviz.interventions.masking import grey, mask_patches
from vitviz.models.weights import cached_weights_hash
from vitviz.progress import Progress, batches
from vitviz.recording.recording import Recording

__all__ = ["BLUR", "answers", "filling_of"]

BLUR = 0.045  # standard deviation as a share of the input's shorter side: 10 of 224 px
KEPT = 4_000_000  # bytes of a recording's answers


def filling_of(rec: Recording, change: str) -> Tensor:
    """What is seen where a patch is hidden: the mean colour in deletion, a blurred photo in
    insertion; normalised, of a shape that expands to the input's. Kept with the recording."""

    def fill() -> Tensor:
        if change == "deletion":
            return grey(rec)
        deviation = BLUR * min(rec.pixels.shape[-2:])
        size = 2 * round(2.5 * deviation) + 1
        return gaussian_blur(rec.pixels, [size, size], [deviation, deviation])

    return rec.derived.get((change, cached_weights_hash(rec.vit.module)), fill, "filling")


@torch.no_grad()
def answers(
    rec: Recording, change: str, hidden: Tensor, progress: Progress | None = None
) -> Tensor:
    """The model's logits under each mask, (masks, classes).

    All are kept with the recording, whatever the class that is asked about: the ends of all curves
    are the same, and so are random orders, and maps that do not depend on the class, for every
    class. A measurement that was ended goes on where it was.

    Args:
        rec: whose photo.
        change: “deletion” or “insertion”, see `filling_of`.
        hidden: which patches each mask hides, boolean (masks, rows, cols).
        progress: called with the finished share of what is computed, after every few forward
            passes; what it raises ends the computation.
    """
    most = max(2, KEPT // (rec.logits.numel() * rec.logits.element_size()))
    weights = cached_weights_hash(rec.vit.module)
    keys = [(change if mask.any() else "", weights, mask.numpy().tobytes()) for mask in hidden]
    found = {key: rec.derived.find(key, "answers") for key in keys}
    missing = {key: mask for key, mask in zip(keys, hidden, strict=True) if found[key] is None}
    report, new = progress or (lambda _: None), list(missing)
    for part in batches(len(new), rec.num_tokens, report):
        masked = mask_patches(
            rec, torch.stack([missing[key] for key in new[part]]), filling_of(rec, change)
        )
        for key, logits in zip(new[part], rec.run(masked), strict=True):
            found[key] = rec.derived.keep(key, logits.clone(), "answers", most)
    if not new:
        report(1.0)
    return torch.stack([found[key] for key in keys])
