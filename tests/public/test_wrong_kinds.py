"""Whatever is given to a public function: an answer or a sentence, never a raw error."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from families import make_photo, random_classifier
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import vitviz
from vitviz import faithfulness
from vitviz.arguments import checked
from vitviz.measures import localisation
from vitviz.measures.annotations import read_boxes

HEAT = vitviz.Heatmap(np.arange(16, dtype=np.float32).reshape(4, 4), (0, 0, 32, 32), "test")
PHOTO = make_photo()
NONE = Path("/no/such/folder")


@cache
def recording() -> vitviz.Recording:
    return vitviz.record(vitviz.from_module(random_classifier("vit")), PHOTO)


@cache
def a_map() -> vitviz.Heatmap:
    return vitviz.explain(recording(), "attention")


@cache
def text_model() -> vitviz.TextModel:
    return vitviz.load_text_model()


CALLED = ("progress", "measure")  # whatever a function of the caller's raises is passed on


def wrong() -> st.SearchStrategy[Any]:
    """Kinds of things that people pass, by mistake or in good faith."""
    numbers = st.sampled_from([0, -1, 1, 7, 10**30, 0.5, -0.5, 1e300, float("nan"), float("inf")])
    texts = st.sampled_from(["", "cls", "rollout", "3", "\0", "tabby", "é" * 5000])
    arrays = st.sampled_from(
        [
            np.zeros(0),
            np.zeros((4, 4)),
            np.arange(2),
            np.array(["a"]),
            np.array([None]),
            np.float32(2),
            np.int64(1),
            torch.zeros(2),
            torch.tensor(1),
            torch.zeros(1, 3, 32, 32),
        ]
    )
    others = st.sampled_from(
        [
            None, True, b"bytes", object(), object, Path("none"), range(3), {}, {"a": 1}, set(),
            {1}, (), (1,), (1, 2), (0, 0), [0, 1], ["a"], [None], (1.5, 2), ("cls",), 1j,
            lambda *_: 0.5, Exception("x"), PHOTO, Image.new("L", (9, 9)), HEAT,
            Image.new("RGB", (0, 0)), Image.new("I;16", (40, 40)), {"a": (0, 0, 1, 1)},
            torch.nn.Linear(2, 2),
        ]
    )  # fmt: skip
    return numbers | texts | arrays | others


CALLS: dict[str, tuple[Callable[..., Any], Callable[[], dict[str, Any]]]] = {
    "explain": (
        vitviz.explain,
        lambda: {"rec": recording(), "method": "attention", "query": "cls", "target": None,
                 "versus": None, "progress": None, "layer": 0, "head": None},
    ),
    "explain a class": (
        vitviz.explain,
        lambda: {"rec": recording(), "method": "relevance", "target": 1, "versus": 0},
    ),
    "explain by rollout": (
        vitviz.explain,
        lambda: {"rec": recording(), "method": "rollout", "fusion": "max", "discard": 0.5,
                 "artefacts": "keep", "start": 0},
    ),
    "explain slowly": (
        vitviz.explain,
        lambda: {"rec": recording(), "method": "occlusion", "window": 2, "stride": 2,
                 "progress": None},
    ),
    "overlay": (
        vitviz.overlay,
        lambda: {"photo": PHOTO, "heat": HEAT, "colormap": "inferno", "alpha": 0.5,
                 "smooth": True, "scale": None},
    ),
    "record": (
        vitviz.record,
        lambda: {"vit": recording().vit, "photo": PHOTO, "whole": False},
    ),
    "record_text": (vitviz.record_text, lambda: {"model": text_model(), "text": "A cat sleeps."}),
    "from_module": (
        vitviz.from_module,
        lambda: {"module": random_classifier("vit"), "labels": None, "transform": None,
                 "name": "mine", "tokens": None, "outputs": None},
    ),
    "predict": (vitviz.predict, lambda: {"vit": recording().vit, "photo": PHOTO}),
    "cnn_gradcam": (vitviz.cnn_gradcam, lambda: {"vit": recording().vit, "photo": PHOTO}),
    "artefact_patches": (vitviz.artefact_patches, lambda: {"rec": recording()}),
    "attention_sinks": (vitviz.attention_sinks, lambda: {"rec": recording()}),
    "load_image": (vitviz.load_image, lambda: {"source": b""}),
    "load_model": (vitviz.load_model, lambda: {"name": "x.pth", "architecture": None,
                                               "progress": None}),
    "Heatmap": (
        vitviz.Heatmap,
        lambda: {"values": HEAT.values, "box": HEAT.box, "method": "x", "made_from": None},
    ),
    "FinetuneSettings": (
        vitviz.FinetuneSettings,
        lambda: {"train": "head", "size": 32, "epochs": 1, "batch": 1, "rate": 0.1,
                 "layer_decay": 0.5, "augment": (), "entropy": 0.0, "hold_out": 0.5,
                 "patience": 1, "seed": 1},
    ),
    "finetune": (vitviz.finetune, lambda: {"folder": NONE, "out": NONE, "settings": None,
                                           "base": None}),
    "evaluate": (
        vitviz.evaluate,
        lambda: {"vit": recording().vit, "folder": NONE, "methods": ["random"],
                 "metrics": ["saco"], "boxes": None, "masks": None, "limit": 1, "out": None,
                 "steps": 4, "seeds": 2, "width": None, "engine": "process", "workers": None,
                 "progress": None},
    ),
    "deletion": (faithfulness.deletion, lambda: {"rec": recording(), "heat": a_map(),
                                                 "target": None, "steps": 2, "progress": None}),
    "insertion": (faithfulness.insertion, lambda: {"rec": recording(), "heat": a_map(),
                                                   "target": None, "steps": 2}),
    "perturbation": (faithfulness.perturbation, lambda: {"rec": recording(), "heat": a_map(),
                                                         "target": None, "positive": True}),
    "saco": (faithfulness.saco, lambda: {"rec": recording(), "heat": a_map(), "target": None,
                                         "groups": 2}),
    "masked_input": (faithfulness.masked_input, lambda: {"rec": recording(), "heat": a_map(),
                                                         "share": 0.5, "change": "deletion"}),
    "versus_random": (faithfulness.versus_random, lambda: {"rec": recording(), "seeds": 2,
                                                           "measure": lambda _: 1.0}),
    "pointing_game": (localisation.pointing_game, lambda: {"heat": HEAT, "box": (0, 0, 9, 9)}),
    "energy_in_box": (localisation.energy_in_box, lambda: {"heat": HEAT, "box": (0, 0, 9, 9)}),
    "segmentation": (localisation.segmentation, lambda: {"heat": HEAT,
                                                         "mask": np.ones((32, 32), bool)}),
    "read_boxes": (read_boxes, lambda: {"file": NONE}),
    "attention": (lambda **given: recording().attention(**given), lambda: {"layer": 0}),
    "attention_row": (lambda **given: recording().attention_row(**given),
                      lambda: {"layer": 0, "query": "cls"}),
    "attention_rows": (lambda **given: recording().attention_rows(**given),
                       lambda: {"layer": 0, "rows": slice(0, 2)}),
    "num_heads": (lambda **given: recording().num_heads(**given), lambda: {"layer": 0}),
    "patches": (lambda **given: recording().patches(**given),
                lambda: {"tokens": torch.zeros(recording().num_tokens), "layer": 0}),
    "patch_in": (lambda **given: recording().patch_in(**given),
                 lambda: {"cell": (0, 0), "grid": (2, 2)}),
    "values": (lambda **given: recording().values(**given), lambda: {"logits": torch.zeros(5)}),
    "on_grid": (HEAT.on_grid, lambda: {"grid": (8, 8)}),
    "scaled": (HEAT.scaled, lambda: {"factor": 2.0}),
    "Tokens": (vitviz.Tokens, lambda: {"grid": lambda _: (4, 6), "num_prefix_tokens": 1,
                                       "has_class_token": True}),
    "query_weights": (lambda **given: recording().query_weights(**given), lambda: {"query": "cls"}),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_an_answer_or_a_sentence(name: str, data: st.DataObject) -> None:
    call, sound = CALLS[name]
    arguments = sound()
    for _ in range(data.draw(st.sampled_from([1, 1, 1, 2]))):
        argument, value = data.draw(st.sampled_from(sorted(arguments))), data.draw(wrong())
        if argument not in CALLED or not isinstance(value, type | torch.nn.Module):
            arguments[argument] = value
    try:
        call(**arguments)
    except vitviz.VitvizError as error:
        said = str(error)
        assert said.endswith((".", "?"))


@pytest.mark.parametrize("name", CALLS)
def test_sound_arguments_are_taken(name: str) -> None:
    call, sound = CALLS[name]
    if any(value is NONE for value in sound().values()) or name in (
        "load_image",
        "load_model",
        "cnn_gradcam",
    ):
        with pytest.raises(vitviz.VitvizError) as met:
            call(**sound())
        assert met.value.id != "wrong_kind"
    else:
        call(**sound())


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: vitviz.explain("dog.jpg", "rollout"), "rec of explain must be Recording, not str"),
        (lambda: vitviz.overlay(PHOTO, [[1]]), "heat of overlay must be Heatmap, not list"),
        (lambda: vitviz.overlay(PHOTO, HEAT, alpha="half"), "must be a number, not str"),
        (lambda: vitviz.load_image(3), "source of load_image must be text or Path or bytes"),
        (lambda: vitviz.evaluate(1, NONE), "vit of evaluate must be Vit, not int"),
        (
            lambda: vitviz.from_module(random_classifier("vit"), name=Path("mine")),
            "name of from_module must be text or None, not PosixPath",
        ),
        (
            lambda: vitviz.from_module(random_classifier("vit"), tokens={"num_prefix_tokens": 5}),
            "tokens of from_module must be Tokens or None, not dict",
        ),
        (
            lambda: vitviz.predict(recording().vit, 3),
            "photo of predict must be Image or text or Path",
        ),
        (lambda: vitviz.FinetuneSettings(epochs=2.5), "must be a whole number, not float"),
        (lambda: vitviz.overlay(PHOTO, HEAT, scale=(1,)), "of 2 values, each a number or None"),
    ],
)
def test_the_sentence_names_argument_and_kinds(call: Callable[[], Any], says: str) -> None:
    with pytest.raises(vitviz.VitvizError, match=says):
        call()


def test_lists_are_tuples_and_numpys_numbers_are_numbers() -> None:
    vitviz.overlay(PHOTO, HEAT, alpha=np.float32(0.5), scale=[np.float64(0), 1])
    assert len(faithfulness.deletion(recording(), a_map(), steps=np.int64(2)).values) == 3
    assert -1 <= faithfulness.saco(recording(), a_map(), groups=np.int8(2)) <= 1
    assert vitviz.FinetuneSettings(augment=["flip"]).augment == ("flip",)
    assert vitviz.Heatmap(np.ones((2, 2), int), [0, 0, 1, 1], "x").values.dtype == np.float32


def test_what_is_checked_keeps_its_name_and_signature() -> None:
    @checked
    def halve(number: float, *more: Any, times: int = 1, **options: Any) -> float:
        """Halves."""
        del more, options
        return number / 2**times

    assert (halve.__name__, halve.__doc__) == ("halve", "Halves.")
    assert halve(4, "x", times=2, other="y") == 1
    with pytest.raises(vitviz.VitvizError, match="times of halve must be a whole number"):
        halve(4, times=True)
