"""Vitviz: see what a Vision Transformer looks at.

vit = vitviz.load_model()
photo = vitviz.load_image("dog.jpg")
rec = vitviz.record(vit, photo)
heat = vitviz.explain(rec, "rollout")
vitviz.overlay(photo, heat).save("rollout.png")
"""

from vitviz.errors import (
    ImageError,
    MethodError,
    ModelError,
    ModelUnavailable,
    VitvizError,
    VitvizWarning,
)
from vitviz.finetuning.finetune import finetune
from vitviz.finetuning.result import Finetuned
from vitviz.finetuning.settings import FinetuneSettings
from vitviz.heatmap import Heatmap
from vitviz.journey.notebook import as_html, as_png
from vitviz.journey.page import write_page
from vitviz.measures import faithfulness
from vitviz.measures.evaluation import evaluate
from vitviz.methods.artefacts import artefact_patches, attention_sinks
from vitviz.methods.cnn_gradcam import cnn_gradcam
from vitviz.methods.explain import METHODS, explain
from vitviz.models.libraries import Tokens
from vitviz.photos.load import load_image
from vitviz.photos.samples import samples
from vitviz.pictures.animation import animation
from vitviz.pictures.figure import figure
from vitviz.pictures.overlay import overlay
from vitviz.recording.predictions import Prediction, predict
from vitviz.recording.record import record
from vitviz.recording.recording import Recording
from vitviz.text.model import TextModel, load_text_model
from vitviz.text.record import TextRecording, record_text
from vitviz.zoo.load import Vit, bundled_models, from_module, load_model

# Asked by notebooks; a recording itself knows no pages, and a heatmap no pictures.
Recording._repr_html_ = as_html  # type: ignore[attr-defined]
Heatmap._repr_png_ = as_png  # type: ignore[attr-defined]

__version__ = "0.1.0"

__all__ = [
    "METHODS",
    "FinetuneSettings",
    "Finetuned",
    "Heatmap",
    "ImageError",
    "MethodError",
    "ModelError",
    "ModelUnavailable",
    "Prediction",
    "Recording",
    "TextModel",
    "TextRecording",
    "Tokens",
    "Vit",
    "VitvizError",
    "VitvizWarning",
    "__version__",
    "animation",
    "artefact_patches",
    "attention_sinks",
    "bundled_models",
    "cnn_gradcam",
    "evaluate",
    "explain",
    "faithfulness",
    "figure",
    "finetune",
    "from_module",
    "load_image",
    "load_model",
    "load_text_model",
    "overlay",
    "predict",
    "record",
    "record_text",
    "samples",
    "write_page",
]
