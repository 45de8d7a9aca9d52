"""The models in memory: loaded once, shared by all visitors, and bounded in number and in size."""

from __future__ import annotations

import gc
import threading
from weakref import WeakValueDictionary

from vitviz.errors import ModelError
from vitviz.models.vit import on_device
from vitviz.ui.visit.metrics import refusals
from vitviz.zoo.catalogue import BUNDLED, Offer, count, offer
from vitviz.zoo.load import Vit, load_offer
from vitviz.zoo.settings import device, max_parameters, models_in_memory

ModelVersion = tuple[str, str]  # name and version


class Shelf:
    """Holds the models that were used last. One that a visitor's recording still needs stays in
    memory although it is not held any more, and counts; the bundled model always has its place."""

    def __init__(self) -> None:
        self._held: dict[ModelVersion, Vit] = {}  # the one used longest ago first
        self._alive: WeakValueDictionary[ModelVersion, Vit] = WeakValueDictionary()
        self._holding, self._loading = threading.Lock(), threading.Lock()

    def take(self, name: str) -> Vit:
        """The model of this name, loaded if it is not in memory.

        Raises:
            ModelError: if it cannot be loaded, is too large, or memory is full of others in use.
        """
        offered = offer(name)
        key = name, offered.version
        vit = self._alive.get(key)
        if vit is None:
            with refusals(), self._loading:
                vit = self._alive.get(key) or self._load(offered, key)
        with self._holding:
            self._held.pop(key, None)
            self._held[key] = self._alive[key] = vit
        return vit

    def __len__(self) -> int:
        """How many models are in memory."""
        return len(self._alive)

    def _load(self, offered: Offer, key: ModelVersion) -> Vit:
        check_allowed(offered)
        if offered.name != BUNDLED:
            self._make_room()
        vit = on_device(load_offer(offered), device())
        return self._alive.setdefault(key, vit)

    def _make_room(self) -> None:
        """Let go of models until one more may come, those used longest ago first."""
        most = models_in_memory()
        while 1 + sum(name != BUNDLED for name, _ in list(self._alive)) >= most:
            with self._holding:
                oldest = next((key for key in self._held if key[0] != BUNDLED), None)
                if oldest is None:
                    raise ModelError(
                        "shelf_full",
                        "This server holds at most {most} models at once, and all are in use; try "
                        "again in some minutes, or choose one of them.",
                        most=most,
                    )
                del self._held[oldest]
            gc.collect()


def check_allowed(offered: Offer) -> None:
    """Before anything is fetched or memory taken.

    Raises:
        ModelError: if the server's owner does not let visitors load so large a model.
    """
    size = offered.parameters or (count(offered.name) if offered.folder is None else 0)
    if offered.name != BUNDLED and size > max_parameters():
        raise ModelError(
            "model_too_large",
            "{model} has {millions:.4g} million parameters, and this server loads models "
            "of at most {most:.4g} million; choose a smaller one.",
            model=offered.name,
            millions=size / 1e6,
            most=max_parameters() / 1e6,
        )
