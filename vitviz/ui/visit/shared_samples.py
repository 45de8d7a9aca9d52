"""What the model saw of the samples, computed once for all visitors."""

from __future__ import annotations

from dataclasses import replace
from weakref import WeakValueDictionary

import streamlit as st

from vitviz.ui.visit.kept import Kept
from vitviz.ui.visit.session import Session
from vitviz.zoo.catalogue import BUNDLED

__all__ = ["SharedSamples", "shared_samples"]

MOST_HELD = 16  # some 15 MB each; there are fewer samples, but two ways to show one


class SharedSamples:
    """Sessions on samples, of which each visitor has a copy with results of its own.

    Those of the bundled model stay, others as long as a visitor has one: they keep their model in
    memory.
    """

    def __init__(self) -> None:
        self._alive: WeakValueDictionary[tuple[int, str, bool], Session] = WeakValueDictionary()
        self._held: dict[tuple[int, str, bool], Session] = {}

    def find(self, vit: object, photo_key: str, whole: bool) -> Session | None:
        """A visitor's own copy, if the sample was seen before."""
        common = self._alive.get((id(vit), photo_key, whole))
        return common and _copy(common)

    def keep(self, made: Session) -> Session:
        """The same of a session that was just made."""
        key = (id(made.rec.vit), made.photo.key, made.whole)  # the session keeps the model alive
        common = self._alive.setdefault(key, made)
        if made.model.name == BUNDLED:
            self._held[key] = common
            for oldest in list(self._held)[:-MOST_HELD]:
                self._held.pop(oldest, None)
        return _copy(common)


def _copy(common: Session) -> Session:
    return replace(common, kept=Kept(replace(common.rec), rests=False), common=common)


@st.cache_resource(show_spinner=False)
def shared_samples() -> SharedSamples:
    """Of this server."""
    return SharedSamples()
