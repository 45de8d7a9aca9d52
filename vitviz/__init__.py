"""Vitviz: see what a Vision Transformer looks at.

vit = vitviz.load_model()
photo = vitviz.load_image("dog.jpg")
rec = vitviz.record(vit, photo)
heat = vitviz.explain(rec, "rollout")
vitviz.overlay(photo, heat).save("rollout.png")
"""

from vitviz import faithfulness
from vitviz.anatomy import Anatomy
from vitviz.artefacts import artefact_patches
from vitviz.errors import ImageError, MethodError, ModelError, ModelUnavailable, VitvizError
from vitviz.evaluation import evaluate
from vitviz.finetune import Finetuned, finetune
from vitviz.finetune_settings import FinetuneSettings
from vitviz.heatmap import Heatmap
from vitviz.images import load_image, samples
from vitviz.methods import METHODS, explain
from vitviz.overlay import overlay
from vitviz.predictions import Prediction
from vitviz.recording import Recording, record
from vitviz.zoo import Vit, bundled_models, from_module, load_model

__all__ = [
    "METHODS",
    "Anatomy",
    "FinetuneSettings",
    "Finetuned",
    "Heatmap",
    "ImageError",
    "MethodError",
    "ModelError",
    "ModelUnavailable",
    "Prediction",
    "Recording",
    "Vit",
    "VitvizError",
    "artefact_patches",
    "bundled_models",
    "evaluate",
    "explain",
    "faithfulness",
    "finetune",
    "from_module",
    "load_image",
    "load_model",
    "overlay",
    "record",
    "samples",
]
