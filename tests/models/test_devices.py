"""On another device a model gives the same, and everything that is asked of it lies here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext

import numpy as np
import pytest
import timm
import torch
from families import make_photo, random_module
from other_device import OTHER, lies_there, other_device
from torch import Tensor, nn

import vitviz
from vitviz.errors import MethodError, ModelError, VitvizError
from vitviz.inside.attention_steps import head_steps
from vitviz.inside.classifier import image_features
from vitviz.inside.convolution import effective_field
from vitviz.inside.features import patch_features
from vitviz.inside.head_outputs import head_outputs
from vitviz.inside.heads import ablate, head_importance, head_statistics
from vitviz.inside.lens import logit_lens, residual_stream
from vitviz.inside.positions import permute_patches, position_similarity, without_positions
from vitviz.inside.score_matrix import token_products
from vitviz.inside.tokens import patch_vectors, projection
from vitviz.inside.weight_gradients import projection_gradients
from vitviz.interventions.token_merging import merge_tokens, pool_tokens
from vitviz.measures.faithfulness import deletion
from vitviz.methods.gradients import Score
from vitviz.methods.lens import token_lens
from vitviz.models.devices import as_device, as_float_type
from vitviz.models.vit import on_device
from vitviz.training.regularisation import without_each_block
from vitviz.zoo import settings

CUDA = pytest.param(
    torch.device("cuda"),
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU"),
    ],
    id="a GPU",
)


@pytest.fixture(params=[pytest.param(OTHER, id="pretended"), CUDA])
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    there: torch.device = request.param
    with other_device() if there == OTHER and not torch.cuda.is_available() else nullcontext():
        yield there


def close(one: object, other: object) -> None:
    """Equal within what the order of additions makes."""
    if isinstance(one, (tuple, list)):
        assert isinstance(other, (tuple, list))
        for each, same in zip(one, other, strict=True):
            close(each, same)
    elif isinstance(one, Tensor):
        assert isinstance(other, Tensor)
        assert one.device.type == "cpu"
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    else:
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", vitviz.METHODS)
def test_each_method_of_each_family(family: str, method: str, device: torch.device) -> None:
    module = random_module(family)
    here, there = vitviz.from_module(module), vitviz.from_module(module, device=device)
    assert there.device.type == device.type
    found = []
    for vit in (here, there):
        try:
            rec = vitviz.record(vit, make_photo())
            found.append(vitviz.explain(rec, method).values)
        except MethodError as error:
            found.append(error.id)
    if isinstance(found[0], str):
        assert found[0] == found[1]
    else:
        np.testing.assert_allclose(found[1], found[0], rtol=1e-3, atol=1e-5)


def lens(rec: vitviz.Recording) -> Tensor:
    return logit_lens(rec, residual_stream(rec))


INSIDE: dict[str, Callable[[vitviz.Recording], object]] = {
    "attention": lambda rec: [rec.attention(layer) for layer in range(rec.num_layers)],
    "logits": lambda rec: [rec.logits, rec.norms],
    "core": lambda rec: rec.core_pixels,
    "lens": lens,
    "token lens": lambda rec: token_lens(rec, residual_stream(rec).states[-1]),
    "steps": lambda rec: head_steps(rec, 0, 0, (1, 1)).weights,
    "features": lambda rec: [image_features(rec), patch_features(rec)],
    "field": lambda rec: effective_field(rec.vit, rec.pixels, "blocks.0", lambda x: x[0, 3]),
    "head outputs": lambda rec: list(vars(head_outputs(rec, 1)).values()),
    "statistics": lambda rec: head_statistics(rec).distance,
    "importance": lambda rec: head_importance(rec, 0).heads,
    "ablation": lambda rec: [p.value for p in ablate(rec, [(0, 0)])],
    "positions": lambda rec: [position_similarity(rec), without_positions(rec).logits],
    "order": lambda rec: permute_patches(rec, torch.arange(16).flip(0)),
    "products": lambda rec: token_products(rec, residual_stream(rec), 1),
    "vectors": lambda rec: [patch_vectors(rec), *projection(rec.vit)],
    "gradients": lambda rec: projection_gradients(rec, Score(1)),
    "merging": lambda rec: [merge_tokens(rec, 2).logits, pool_tokens(rec, 1).logits],
    "blocks": without_each_block,
    "edits": lambda rec: (
        vitviz.record(
            rec.vit,
            rec.pixels,
            edits=[
                vitviz.ablate_heads([(0, 1)], to="mean"),
                vitviz.knock_out([(1, 1)]),
                vitviz.set_attention(1, "uniform", heads=[0]),
                vitviz.patch_tokens(rec, 0, [(0, 0)]),
            ],
        ).logits
    ),
    "deletion": lambda rec: deletion(rec, vitviz.explain(rec, "rollout")).area,
    "many": lambda rec: [
        each.attention(1) for each in vitviz.record_many(rec.vit, [rec.pixels, -rec.pixels], 2)
    ],
    "predictions": lambda rec: [p.value for p in vitviz.predict(rec.vit, make_photo())],
}


@pytest.mark.parametrize("name", INSIDE)
def test_the_inside(name: str, device: torch.device) -> None:
    torch.manual_seed(0)
    sizes = {"img_size": 64, "embed_dim": 48, "num_heads": 3, "depth": 2, "num_classes": 5}
    module = timm.create_model("vit_tiny_patch16_224", **sizes)
    recs = [
        vitviz.record(vitviz.from_module(module, device=where), make_photo())
        for where in ("cpu", device)
    ]
    close(*(INSIDE[name](rec) for rec in reversed(recs)))


def test_a_module_that_lies_there_runs_there(device: torch.device) -> None:
    module = random_module("vit").to(device)
    vit = vitviz.from_module(module)
    assert vit.running is module
    assert vit.device.type == device.type
    assert next(vit.module.parameters()).device.type == "cpu"
    close(vitviz.record(vit, make_photo()).logits, vit.module(vit.transform(make_photo())[None])[0])


def test_the_copy_follows_what_is_trained_there(device: torch.device) -> None:
    """Otherwise maps that read weights would be of a model that is no more."""
    module = random_module("vit").to(device)
    vit = vitviz.from_module(module)
    logits = vit.running(vit.transform(make_photo())[None].to(device))[0].cpu()
    for factor in (2, 4):  # before the first recording too
        with torch.no_grad():
            module.head.weight.mul_(2)
            module.head.bias.mul_(2)
        rec = vitviz.record(vit, make_photo())
        close(rec.logits, factor * logits)
        close(lens(rec)[-1], rec.logits)


def test_the_weights_lie_there(device: torch.device) -> None:
    if device != OTHER or torch.cuda.is_available():
        assert next(vitviz.load_model(device=device).running.parameters()).is_cuda
    else:
        vit = vitviz.load_model(device=device)
        assert all(lies_there(p) for p in vit.running.parameters())
        assert not any(lies_there(p) for p in vit.module.parameters())


class TestThePretendedDevice:
    """It does what a real one does, or the tests above would say nothing."""

    def test_both_do_not_mix(self) -> None:
        with other_device(), pytest.raises(RuntimeError, match="both devices"):
            torch.ones(2).to(OTHER) + torch.ones(2)

    def test_a_layer_does_not_take_what_lies_here(self) -> None:
        with other_device():
            layer = nn.Linear(2, 2).to(OTHER)
            with pytest.raises(RuntimeError, match="both devices"):
                layer(torch.ones(1, 2))
            assert layer(torch.ones(1, 2).to(OTHER)).device == OTHER

    def test_a_gradient_comes_back(self) -> None:
        with other_device():
            here = torch.ones(2, requires_grad=True)
            (here.to(OTHER) * 3).sum().cpu().backward()
            assert here.grad is not None
            assert here.grad.device.type == "cpu"
            assert here.grad.tolist() == [3, 3]

    def test_numpy_reads_none(self) -> None:
        with other_device(), pytest.raises(TypeError):
            torch.ones(2).to(OTHER).numpy()


@pytest.mark.parametrize("wrong", ["cuda:99", "gpu", "meta", "", "xla"])
def test_a_device_that_is_not_there(wrong: str) -> None:
    with pytest.raises(ModelError) as caught:
        vitviz.load_model(device=wrong)
    assert caught.value.id == "no_device"


def test_auto_takes_the_best() -> None:
    best = "cuda" if torch.cuda.is_available() else "cpu"
    assert as_device("auto").type in (best, "mps")


@pytest.mark.parametrize(("name", "kind"), [("bfloat16", torch.bfloat16), ("float16", torch.half)])
def test_a_model_runs_in_another_float_type(name: str, kind: torch.dtype) -> None:
    """Its own float32 weights stay as they are, and maps agree within the type's precision."""
    module = random_module("vit")
    exact, half = vitviz.from_module(module), vitviz.from_module(module, dtype=name)
    assert half.anatomy.float_type == kind
    assert exact.anatomy.float_type == torch.float32
    one, other = (vitviz.record(vit, make_photo()) for vit in (exact, half))
    assert other.layers[0].given[0].dtype == kind
    step = torch.finfo(kind).eps
    for layer in range(one.num_layers):
        assert (one.attention(layer) - other.attention(layer)).abs().max() < 20 * step
        torch.testing.assert_close(
            other.attention(layer).sum(dim=-1), torch.ones(1).expand(3, one.num_tokens)
        )


def test_a_float_type_that_models_do_not_have() -> None:
    for wrong in ("float64", "int8", torch.float64):
        with pytest.raises(ModelError) as caught:
            vitviz.load_model(dtype=wrong)
        assert caught.value.id == "no_float_type"
    assert as_float_type(torch.float32) == torch.float32


def test_the_same_place_is_the_same_model(device: torch.device) -> None:
    here = vitviz.from_module(random_module("vit"))
    assert on_device(here, "cpu") is here
    there = on_device(here, device)
    assert there.module is here.module
    for name in (device, device.type):  # “cuda” is the first of them
        assert on_device(there, name) is there
    assert on_device(there, "cpu").elsewhere is None
    moved = here.module.to(device)
    assert vitviz.from_module(moved, device=device.type).running is moved


def test_the_server_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.device() == torch.device("cpu")
    monkeypatch.setenv("VITVIZ_DEVICE", "cuda:99")
    with pytest.raises(VitvizError) as caught:
        settings.device()
    assert caught.value.id == "no_device"
