"""Class-specific methods against plain loops over full matrices in float64.

The reference runs a copy of the model in float64 with fused attention off, takes the maps from
hooks on its dropout modules, and differentiates with respect to the maps themselves.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from families import random_classifier, set_fused
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms

import vitviz
from vitviz.methods.gradients import Gradients, Score, gradients, map_gradient
from vitviz.recording.calls import AttentionCall, SoftmaxCall
from vitviz.recording.query import Query
from vitviz.recording.recorder import Recorder
from vitviz.recording.recording import Recording

SHARED = ["relevance", "gradient_rollout", "legrad", "gradcam"]


@pytest.fixture
def vit(family: str) -> vitviz.Vit:
    return vitviz.from_module(random_classifier(family))


@pytest.fixture
def rec(photo: Image.Image) -> Recording:
    return vitviz.record(vitviz.from_module(random_classifier("dinov2 registers")), photo)


class Reference:
    """One float64 forward pass with every map in the autograd graph."""

    def __init__(self, rec: Recording, scale: float = 1.0) -> None:
        self.rec = rec
        self.module = copy.deepcopy(rec.vit.module).double()
        set_fused(self.module, False)
        self.maps: list[Tensor] = []
        self.blocks: list[Tensor] = []
        for block in self.module.blocks:
            block.attn.attn_drop.register_forward_hook(lambda *a: self.maps.append(a[-1]))
            block.register_forward_hook(lambda *a: self.blocks.append(a[-1]))
        self.module.blocks[-1].norm1.register_forward_hook(lambda *a: setattr(self, "x", a[-1]))
        self.logits = self.module(scale * rec.pixels[None].double())[0]

    def score(self, target: int, versus: int | None = None) -> Tensor:
        return self.logits[target] - (0 if versus is None else self.logits[versus])

    def gradients(self, score: Tensor) -> list[Tensor]:
        return [g[0] for g in torch.autograd.grad(score, self.maps, retain_graph=True)]

    def weighted(self, score: Tensor, clamped: str = "heads") -> list[np.ndarray]:
        """E_h[(A ⊙ ∂s/∂A)⁺] of each layer, head by head; or E_h[A ⊙ ∂s/∂A]⁺, vit-explain's."""
        result = []
        for attention, gradient in zip(self.maps, self.gradients(score), strict=True):
            heads = [
                np.maximum(a * g, 0) if clamped == "heads" else a * g
                for a, g in zip(attention[0].detach().numpy(), gradient.numpy(), strict=True)
            ]
            result.append(np.maximum(sum(heads) / len(heads), 0))
        return result

    def row(self, query: Query) -> np.ndarray:
        """The tokens that look: the patch, or what the classifier reads."""
        prefix, (rows, cols) = self.rec.num_prefix_tokens, self.rec.grid
        row = np.zeros(self.rec.num_tokens)
        if query != "cls":
            row[prefix + query[0] * cols + query[1]] = 1.0
        elif self.rec.pool is not None:
            row = self.rec.query_weights("cls").double().numpy()
        elif self.module.global_pool == "avg":
            row[prefix:] = 1 / (rows * cols)
        else:
            row[0] = 1.0
        return row

    def patches(self, tokens: np.ndarray) -> np.ndarray:
        return tokens[self.rec.num_prefix_tokens :].reshape(self.rec.grid)


def agree(heat: vitviz.Heatmap, expected: np.ndarray) -> None:
    assert expected.max() > 0
    assert expected.std() > 1e-4 * expected.mean()  # not flat: a wrong map would show
    np.testing.assert_allclose(heat.values, expected, rtol=2e-3, atol=2e-4 * expected.max())


