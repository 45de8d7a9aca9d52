"""Token merging against loops written from the paper."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from families import random_module
from PIL import Image
from torch.nn import functional as F

import vitviz
from vitviz.interventions.token_merging import averaged, merge_tokens, most_alike, pool_tokens


@pytest.fixture
def rec(photo: Image.Image) -> vitviz.Recording:
    return vitviz.record(vitviz.from_module(random_module("vit")), photo)


def test_the_most_alike_of_two_sets_become_one() -> None:
    keys = torch.tensor(
        [[9.0, 9.0], [1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [-1.0, 0.0], [5.0, 0.0], [0.1, 1.0]]
    )
    # Behind the fixed one: 1, 3 and 5 choose among 2, 4 and 6. Cosines: 1 with 2 is 0.995, 3 with 6
    # is 0.995, 5 with 2 is 0.995; 1 and 5 are alike and come first in order.
    assert most_alike(keys, 1, 0).tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert most_alike(keys, 1, 3).tolist() == [0, 1, 1, 3, 2, 1, 3]
    assert most_alike(keys, 1, 99).tolist() == [0, 1, 1, 3, 2, 1, 3]
    assert most_alike(keys[:2], 1, 4).tolist() == [0, 1]


def test_means_are_weighted_with_the_patches_they_stand_for() -> None:
    tokens = torch.tensor([[[1.0], [2.0], [6.0], [10.0]]])
    found, sizes = averaged(tokens, torch.tensor([1.0, 3.0, 1.0, 2.0]), torch.tensor([0, 1, 1, 2]))
    assert found.flatten().tolist() == [1.0, 3.0, 10.0]
    assert sizes.tolist() == [1.0, 4.0, 2.0]


def by_loops(rec: vitviz.Recording, count: int) -> tuple[np.ndarray, list[int], list[list[int]]]:
    """Logits, tokens of each layer, and which patches each token holds at the end."""
    module = rec.vit.module
    tokens: list[torch.Tensor] = []
    hook = module.blocks[0].register_forward_pre_hook(lambda _, given: tokens.append(given[0]))
    with torch.no_grad():
        module(rec.pixels[None])
        hook.remove()
        x, members, counts = tokens[0][0], [[i] for i in range(rec.num_tokens)], []
        for block in module.blocks:
            n, heads = len(x), block.attn.num_heads
            counts.append(n)
            qkv = block.attn.qkv(block.norm1(x)).reshape(n, 3, heads, -1)
            q, k, v = qkv.permute(1, 2, 0, 3)
            sizes = torch.tensor([float(len(m)) for m in members])
            scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1]) + sizes.log()
            x = x + block.attn.proj((scores.softmax(-1) @ v).transpose(0, 1).flatten(1))
            keys = k.mean(dim=0)
            first, second = list(range(1, n, 2)), list(range(2, n, 2))
            best = []
            for a in first:
                cosines = [float(F.cosine_similarity(keys[a], keys[b], dim=0)) for b in second]
                best.append((max(cosines), a, second[int(np.argmax(cosines))]))
            best.sort(key=lambda found: -found[0])
            groups = {i: [i] for i in range(n)}
            for _, a, b in best[:count]:
                groups[b] += groups.pop(a)
            x = torch.stack(
                [
                    sum((sizes[i] * x[i] for i in group), torch.zeros(x.shape[1]))
                    / sum(sizes[i] for i in group)
                    for group in groups.values()
                ]
            )
            members = [[m for i in group for m in members[i]] for group in groups.values()]
            x = x + block.mlp(block.norm2(x))
        logits = module.forward_head(module.norm(x[None]))[0]
    return logits.numpy(), [*counts, len(x)], members


@pytest.mark.parametrize("count", [1, 3])
def test_merging_is_that_of_the_paper(rec: vitviz.Recording, count: int) -> None:
    logits, counts, members = by_loops(rec, count)
    found = merge_tokens(rec, count)
    np.testing.assert_allclose(found.logits.numpy(), logits, atol=1e-4, rtol=1e-4)
    assert list(found.counts) == counts
    flat = found.groups.flatten()
    for group in members[1:]:
        assert len({int(flat[patch - 1]) for patch in group}) == 1
    assert len(flat.unique()) == counts[-1] - 1


def test_without_pairs_it_is_the_model(rec: vitviz.Recording) -> None:
    found = merge_tokens(rec, 0)
    torch.testing.assert_close(found.logits, rec.logits.float(), atol=1e-4, rtol=1e-4)
    assert set(found.counts) == {rec.num_tokens}
    with pytest.raises(vitviz.VitvizError, match="-1"):
        merge_tokens(rec, -1)


def test_pooling_puts_means_in_the_place_of_four(rec: vitviz.Recording) -> None:
    module, layer = rec.vit.module, 1
    inputs: list[torch.Tensor] = []
    hook = module.blocks[layer].register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    with torch.no_grad():
        module(rec.pixels[None])
        hook.remove()
        x = inputs[0]
        patches = x[:, 1:].transpose(1, 2).unflatten(2, rec.grid)
        means = F.avg_pool2d(patches, 2, ceil_mode=True, count_include_pad=False)
        x = torch.cat([x[:, :1], means.flatten(2).transpose(1, 2)], dim=1)
        for block in module.blocks[layer:]:
            x = block(x)
        expected = module.forward_head(module.norm(x))[0]
    found = pool_tokens(rec, layer)
    torch.testing.assert_close(found.logits, expected, atol=1e-4, rtol=1e-4)
    assert found.counts[:2] == (rec.num_tokens, x.shape[1])
    assert found.groups[0, 0] == found.groups[1, 1] != found.groups[0, 2]
    whole = pool_tokens(rec, rec.num_layers)
    torch.testing.assert_close(whole.logits, rec.logits.float(), atol=1e-4, rtol=1e-4)
    assert len(whole.groups.unique()) == rec.grid[0] * rec.grid[1]
