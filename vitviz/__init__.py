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
from vitviz.heatmap import Heatmap, load_heatmap
from vitviz.inside.detr import ObjectQuery, object_queries
from vitviz.inside.tracing import CausalTrace, causal_trace
from vitviz.interventions.ablation import ablate_heads
from vitviz.interventions.attention import set_attention
from vitviz.interventions.knockout import knock_out
from vitviz.interventions.patching import patch_heads, patch_tokens
from vitviz.interventions.scaling import scale_layer
from vitviz.journey.notebook import as_html, as_png
from vitviz.journey.page import write_page
from vitviz.measures import faithfulness
from vitviz.measures.evaluation import evaluate
from vitviz.methods.artefacts import artefact_patches, attention_sinks
from vitviz.methods.cnn_gradcam import cnn_gradcam
from vitviz.methods.explain import METHODS, explain
from vitviz.methods.many import explain_many
from vitviz.models.libraries import Tokens
from vitviz.photos.load import load_image
from vitviz.photos.samples import samples
from vitviz.pictures.animation import animation
from vitviz.pictures.figure import figure
from vitviz.pictures.overlay import overlay
from vitviz.recording.many import record_many
from vitviz.recording.predictions import Prediction, predict
from vitviz.recording.record import record
from vitviz.recording.recording import Recording
from vitviz.recording.saved import load_recording, save_recording
from vitviz.recording.video import (
    VideoRecording,
    VideoVit,
    from_video_module,
    record_video,
)
from vitviz.text.clip import Clip, from_clip
from vitviz.text.model import TextModel, load_text_model
from vitviz.text.prompts import cosines, prompt
from vitviz.text.record import TextRecording, record_text
from vitviz.zoo.load import Vit, bundled_models, from_module, load_model

# A recording itself knows no files and no pages, and a heatmap no pictures.
Recording.save = save_recording  # type: ignore[attr-defined]
Recording._repr_html_ = as_html  # type: ignore[attr-defined]
Heatmap._repr_png_ = as_png  # type: ignore[attr-defined]

__version__ = "0.1.0"

__all__ = [
    "METHODS",
    "CausalTrace",
    "Clip",
    "FinetuneSettings",
    "Finetuned",
    "Heatmap",
    "ImageError",
    "MethodError",
    "ModelError",
    "ModelUnavailable",
    "ObjectQuery",
    "Prediction",
    "Recording",
    "TextModel",
    "TextRecording",
    "Tokens",
    "VideoRecording",
    "VideoVit",
    "Vit",
    "VitvizError",
    "VitvizWarning",
    "__version__",
    "ablate_heads",
    "animation",
    "artefact_patches",
    "attention_sinks",
    "bundled_models",
    "causal_trace",
    "cnn_gradcam",
    "cosines",
    "evaluate",
    "explain",
    "explain_many",
    "faithfulness",
    "figure",
    "finetune",
    "from_clip",
    "from_module",
    "from_video_module",
    "knock_out",
    "load_heatmap",
    "load_image",
    "load_model",
    "load_recording",
    "load_text_model",
    "object_queries",
    "overlay",
    "patch_heads",
    "patch_tokens",
    "predict",
    "prompt",
    "record",
    "record_many",
    "record_text",
    "record_video",
    "samples",
    "scale_layer",
    "set_attention",
    "write_page",
]
