"""Which Vision Transformers are offered, and what is known of each before it is loaded."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import timm
import torch
from huggingface_hub import constants
from timm.models import is_model_pretrained

from vitviz.errors import ModelError, Phrase, did_you_mean
from vitviz.photos.folder import writable
from vitviz.zoo.checkpoint import config_of, fault_of, is_model, last_written
from vitviz.zoo.hub import cached_weights
from vitviz.zoo.settings import own_models
from vitviz.zoo.weights import count_parameters, not_loaded

__all__ = [
    "BUNDLED",
    "COUNTERPART",
    "CURATED",
    "MODELS_DIR",
    "Offer",
    "broken_models",
    "bundled_models",
    "count",
    "model_folders",
    "offer",
    "offers",
    "search",
]

MODELS_DIR = Path(__file__).resolve().parents[1] / "data" / "models"
BUNDLED = "vit_small_patch14_in1k"
FORMER = {"vit_small_patch14_photos246": BUNDLED}  # what links and scripts may still say
COUNTERPART = "efficientnet_lite2_in1k"  # a convolutional network: loads, but is not offered
FREE = {"apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0"}
CACHED = "models--timm--"  # how the hub's cache begins the name of a folder

CURATED = {  # timm name → parameters, and what is interesting about its attention
    "vit_base_patch16_224.augreg2_in21k_ft_in1k": (
        86_567_656,
        "The standard, trained on labels: early heads look near and far, late ones at what decides "
        "the class.",
    ),
    "deit_base_distilled_patch16_224.fb_in1k": (
        87_338_192,
        "A second token beside the class token, taught by a convolutional network: compare where "
        "the two look.",
    ),
    "vit_base_patch16_224.dino": (
        85_798_656,
        "Trained without any labels; heads of the last layer outline objects all the same.",
    ),
    "vit_base_patch14_dinov2.lvd142m": (
        86_579_712,
        "DINOv2: no labels, many more photos, 1,369 fine patches; some on plain background may "
        "attract attention that says nothing about their place.",
    ),
    "vit_base_patch14_reg4_dinov2.lvd142m": (
        86_582_016,
        "DINOv2 with four registers: tokens of no place that take up attention meant for no patch.",
    ),
    "vit_small_patch16_dinov3.lvd1689m": (
        21_586_944,
        "The third generation: positions turn queries and keys (rotary embedding), and patches "
        "stay distinct.",
    ),
    "vit_base_patch16_224.mae": (
        85_798_656,
        "Learned to fill in three quarters of each photo that were hidden; it knows no classes.",
    ),
    "beit_base_patch16_224.in22k_ft_in22k_in1k": (
        86_530_984,
        "Positions enter as a learned bias of every head on its attention, by how far apart two "
        "patches are.",
    ),
    "eva02_small_patch14_336.mim_in22k_ft_in1k": (
        22_129_000,
        "Rotary positions; learned to guess what CLIP would say of patches that were hidden.",
    ),
    "vit_base_patch16_clip_224.openai": (
        86_193_152,
        "Learned from captions, not classes: its class token sums up what a sentence would say.",
    ),
    "vit_base_patch16_siglip_224.webli": (
        92_884_224,
        "Learned from captions too, without a class token: a pooling head asks the patches.",
    ),
    "cait_s24_224.fb_dist_in1k": (
        46_916_200,
        "Talking heads: heads mix each other’s attention; the class token joins for the last two "
        "layers only.",
    ),
    "swin_tiny_patch4_window7_224.ms_in1k": (
        28_288_354,
        "Attention inside windows of 7 × 7 patches that shift from layer to layer.",
    ),
}


@dataclass(frozen=True)
class Offer:
    """What is known of a model before it is loaded.

    Attributes:
        name: what `load_model` takes.
        note: what is interesting about its attention; empty where nobody wrote it.
        parameters: how many; None if they were not counted, see `count`.
        licence: of the weights; None if it is not stated.
        here: whether its weights are on this machine.
        folder: where they lie, of a model of one's own or the bundled one.
        version: changes when the folder is written anew.
    """

    name: str
    note: str
    parameters: int | None
    licence: str | None
    here: bool
    folder: Path | None
    version: str = ""

    @property
    def free(self) -> bool:
        """Whether its licence allows any use."""
        return self.licence in FREE

    @property
    def non_commercial(self) -> bool:
        """Whether its licence forbids commercial use."""
        text = self.licence or ""
        return "nc" in text.split("-") or "noncommercial" in text


def bundled_models() -> list[str]:
    """Names of the Vision Transformers that come with Vitviz, the default first.

    Examples:
        >>> bundled_models()
        ['vit_small_patch14_in1k']
    """
    found = model_folders().items()
    return [name for name, at in found if at.parent == MODELS_DIR and name != COUNTERPART]


def offers() -> list[Offer]:
    """Every model on this machine, the bundled one first, then the curated ones of timm."""
    names = dict.fromkeys([*model_folders(), *_cached_names(), *CURATED])
    return [offer(name) for name in names if name != COUNTERPART]


def search(text: str) -> list[str]:
    """The names of timm's pretrained models that contain every word, those that begin so first."""
    words = text.lower().split()
    found = [name for name in timm.list_pretrained() if all(word in name for word in words)]
    return sorted(found, key=lambda name: not name.startswith(words[0])) if words else []


