"""A box from tokens alone, on vectors made by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from families import random_module
from PIL import Image

import vitviz
from vitviz.inside.lost import centred_keys, find_object

THING, GROUND = torch.tensor([1.0, 0.0]), torch.tensor([-0.2, 1.0])


def scene(rows: slice, cols: slice, grid: tuple[int, int] = (6, 8)) -> torch.Tensor:
    """A thing on a ground that it is not like."""
    features = GROUND.repeat(*grid, 1)
    features[rows, cols] = THING
    return features


def test_the_thing_is_what_few_are_like() -> None:
    found = find_object(scene(slice(2, 5), slice(1, 4)))
    assert found.seed == (2, 1)  # the first of nine equals
    assert int(found.alike[2, 1]) == 9
    assert int(found.alike[0, 0]) == 39
    assert found.corners == (2, 1, 5, 4)
    assert int(found.mask.sum()) == int(found.seeds.sum()) == 9


def test_only_the_part_that_holds_the_first_patch_is_taken() -> None:
    features = scene(slice(0, 2), slice(0, 2))
    features[4:6, 5:8] = THING
    found = find_object(features)
    assert found.seed == (0, 0)
    assert found.corners == (0, 0, 2, 2)
    assert bool(found.seeds[4, 5])


def test_few_may_join() -> None:
    assert int(find_object(scene(slice(2, 5), slice(1, 4)), 4).seeds.sum()) == 4


def by_loops(features: np.ndarray, most: int) -> tuple[tuple[int, int], set[int], set[int]]:
    """The paper's three steps, one patch at a time: the first, those that joined, and the thing."""
    rows, cols, width = features.shape
    flat = features.reshape(-1, width)
    count = len(flat)
    degree = [sum(flat[i] @ flat[j] >= 0 for j in range(count)) for i in range(count)]
    order = sorted(range(count), key=lambda i: (degree[i], i))
    first = order[0]
    joined = {i for i in order[:most] if flat[first] @ flat[i] >= 0}
    near = {i for i in range(count) if sum(flat[i] @ flat[j] for j in joined) >= 0} | {first}
    thing, todo = {first}, [first]
    while todo:
        row, col = divmod(todo.pop(), cols)
        for r, c in ((row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)):
            other = r * cols + c
            if 0 <= r < rows and 0 <= c < cols and other in near and other not in thing:
                thing.add(other)
                todo.append(other)
    return divmod(first, cols), joined, thing


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_papers(seed: int) -> None:
    features = torch.randn(5, 7, 6, generator=torch.Generator().manual_seed(seed)).double()
    first, joined, thing = by_loops(features.numpy(), 10)
    found = find_object(features, 10)
    assert found.seed == first
    assert set(found.seeds.flatten().nonzero().flatten().tolist()) == joined
    assert set(found.mask.flatten().nonzero().flatten().tolist()) == thing
    rows, cols = {i // 7 for i in thing}, {i % 7 for i in thing}
    assert found.corners == (min(rows), min(cols), max(rows) + 1, max(cols) + 1)


def test_keys_are_the_layers_own(photo: Image.Image) -> None:
    rec = vitviz.record(vitviz.from_module(random_module("vit")), photo)
    found = centred_keys(rec, 1)
    call = rec.layers[1]
    heads = [call.key[0, head, 1:] for head in range(rec.num_heads(1))]
    keys = torch.cat(heads, dim=1)
    torch.testing.assert_close(found.flatten(0, 1), keys - keys.mean(dim=0))
    assert found.shape[:2] == rec.grid
    other = dataclasses.replace(rec, is_chain=False)
    with pytest.raises(vitviz.MethodError, match="queries times keys"):
        centred_keys(other, 1)
