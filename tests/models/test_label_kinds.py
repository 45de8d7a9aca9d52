"""Labels that are no names, or not as many as a model's numbers, are refused at the door."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import transforms

import vitviz
from vitviz.models.labels import label_names


@pytest.mark.parametrize(
    "labels",
    [[["a"], ["b"]], [b"a", b"b"], [torch.tensor(1), torch.tensor(2)], [True], {0: ["a"]}, [None]],
)
def test_labels_that_are_no_names_are_refused(labels: Any) -> None:
    with pytest.raises(vitviz.ModelError) as met:
        label_names(labels)
    assert met.value.id == "labels_not_understood"


def test_names_and_numbers_that_stand_for_them_are_taken() -> None:
    assert label_names(np.array(["a", "b"])) == ("a", "b")
    assert label_names([7, "b"]) == ("7", "b")


def test_a_wrong_number_of_labels_for_ones_own_model_is_refused_at_once() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    transform = transforms.Compose([transforms.Resize((16, 16)), transforms.ToTensor()])
    assert vitviz.from_module(module, list("abcd"), transform).labels == tuple("abcd")
    with pytest.raises(vitviz.ModelError) as met:
        vitviz.from_module(module, list("abc"), transform)
    assert met.value.id == "labels_not_outputs"