def offer(name: str) -> Offer:
    """What is known of the model of this name: a folder in one of the models folders, which its
    former name finds too, or a pretrained model of timm. Nothing that comes from a visitor is taken
    for a path or an address.

    Raises:
        ModelError: if there is none, naming those that are spelled alike.
    """
    name = FORMER.get(name, name)
    if folder := model_folders().get(name):
        config = config_of(folder)
        licence = (config.get("pretrained_cfg") or config).get("license")
        licence = licence if isinstance(licence, str) else None
        version = last_written(folder)
        return Offer(name, "", _counted(folder, version), licence, True, folder, version)
    if fault := broken_models().get(name):
        raise not_loaded(name, fault)
    if not (is_model_pretrained(name) if "." in name else timm.is_model(name)):
        raise ModelError(
            "no_such_model",
            "There is no model called “{model}”; {hint}",
            model=name[:80],
            hint=_alike(name),
        )
    config = timm.get_pretrained_cfg(name)
    parameters, note = CURATED.get(name, (None, ""))
    here = cached_weights(config.hf_hub_id) is not None
    return Offer(name, note, parameters, config.license, here, None)


@cache
def count(name: str) -> int:
    """How many parameters a timm model has; it is built without memory for them."""
    with torch.device("meta"):
        return sum(p.numel() for p in timm.create_model(name, pretrained=False).parameters())


def model_folders() -> dict[str, Path]:
    """Every folder that holds a model, by its name, the bundled one first; read anew each time, so
    that a folder that is added appears at once. Broken ones are left out, see `broken_models`."""
    found = {
        folder.name: folder
        for folder in _folders()
        if is_model(folder) and _fault(folder, last_written(folder)) is None
    }
    return dict(sorted(found.items(), key=lambda item: (item[0] != BUNDLED, item[0])))


def broken_models() -> dict[str, Phrase]:
    """Folders among the models that are none for a reason, by name."""
    found = ((folder.name, _fault(folder, last_written(folder))) for folder in _folders())
    return {writable(name): fault for name, fault in sorted(found) if fault is not None}


def _folders() -> Iterator[Path]:
    """What lies in the folders of models, one's own before Vitviz's own."""
    for place in (own_models(), MODELS_DIR):
        with suppress(OSError):  # it is not there, or may not be read
            for folder in sorted(place.iterdir(), reverse=True):
                if not folder.name.startswith("."):
                    yield folder


@cache
def _fault(folder: Path, _: str) -> Phrase | None:
    """Asked again when the folder has changed."""
    if writable(folder.name) != folder.name:
        return Phrase("folder_name_no_text", "its name is no text; rename it.")
    return fault_of(folder)


def _cached_names() -> list[str]:
    """timm's models whose weights are in the hub's cache."""
    place = Path(constants.HF_HUB_CACHE)
    names = [p.name.removeprefix(CACHED) for p in sorted(place.glob(f"{CACHED}*"))]
    return [name for name in names if is_model_pretrained(name) and offer(name).here]


@cache
def _counted(folder: Path, _: str) -> int | None:
    """Counted again when the folder has changed."""
    return count_parameters(folder)


def _alike(name: str) -> Phrase:
    """What somebody may have meant."""
    known = [*model_folders(), *timm.list_models(), *timm.list_pretrained()]
    close = difflib.get_close_matches(name[:80], known, n=3)
    if not close:
        return Phrase("folder_or_timm", "name a folder under models/ or a timm model.")
    return did_you_mean(close)
