"""Names of classes, short and distinct, so that choosing a name chooses one class."""

from __future__ import annotations

from functools import cache

from timm.data import ImageNetInfo

__all__ = ["imagenet_names"]

# Where the first synonym is another class's too: two cranes, two maillots, a corgi and a jacket.
DISTINCT = {
    134: "crane (bird)",
    263: "Pembroke Welsh corgi",
    264: "Cardigan Welsh corgi",
    517: "crane (machine)",
    639: "tank suit",
}


@cache
def imagenet_names() -> tuple[str, ...]:
    """The 1,000 classes of ImageNet-1k by index: the first synonym of each in WordNet."""
    info = ImageNetInfo("imagenet-1k")
    return tuple(
        DISTINCT.get(index, info.index_to_description(index).split(",")[0])
        for index in range(info.num_classes())
    )
