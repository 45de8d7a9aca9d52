"""Edits against a forward pass written out by hand in float64, and what must not change."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch
from families import FAMILIES, make_photo, random_classifier, set_fused
from hooks import is_left_alone
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from written_out import By, Pass, written_out

import vitviz
from vitviz.methods.gradients import Score, attention_gradient, gradients
from vitviz.models.weights import weights_hash
from vitviz.recording.record import edited, with_layers, without_layers
from vitviz.recording.recording import Edit, Recording

PLAIN = ["vit", "deit distilled", "dinov2 registers", "siglip", "average pooled"]


@cache
def recorded(family: str, seed: int = 0) -> Recording:
    """One module a family, two photos."""
    return vitviz.record(_vit(family), make_photo(seed))


@cache
def _vit(family: str) -> vitviz.Vit:
    return vitviz.from_module(random_classifier(family))


def by_hand(family: str, done: list[By], seed: int = 0) -> Pass:
    with torch.no_grad():
        rec = recorded(family, seed)
        return written_out(rec.vit.module, rec.pixels, done)


@dataclass(frozen=True)
class Case:
    """An edit, and what it does, written out."""

    edit: Callable[[str], Edit]
    by: Callable[[str], By]


def _zeroed(heads: list[tuple[int, int]]) -> By:
    def attention(layer: int, maps: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        values = values.clone()
        for at, head in heads:
            if at == layer:
                values[:, head] = 0
        return maps, values

    return By(attention=attention)


def _averaged(at: int, head: int) -> By:
    """The mean of the results is what the mean of the rows gives."""

    def attention(layer: int, maps: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        if layer != at:
            return maps, values
        maps = maps.clone()
        maps[:, head] = maps[:, head].clone().mean(dim=1, keepdim=True)
        return maps, values

    return By(attention=attention)


def _mapped(at: int, change: Callable[[Tensor], Tensor]) -> By:
    def attention(layer: int, maps: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        return (change(maps) if layer == at else maps), values

    return By(attention=attention)


def _patched_heads(family: str, at: int, head: int) -> By:
    other = by_hand(family, [], seed=1)

    def attention(layer: int, maps: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        if layer == at:
            maps, values = maps.clone(), values.clone()
            maps[:, head], values[:, head] = other.maps[at][:, head], other.values[at][:, head]
        return maps, values

    return By(attention=attention)


def _patched_tokens(family: str, at: int, tokens: list[int]) -> By:
    other = by_hand(family, [], seed=1)

    def state(layer: int, x: Tensor) -> Tensor:
        x = x.clone()
        if layer == at:
            x[:, tokens] = other.states[at][:, tokens]
        return x

    return By(state=state)


def _knocked_out(family: str, patches: list[tuple[int, int]], layers: list[int]) -> By:
    rec = recorded(family)
    out = [rec.token(patch) for patch in patches]

    def attention(layer: int, maps: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        if layer in layers:
            maps = maps.clone()
            maps[..., out] = 0
            maps = maps / maps.sum(dim=-1, keepdim=True).clamp(min=1e-300)  # 0 where none is left
            maps[:, :, out] = 0
        return maps, values

    return By(attention=attention)


def _softer(maps: Tensor) -> Tensor:
    return torch.softmax(0.5 * maps.log(), dim=-1)


def _one_head(change: Callable[[Tensor], Tensor], head: int) -> Callable[[Tensor], Tensor]:
    def of_one(maps: Tensor) -> Tensor:
        maps = maps.clone()
        maps[:, head] = change(maps)[:, head]
        return maps

    return of_one


def _given(family: str) -> Tensor:
    """A map that is no softmax's: each token looks at the next one."""
    return torch.eye(recorded(family).num_tokens).roll(1, dims=1)