@pytest.mark.parametrize("fused", [True, False])
def test_the_gradient_pass_is_the_recorded_one(
    vit: vitviz.Vit, photo: Image.Image, fused: bool
) -> None:
    set_fused(vit.module, fused)
    rec = vitviz.record(vit, photo)
    reference = Reference(rec)
    for target in range(5):
        found = gradients(rec, Score(target))
        assert found.score == pytest.approx(float(rec.logits[target]), abs=1e-4)
        assert found.score == pytest.approx(reference.logits[target].item(), abs=1e-4)
        expected = reference.gradients(reference.score(target))
        for layer, attended in enumerate(found.attended):
            ours = map_gradient(rec.layers[layer], attended[None])[0]
            scale = float(expected[layer].abs().max())
            torch.testing.assert_close(
                ours.double(), expected[layer], rtol=1e-3, atol=1e-4 * scale + 1e-9
            )
    with torch.enable_grad(), Recorder(vit.module) as recorder:
        vit.module(rec.pixels[None])
    for layer, call in enumerate(c for c in recorder.calls if c.module.startswith("blocks")):
        torch.testing.assert_close(call.rows(slice(None))[0].detach(), rec.attention(layer))
        torch.testing.assert_close(
            rec.attention(layer), reference.maps[layer][0].detach().float(), atol=1e-4, rtol=1e-3
        )


@pytest.mark.parametrize("query", ["cls", (1, 2)])
class TestAgainstTheReference:
    @pytest.mark.parametrize(("target", "versus"), [(None, None), (3, None), (0, 4)])
    def test_relevance(self, vit, photo, query, target, versus) -> None:
        rec = vitviz.record(vit, photo)
        reference = Reference(rec)
        chosen = int(reference.logits.argmax()) if target is None else target
        flow = np.eye(rec.num_tokens)
        for weighted in reference.weighted(reference.score(chosen, versus)):
            flow = flow + weighted @ flow
        heat = vitviz.explain(rec, "relevance", query, target, versus=versus)
        agree(heat, reference.patches(reference.row(query) @ flow))

    @pytest.mark.parametrize(
        "options", [{}, {"discard": 0.6}, {"start": 1, "residual": 0.1}, {"clamped": "mean"}]
    )
    def test_gradient_rollout(self, vit, photo, query, options) -> None:
        rec = vitviz.record(vit, photo)
        reference = Reference(rec)
        prefix, residual = rec.num_prefix_tokens, options.get("residual", 0.5)
        flow = np.eye(rec.num_tokens)
        maps = reference.weighted(reference.score(2), options.get("clamped", "heads"))
        for weighted in maps[options.get("start", 0) :]:
            for i, row in enumerate(weighted):
                others = [j for j in range(prefix, rec.num_tokens) if j != i]
                dropped = int(options.get("discard", 0) * (rec.num_tokens - prefix))
                for j in sorted(others, key=lambda j, row=row: row[j])[:dropped]:
                    row[j] = 0.0
            mixed = (1 - residual) * weighted + residual * np.eye(rec.num_tokens)
            flow = mixed / mixed.sum(1, keepdims=True) @ flow
        heat = vitviz.explain(rec, "gradient_rollout", query, 2, **options)
        agree(heat, reference.patches(reference.row(query) @ flow))


def test_transition(vit: vitviz.Vit, photo: Image.Image) -> None:
    rec = vitviz.record(vit, photo)
    reference = Reference(rec)
    maps = [m[0].mean(0).detach().numpy() for m in reference.maps]
    state = reference.row("cls") @ maps[-1]
    for attention in maps[-2::-1]:
        state = state + state @ attention
    total = 0.0
    for alpha in np.linspace(0, 1, 20):
        scaled = Reference(rec, float(alpha))
        total = total + scaled.gradients(scaled.score(1))[-1].numpy() / 20
    integrated = reference.row("cls") @ np.maximum(total, 0).mean(0)
    heat = vitviz.explain(rec, "transition", target=1)
    agree(heat, reference.patches(state * integrated))


def test_legrad(vit: vitviz.Vit, photo: Image.Image) -> None:
    rec = vitviz.record(vit, photo)
    reference = Reference(rec)
    module = reference.module
    columns = np.zeros(rec.num_tokens)
    for block, attention in zip(reference.blocks, reference.maps, strict=True):
        score = module.forward_head(module.norm(block))[0, 3]
        [gradient] = torch.autograd.grad(score, attention, retain_graph=True)
        for head in gradient[0].numpy():
            for row in head:
                columns += np.maximum(row, 0) / (len(reference.maps) * len(gradient[0]) * len(row))
    agree(vitviz.explain(rec, "legrad", target=3), reference.patches(columns))


