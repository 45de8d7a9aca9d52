"""What the coverage page says is found out by checks that can fail."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import timm
import torch
from families import make_photo

import vitviz
from vitviz.coverage.check import _are_in_place, _rows_sum_to_one, cover, cover_family
from vitviz.coverage.families import FAMILIES, family_of, members, without_attention
from vitviz.coverage.table import report

SPREAD = {
    "ViT with a class token": {"global"},
    "ViT, average pooling": {"global"},
    "Perception Encoder": {"global", "pooling"},
    "Hybrid ViT": {"global"},
    "CaiT": {"class attention"},
    "ConViT": {"global"},
    "CrossViT": {"global", "class attention"},
    "PiT, distilled": {"global"},
    "Swin V2": {"windowed", "global"},
    "MaxViT, MaxxViT": {"windowed", "global"},
    "SAM ViT": {"global"},
    "Twins-SVT": {"windowed", "pooled keys", "global"},
    "PVT v2": {"pooled keys", "global"},
    "LeViT": {"global", "pooled keys"},
    "FastViT": {"global"},
    "XCiT": {"channel", "class attention"},
    "BoTNet": {"global"},
}

# As few layers as have every kind of attention in every stage.
SHALLOW = {
    "CaiT": {"depth": 2},
    "ConViT": {"depth": 3, "local_up_to_layer": 2},
    "CrossViT": {"depth": [[1, 1, 0]] * 3},
    "PiT, distilled": {"depth": (1, 1, 1)},
    "Swin V2": {"depths": (2, 1, 1, 1), "img_size": 128},
    "MaxViT, MaxxViT": {"depths": (1, 1, 1, 1)},
    "Twins-SVT": {"depths": (2, 2, 2, 2)},
    "PVT v2": {"depths": (1, 1, 1, 1)},
}


# As small an input as a network without a size of its own takes.
SMALL = {
    "LambdaNet": {"pretrained_cfg_overlay": {"input_size": (3, 64, 64)}},
    "FastViT": {"pretrained_cfg_overlay": {"input_size": (3, 128, 128)}},
}

# All of whose layers have one map over the same tokens.
PLAIN = {*list(SPREAD)[:4], "SAM ViT", "FastViT"}

# Whose layers are partly not shown, of channels, beside each other, or on grids that do not merge.
NO_ROLLOUT = {"CaiT", "CrossViT", "PiT, distilled", "LeViT", "XCiT"}


@pytest.mark.parametrize("title", SPREAD)
def test_a_spread_of_families_is_exact(title: str) -> None:
    [family] = [f for f in FAMILIES if f.title == title]
    chosen = {**family.arguments, **SHALLOW.get(title, {}), **SMALL.get(title, {})}
    found = cover_family(replace(family, arguments=chosen))
    assert set(found.maps) == SPREAD[title]
    assert found.checks == dict.fromkeys(("logits", "rows", "values", "places"), True)
    assert "attention" in found.methods
    assert ("rollout" in found.methods) == (title not in NO_ROLLOUT)
    assert ("relevance" in found.methods) == (title in PLAIN)


@pytest.mark.parametrize(
    "title", ["ViT, differential attention", "LambdaNet", "EfficientViT, MSRA", "CoaT"]
)
def test_what_is_no_map_is_not_shown(title: str) -> None:
    [family] = [f for f in FAMILIES if f.title == title]
    found = cover_family(replace(family, arguments={**family.arguments, **SMALL.get(title, {})}))
    assert found.maps == {}
    assert not found.exact
    assert "cannot be shown" in found.reason


class TestEveryName:
    def test_belongs_to_one_family_or_to_none(self) -> None:
        names = [name for family in FAMILIES for name in members(family)]
        names += [name for of_file in without_attention().values() for name in of_file]
        assert sorted(names) == sorted(timm.list_models())

    def test_every_family_has_models_and_its_representative_is_one(self) -> None:
        for family in FAMILIES:
            assert family_of(family.model, family.file) is family

    def test_what_is_not_shown_has_a_reason(self) -> None:
        for title in ("ViT, differential attention", "CaiT", "TNT", "LambdaNet", "CoaT"):
            [family] = [f for f in FAMILIES if f.title == title]
            assert family.why

    def test_files_without_attention_have_none(self) -> None:
        """On the smallest of some; all of them would take too long here."""
        for name in ("resnet18", "efficientvit_b0", "repvit_m0_9", "mobilenetv3_small_050"):
            with pytest.raises(vitviz.ModelError, match="has no attention map"):
                vitviz.record(vitviz.from_module(timm.create_model(name)), make_photo())


def test_a_check_leaves_random_numbers_and_the_callers_model_alone() -> None:
    [family] = [f for f in FAMILIES if f.title == "CaiT"]
    state = torch.get_rng_state()
    cover_family(family)
    assert torch.equal(torch.get_rng_state(), state)
    module = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=2).train()
    torch.nn.init.zeros_(module.head.weight)  # models without weights begin so
    state, before = torch.get_rng_state(), copy.deepcopy(module.state_dict())
    assert cover(module).exact
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert module.training


@pytest.fixture(scope="module")
def swin() -> vitviz.Recording:
    torch.manual_seed(0)
    module = timm.create_model("swin_tiny_patch4_window7_224", depths=(2, 1, 1, 1))
    return vitviz.record(vitviz.from_module(module), make_photo(size=(224, 224)))


def test_a_map_in_the_wrong_place_is_noticed(swin: vitviz.Recording) -> None:
    assert _are_in_place(swin)
    right = swin.layouts[1]
    transposed = right.keys.view(56, 56).T.flatten()
    wrong = replace(right, keys=transposed)
    assert not _are_in_place(replace(swin, layouts=(swin.layouts[0], wrong, *swin.layouts[2:])))


def test_rows_that_do_not_sum_to_one_are_noticed(swin: vitviz.Recording) -> None:
    assert _rows_sum_to_one(swin, 0)
    shared = replace(swin.layouts[0], keys=torch.zeros(3136, dtype=torch.long), kind="pooled keys")
    assert not _rows_sum_to_one(replace(swin, layouts=(shared,)), 0)


def test_the_page_names_every_model() -> None:
    [family] = [f for f in FAMILIES if f.title == "LambdaNet"]
    small = replace(family, arguments=SMALL["LambdaNet"])
    page = report([(family, cover_family(small))])
    assert (
        "| LambdaNet | 3 | lambda_resnet26t | none | nothing to show | none | 3 | a softmax" in page
    )
    assert "resnet18" in page