CASES = {
    "zero": Case(
        lambda _: vitviz.ablate_heads([(1, 0), (2, 1)]), lambda _: _zeroed([(1, 0), (2, 1)])
    ),
    "mean": Case(lambda _: vitviz.ablate_heads([(1, 2)], to="mean"), lambda _: _averaged(1, 2)),
    "uniform": Case(
        lambda _: vitviz.set_attention(1, "uniform"),
        lambda _: _mapped(1, lambda maps: torch.full_like(maps, 1 / maps.shape[-1])),
    ),
    "identity": Case(
        lambda _: vitviz.set_attention(-1, "identity", heads=[1]),
        lambda _: _mapped(
            2, _one_head(lambda m: torch.eye(m.shape[-1]).double().expand(m.shape), 1)
        ),
    ),
    "map": Case(
        lambda f: vitviz.set_attention(0, _given(f).numpy(), heads=[0]),
        lambda f: _mapped(0, _one_head(lambda maps: _given(f).double().expand(maps.shape), 0)),
    ),
    "function": Case(lambda _: vitviz.set_attention(1, _softer), lambda _: _mapped(1, _softer)),
    "another's map": Case(
        lambda f: vitviz.set_attention(1, recorded(f, 1)),
        lambda f: _mapped(1, lambda _: by_hand(f, [], seed=1).maps[1]),
    ),
    "another's head": Case(
        lambda f: vitviz.patch_heads(recorded(f, 1), [(1, 2)]),
        lambda f: _patched_heads(f, 1, 2),
    ),
    "another's tokens": Case(
        lambda f: vitviz.patch_tokens(recorded(f, 1), 1, [(0, 1), (2, 2)]),
        lambda f: _patched_tokens(f, 1, [recorded(f).token((0, 1)), recorded(f).token((2, 2))]),
    ),
    "knocked out": Case(
        lambda _: vitviz.knock_out([(0, 0), (3, 1)], layers=[0, -1]),
        lambda f: _knocked_out(f, [(0, 0), (3, 1)], [0, 2]),
    ),
    "half a layer": Case(
        lambda _: vitviz.scale_layer(1, 0.5),
        lambda _: By(scale=lambda at, _: 0.5 if at == 1 else 1),
    ),
    "no attention": Case(
        lambda _: vitviz.scale_layer(1, 0, part="attention"),
        lambda _: By(scale=lambda at, part: float((at, part) != (1, "attention"))),
    ),
    "twice an mlp": Case(
        lambda _: vitviz.scale_layer(-1, 2, part="mlp"),
        lambda _: By(scale=lambda at, part: 2.0 if (at, part) == (2, "mlp") else 1.0),
    ),
}