@pytest.mark.parametrize("family", ["vit", "dinov2 registers", "beit", "average pooled"])
@pytest.mark.parametrize("start", [0, 1])
def test_legrad_as_its_authors_write_it(vit: vitviz.Vit, photo: Image.Image, start: int) -> None:
    """Each block's tokens, the class token among them, are averaged before norm and head."""
    rec = vitviz.record(vit, photo)
    reference = Reference(rec)
    module = reference.module
    final = module.fc_norm if isinstance(module.norm, nn.Identity) else module.norm
    columns = torch.zeros(rec.num_tokens, dtype=torch.float64)
    for block, attention in list(zip(reference.blocks, reference.maps, strict=True))[start:]:
        score = module.head(final(block.mean(dim=1)))[0, 3]
        [gradient] = torch.autograd.grad(score, attention, retain_graph=True)
        columns += gradient.clamp(min=0).mean(dim=1).mean(dim=1)[0] / (3 - start)
    heat = vitviz.explain(rec, "legrad", target=3, scored="mean", start=start)
    agree(heat, reference.patches(columns.numpy()))


@pytest.mark.parametrize(("target", "versus"), [(2, None), (4, 1)])
def test_gradcam(vit, photo, target, versus) -> None:
    rec = vitviz.record(vit, photo)
    reference = Reference(rec)
    [gradient] = torch.autograd.grad(reference.score(target, versus), reference.x)
    prefix = rec.num_prefix_tokens
    weights = sum(gradient[0, i].numpy() for i in range(prefix, rec.num_tokens))
    weights = weights / (rec.num_tokens - prefix)
    values = np.array([max(0.0, float(weights @ x)) for x in reference.x[0].detach().numpy()])
    heat = vitviz.explain(rec, "gradcam", target=target, versus=versus)
    agree(heat, reference.patches(values))


@pytest.fixture(scope="module")
def bundled() -> Recording:
    [sample] = [s for s in vitviz.samples() if s.id == "cat-and-coffee"]
    return vitviz.record(vitviz.load_model(), vitviz.load_image(sample.path))


class TestBundledModel:
    """On the sample with two subjects: a cat on the left half, a cup of coffee on the right."""

    def test_shared_methods_against_the_reference(self, bundled: Recording) -> None:
        reference = Reference(bundled)
        target = bundled.vit.labels.index("espresso")
        flow, eye = np.eye(bundled.num_tokens), np.eye(bundled.num_tokens)
        rollout = eye
        for weighted in reference.weighted(reference.score(target)):
            flow = flow + weighted @ flow
            mixed = (weighted + eye) / (weighted + eye).sum(1, keepdims=True)
            rollout = mixed @ rollout
        agree(vitviz.explain(bundled, "relevance", target=target), reference.patches(flow[0]))
        found = vitviz.explain(bundled, "gradient_rollout", target=target)
        agree(found, reference.patches(rollout[0]))
        [gradient] = torch.autograd.grad(reference.logits[target], reference.x, retain_graph=True)
        cam = torch.relu(reference.x[0, 1:] @ gradient[0, 1:].mean(0)).detach().numpy()
        agree(vitviz.explain(bundled, "gradcam", target=target), cam.reshape(bundled.grid))
        columns = 0.0
        for block, attention in zip(reference.blocks, reference.maps, strict=True):
            score = reference.module.forward_head(reference.module.norm(block))[0, target]
            [slope] = torch.autograd.grad(score, attention, retain_graph=True)
            columns = columns + slope[0].clamp(min=0).mean((0, 1)).numpy() / bundled.num_layers
        agree(vitviz.explain(bundled, "legrad", target=target), reference.patches(columns))

    @pytest.mark.parametrize("method", ["relevance", "gradcam", "gradient_rollout"])
    def test_each_class_lights_up_its_own_half(self, bundled: Recording, method: str) -> None:
        cat, coffee = (bundled.vit.labels.index(name) for name in ("Egyptian cat", "espresso"))
        contrastive = vitviz.METHODS[method].contrastive
        for versus in (None, coffee) if contrastive else (None,):
            assert left_share(vitviz.explain(bundled, method, target=cat, versus=versus)) > 0.65
        for versus in (None, cat) if contrastive else (None,):
            assert left_share(vitviz.explain(bundled, method, target=coffee, versus=versus)) < 0.35


def left_share(heat: vitviz.Heatmap) -> float:
    return float(heat.values[:, : heat.values.shape[1] // 2].sum() / heat.values.sum())


def by_hand(maps: list[Tensor], slopes: list[Tensor]) -> Recording:
    """A class token and one patch; values are the identity, so that ∂s/∂O is ∂s/∂A.

    Args:
        maps, slopes: A and ∂s/∂A of each layer, (heads, 2, 2).
    """
    vit = vitviz.Vit(nn.Identity(), "by hand", (), transforms.ToTensor())
    layers = tuple(SoftmaxCall("", a[None], torch.eye(2).expand(1, len(a), 2, 2)) for a in maps)
    rec = Recording(
        vit, torch.zeros(3, 1, 1), torch.zeros(2), layers, None, (1, 1), 1, True, (0, 0, 1, 1), 0.0
    )
    rec.derived.keep(Score(0), Gradients(0.0, tuple(slopes)), "gradients")
    return rec


class TestByHand:
    MAPS = (torch.tensor([[[0.5, 0.5], [0.2, 0.8]]]), torch.tensor([[[0.6, 0.4], [0.0, 1.0]]]))
    SLOPES = (torch.tensor([[[1.0, 2.0], [-1.0, 0.5]]]), torch.tensor([[[-1.0, 3.0], [0.0, 0.0]]]))

    def test_relevance(self) -> None:
        # (A⊙∇A)⁺: [[.5 1] [0 .4]] and [[0 1.2] [0 0]]; R_1 = [[1.5 1] [0 1.4]]
        # row cls of R_2 = [1.5 1] + 1.2·[0 1.4] = [1.5 2.68]
        rec = by_hand(list(self.MAPS), list(self.SLOPES))
        assert vitviz.explain(rec, "relevance").values == pytest.approx(np.array([[2.68]]))
        # row patch of R_2 = [0 1.4] + 0
        heat = vitviz.explain(rec, "relevance", (0, 0))
        assert heat.values == pytest.approx(np.array([[1.4]]))

    def test_gradients_in_reverse_order_would_show(self) -> None:
        # (A_1⊙∇A_2)⁺ = [[0 1.5] [0 0]], (A_2⊙∇A_1)⁺ = [[.6 .8] [0 .5]]
        # row cls = [1 1.5] + .6·[1 1.5] + .8·[0 1] = [1.6 3.2]
        rec = by_hand(list(self.MAPS), list(self.SLOPES[::-1]))
        assert vitviz.explain(rec, "relevance").values == pytest.approx(np.array([[3.2]]))

    def test_gradient_rollout_divides_rows(self) -> None:
        # n([[1.5 1] [0 1.4]]) = [[.6 .4] [0 1]], n([[1 1.2] [0 1]]) = [[1 1.2]/2.2 [0 1]]
        # row cls of their product = (.4 + 1.2)/2.2
        rec = by_hand(list(self.MAPS), list(self.SLOPES))
        heat = vitviz.explain(rec, "gradient_rollout")
        assert heat.values == pytest.approx(np.array([[1.6 / 2.2]]))

    def test_heads_are_cut_at_zero_before_they_are_averaged(self) -> None:
        # heads 0.5·2 and 0.5·(−6): (1 + 0)/2 = .5, not (1 − 3)⁺/2 = 0
        half = torch.full((2, 2, 2), 0.5)
        slopes = torch.zeros(2, 2, 2)
        slopes[:, 0, 1] = torch.tensor([2.0, -6.0])
        rec = by_hand([half], [slopes])
        assert vitviz.explain(rec, "relevance").values == pytest.approx(np.array([[0.5]]))
        # n(I + .5) = [1/1.5 .5/1.5], and n(I + 0) = I
        heads = vitviz.explain(rec, "gradient_rollout")
        assert heads.values == pytest.approx(np.array([[1 / 3]]))
        assert vitviz.explain(rec, "gradient_rollout", clamped="mean").values == 0


def test_the_gradient_of_grouped_values_is_autograds() -> None:
    torch.manual_seed(0)
    attention = torch.rand(1, 6, 5, 5, requires_grad=True)
    value = torch.rand(1, 2, 5, 3)
    output = attention @ value.repeat_interleave(3, dim=1)
    slope = torch.rand_like(output)
    [expected] = torch.autograd.grad(output, attention, slope)
    call = AttentionCall("", attention.detach(), value, value, None, 1.0, False)
    torch.testing.assert_close(map_gradient(call, slope), expected)


@pytest.mark.parametrize("method", [m.id for m in vitviz.METHODS.values() if m.class_specific])
class TestEveryClass:
    def test_maps_of_two_classes_differ(self, rec: Recording, method: str) -> None:
        one, other = (vitviz.explain(rec, method, target=target).values for target in (0, 1))
        assert np.abs(one - other).max() > 0.01 * max(one.max(), other.max())

    def test_the_same_twice(self, rec: Recording, method: str, photo: Image.Image) -> None:
        again = vitviz.record(rec.vit, photo)
        one, other = (vitviz.explain(r, method, target=1).values for r in (rec, again))
        assert np.array_equal(one, other)

    @pytest.mark.parametrize("target", [5, -1, True, 1.0])
    def test_no_such_class(self, rec: Recording, method: str, target: object) -> None:
        says = "classes are 0 to 4" if type(target) is int else "must be a whole number or text"
        with pytest.raises(vitviz.VitvizError, match=says):
            vitviz.explain(rec, method, target=target)

    def test_numpy_numbers_are_numbers(self, rec: Recording, method: str) -> None:
        one = vitviz.explain(rec, method, target=np.int64(2)).values
        assert np.array_equal(one, vitviz.explain(rec, method, target=2).values)

    def test_a_model_without_classes_is_refused(self, photo, method: str) -> None:
        module = random_classifier("vit")
        module.reset_classifier(0)
        rec = vitviz.record(vitviz.from_module(module), photo)
        with pytest.raises(vitviz.MethodError, match=r"no classifier.*attention, rollout"):
            vitviz.explain(rec, method)


def test_no_method_stands_in_for_another(rec: Recording) -> None:
    maps = [
        vitviz.explain(rec, method).values.ravel()
        for method in vitviz.METHODS
        if method != "pooling"
    ]
    likeness = np.corrcoef(maps) - np.eye(len(maps))
    assert likeness.max() < 0.999


@pytest.mark.parametrize(
    ("method", "arguments", "says"),
    [
        ("transition", {"query": (0, 0)}, "does not start from a patch"),
        ("legrad", {"query": (0, 0)}, "does not start from a patch"),
        ("gradcam", {"query": (0, 0)}, "does not start from a patch"),
        ("occlusion", {"query": (0, 0)}, "does not start from a patch"),
        ("random", {"query": (0, 0)}, "does not start from a patch"),
        ("random", {"target": 0}, "same for every class"),
        ("rollout", {"versus": 0}, "same for every class"),
        ("legrad", {"target": 1, "versus": 0}, "use one of relevance, gradcam"),
        ("occlusion", {"target": 1, "versus": 0}, "use one of relevance, gradcam"),
        ("relevance", {"target": 1, "versus": 1}, "against itself"),
        ("relevance", {"target": 1, "versus": 5}, "no class 5"),
        ("gradient_rollout", {"fusion": "max"}, "no option fusion"),
        ("relevance", {"query": (9, 9)}, "not a patch"),
        ("random", {"seed": 1.5}, "whole number from 0 to 9999"),
        ("random", {"seed": True}, "whole number from 0 to 9999"),
        ("occlusion", {"window": 0}, "from 1 to 8"),
        ("occlusion", {"window": 2, "stride": 3}, "stride from 1 to 2"),
    ],
)
def test_what_does_not_fit_is_refused(rec: Recording, method: str, arguments, says: str) -> None:
    with pytest.raises(vitviz.VitvizError, match=says):
        vitviz.explain(rec, method, **arguments)


def test_a_pair_is_the_difference_of_two_logits(rec: Recording) -> None:
    pair = gradients(rec, Score(3, 1))
    assert pair.score == pytest.approx(float(rec.logits[3] - rec.logits[1]), abs=1e-4)
    one, other = gradients(rec, Score(3)), gradients(rec, Score(1))
    for difference, a, b in zip(pair.attended, one.attended, other.attended, strict=True):
        torch.testing.assert_close(difference, a - b, atol=1e-5, rtol=1e-3)