def assert_alike(rec: Recording, expected: Pass) -> None:
    np.testing.assert_allclose(rec.logits, expected.logits, rtol=1e-3, atol=2e-4)
    for layer, maps in enumerate(expected.maps):
        np.testing.assert_allclose(rec.attention(layer), maps[0], rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("family", PLAIN)
def test_an_edit_does_what_is_written_out(family: str, case: str) -> None:
    rec, edit = recorded(family), CASES[case].edit(family)
    found = edited(rec, [edit])
    assert_alike(found, by_hand(family, [CASES[case].by(family)]))
    assert not np.allclose(found.logits, rec.logits, atol=1e-3)
    assert found.edits == (edit,)
    assert rec.edits == ()


@pytest.mark.parametrize("case", CASES)
def test_the_same_where_the_model_computes_its_map_itself(case: str, photo: Image.Image) -> None:
    module = random_classifier("vit")
    set_fused(module, False)
    found = vitviz.record(vitviz.from_module(module), photo, edits=[CASES[case].edit("vit")])
    assert_alike(found, by_hand("vit", [CASES[case].by("vit")]))


@given(st.lists(st.sampled_from(sorted(CASES)), min_size=2, max_size=5))
@settings(max_examples=25)
def test_edits_compose_in_the_order_given(names: list[str]) -> None:
    edits = [CASES[name].edit("vit") for name in names]
    found = edited(recorded("vit"), edits)
    assert_alike(found, by_hand("vit", [CASES[name].by("vit") for name in names]))
    assert found.edits == tuple(edits)
    one_by_one = recorded("vit")
    for edit in edits:
        one_by_one = edited(one_by_one, [edit])
    np.testing.assert_allclose(one_by_one.logits, found.logits, rtol=1e-3, atol=1e-4)
    assert one_by_one.edits == found.edits


def test_the_order_counts() -> None:
    even, out = vitviz.set_attention(1, "uniform"), vitviz.knock_out([(0, 0)], layers=[1])
    rec = recorded("vit")
    token = rec.token((0, 0))
    assert float(edited(rec, [even, out]).attention(1)[0, 0, token]) == 0
    assert float(edited(rec, [out, even]).attention(1)[0, 0, token]) > 0


@pytest.mark.parametrize("family", ["vit", "deit distilled", "dinov2 registers", "siglip"])
def test_tokens_that_are_knocked_out_everywhere_might_as_well_not_be_there(family: str) -> None:
    rec, out = recorded(family), [(0, 0), (1, 2), (3, 3)]
    left = torch.ones(rec.num_tokens, dtype=torch.bool)
    left[[rec.token(patch) for patch in out]] = False
    with torch.no_grad():
        expected = written_out(rec.vit.module, rec.pixels, left=left)
    found = edited(rec, [vitviz.knock_out(out)])
    np.testing.assert_allclose(found.logits, expected.logits, rtol=1e-3, atol=2e-4)
    for layer, maps in enumerate(expected.maps):
        ours = found.attention(layer)
        np.testing.assert_allclose(ours[:, left][:, :, left], maps[0], rtol=1e-3, atol=2e-5)
        assert not ours[:, ~left].any()
        assert not ours[:, :, ~left].any()


@pytest.mark.parametrize("fused", [True, False])
def test_where_no_token_is_left_nothing_is_collected(fused: bool, photo: Image.Image) -> None:
    module = random_classifier("vit")
    set_fused(module, fused)
    rec = vitviz.record(vitviz.from_module(module), photo)
    patches = [(row, col) for row in range(rec.grid[0]) for col in range(rec.grid[1])]
    found = edited(rec, [vitviz.knock_out(["cls", *patches], layers=[1])])
    by = By(attention=lambda at, maps, values: (maps * (at != 1), values))
    assert_alike(found, by_hand("vit", [by]))
    assert np.isfinite(vitviz.explain(found, "relevance").values).all()


def test_registers_are_all_tokens_in_front_but_the_class_token() -> None:
    found = edited(recorded("dinov2 registers"), [vitviz.knock_out(["registers"])])
    attention = found.attention(1)
    assert not attention[:, :, 1:5].any()
    assert (attention[:, 0, 0] > 0).all()


UNCHANGING: dict[str, Callable[[Recording], Edit]] = {
    "no head": lambda _: vitviz.ablate_heads([]),
    "no head's mean": lambda _: vitviz.ablate_heads([], to="mean"),
    "no token": lambda _: vitviz.knock_out([]),
    "its own map": lambda rec: vitviz.set_attention(1, rec),
    "its own numbers": lambda rec: vitviz.set_attention(1, rec.attention(1)),
    "one of its own maps": lambda rec: vitviz.set_attention(1, rec, heads=[1]),
    "itself as a function": lambda _: vitviz.set_attention(1, lambda own: own),
    "its own heads": lambda rec: vitviz.patch_heads(rec, [(0, 0), (1, 2)]),
    "its own tokens": lambda rec: vitviz.patch_tokens(rec, 1),
    "no tokens": lambda _: vitviz.patch_tokens(recorded("vit"), 1, []),
}


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", FAMILIES)
def test_what_changes_nothing_changes_no_bit(
    family: str, kind: torch.dtype, fused: bool, photo: Image.Image
) -> None:
    module = random_classifier(family).to(kind)
    set_fused(module, fused)
    rec = vitviz.record(vitviz.from_module(module), photo)
    for name, edit in UNCHANGING.items():
        if name == "no tokens" and family != "vit":
            continue
        found = edited(rec, [edit(rec)])
        assert torch.equal(found.logits, rec.logits), name
        for layer in range(rec.num_layers):
            assert torch.equal(found.attention(layer), rec.attention(layer)), name


@pytest.mark.parametrize("family", PLAIN)
def test_a_layer_that_counts_once_changes_no_bit(family: str) -> None:
    rec = recorded(family)
    for part in ("both", "attention", "mlp"):
        assert torch.equal(edited(rec, [vitviz.scale_layer(1, 1, part=part)]).logits, rec.logits)


def test_heads_that_are_left_alone_keep_every_bit() -> None:
    rec = recorded("vit")
    for edit in (vitviz.ablate_heads([(0, 1)]), vitviz.patch_heads(recorded("vit", 1), [(0, 1)])):
        found = edited(rec, [edit])
        for head in (0, 2):
            assert torch.equal(found.attention(0)[head], rec.attention(0)[head])
            assert torch.equal(found.layers[0].value[0, head], rec.layers[0].value[0, head])


def test_all_tokens_of_the_last_block_are_the_whole_answer() -> None:
    for family in PLAIN:
        rec, other = recorded(family), recorded(family, 1)
        assert torch.equal(edited(rec, [vitviz.patch_tokens(other, -1)]).logits, other.logits)


def test_what_is_patched_in_was_edited_itself() -> None:
    rec, other = recorded("vit"), edited(recorded("vit", 1), [vitviz.ablate_heads([(0, 0)])])
    assert torch.equal(edited(rec, [vitviz.patch_tokens(other, 2)]).logits, other.logits)
    found = edited(rec, [vitviz.patch_heads(other, [(0, 0)])])
    np.testing.assert_allclose(
        found.logits, edited(rec, [vitviz.ablate_heads([(0, 0)])]).logits, atol=1e-5
    )


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("family", ["vit", "average pooled"])
def test_gradients_are_those_of_the_edited_model(family: str, case: str) -> None:
    """∂s/∂A of the maps that were really used, by autograd in float64."""
    rec = edited(recorded(family), [CASES[case].edit(family)])
    score = Score(rec.predictions[1].index)
    with torch.enable_grad():
        expected = written_out(rec.vit.module, rec.pixels, [_with_graph(CASES[case].by(family))])
        expected.logits[score.target].backward()
    found = gradients(rec, score)
    for layer, maps in enumerate(expected.maps):
        ours = attention_gradient(rec, found.attended[layer], layer, slice(None))
        wanted = torch.zeros_like(maps) if maps.grad is None else maps.grad
        scale = float(wanted.abs().max())
        np.testing.assert_allclose(ours, wanted[0], rtol=1e-2, atol=1e-4 * scale + 1e-6)


def _with_graph(by: By) -> By:
    """The same, where maps that are constants ask for their gradient too."""

    def attention(layer: int, maps: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        maps, values = by.attention(layer, maps, values)
        return (maps if maps.requires_grad else maps.requires_grad_()), values

    return By(attention, by.state, by.scale)


def test_tokens_that_are_knocked_out_twice_have_gradients() -> None:
    """Their rows have nothing left to look at."""
    rec, score = recorded("vit"), Score(0)
    twice = edited(rec, [vitviz.knock_out([(0, 0), (1, 1)]), vitviz.knock_out([(1, 1), (2, 2)])])
    once = edited(rec, [vitviz.knock_out([(0, 0), (1, 1), (2, 2)])])
    np.testing.assert_allclose(twice.logits, once.logits, atol=1e-5)
    for ours, wanted in zip(
        gradients(twice, score).attended, gradients(once, score).attended, strict=True
    ):
        np.testing.assert_allclose(ours, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))


@pytest.mark.parametrize("case", ["zero", "another's map", "another's tokens", "knocked out"])
def test_occlusion_hides_patches_from_the_edited_model(case: str) -> None:
    rec = edited(recorded("vit"), [CASES[case].edit("vit")])
    target = rec.predictions[0].index
    found = vitviz.explain(rec, "occlusion", target=target, window=1, stride=1).values
    height, width = rec.patch_size
    with torch.no_grad():
        for row, col in [(0, 0), (2, 3), (3, 5)]:
            pixels = rec.pixels.clone()
            pixels[:, row * height : (row + 1) * height, col * width : (col + 1) * width] = 0
            logits = written_out(rec.vit.module, pixels, [CASES[case].by("vit")]).logits
            drop = float((rec.logits.softmax(-1) - logits.softmax(-1))[target])
            assert found[row, col] == pytest.approx(max(0.0, drop), abs=1e-4)


def test_other_threads_run_the_model_as_it_is() -> None:
    rec, wrong = recorded("vit"), []
    edits = [CASES[case].edit("vit") for case in ("zero", "knocked out", "another's tokens")]
    expected = [edited(rec, [edit]).logits for edit in edits]

    def run(number: int) -> None:
        for _ in range(10):
            if number < len(edits):
                found, wanted = edited(rec, [edits[number]]).logits, expected[number]
            else:
                found, wanted = vitviz.record(rec.vit, make_photo()).logits, rec.logits
            wrong.extend([] if torch.equal(found, wanted) else [number])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_left_on_the_model(case: str, photo: Image.Image) -> None:
    vit = vitviz.from_module(random_classifier("vit"))
    before, rec = weights_hash(vit.module), vitviz.record(vit, photo)
    vitviz.explain(edited(rec, [CASES[case].edit("vit")]), "relevance")
    assert is_left_alone(vit.module)
    assert weights_hash(vit.module) == before
    assert all(parameter.grad is None for parameter in vit.module.parameters())
    assert torch.equal(vitviz.record(vit, photo).logits, rec.logits)


def test_an_error_in_an_edit_leaves_nothing_behind(photo: Image.Image) -> None:
    vit = vitviz.from_module(random_classifier("vit"))
    rec = vitviz.record(vit, photo)

    def broken(_: Tensor) -> Tensor:
        raise KeyError("in the middle")

    with pytest.raises((KeyError, vitviz.VitvizError), match="in the middle"):
        vitviz.record(vit, photo, edits=[vitviz.set_attention(1, broken)])
    assert is_left_alone(vit.module)
    assert torch.equal(vitviz.record(vit, photo).logits, rec.logits)


def test_a_recording_that_was_let_go_is_made_again_with_its_edits() -> None:
    rec = edited(recorded("vit"), [CASES["another's map"].edit("vit")])
    again = with_layers(without_layers(rec))
    assert again.edits == rec.edits
    for layer in range(rec.num_layers):
        assert torch.equal(again.attention(layer), rec.attention(layer))


def test_a_photo_a_path_and_the_input_itself_are_edited_alike(photo: Image.Image) -> None:
    rec, edits = recorded("vit"), [vitviz.ablate_heads([(1, 0)])]
    for shown in (photo, np.asarray(photo), rec.pixels):
        found = vitviz.record(rec.vit, shown, edits=edits)
        assert torch.equal(found.logits, edited(rec, edits).logits)
        assert found.box == vitviz.record(rec.vit, shown).box
