"""Forward hooks that are registered on a model once and serve whoever watches it run.

They hold nothing: the watcher of the present call is in a context variable, which each thread has
for itself, so that several threads may run one model and only those who watch it see it run.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from threading import Lock
from typing import Any, Protocol

from torch import nn

__all__ = ["WATCHER", "Watcher", "register"]


class Watcher(Protocol):
    """Whoever is told that a module begins and ends, and may put something else in the place of
    what it returns."""

    def enter(self, module: nn.Module, args: tuple[Any, ...]) -> None: ...

    def leave(self, module: nn.Module, output: Any) -> Any: ...


WATCHER: ContextVar[Watcher | None] = ContextVar("watcher", default=None)

LOCK = Lock()
REGISTERED = "_vitviz_hooks"  # an attribute of a module that has them; its copies have both


def register(model: nn.Module) -> None:
    """Give every module of a model its hooks, those that have them left out."""
    if all(hasattr(module, REGISTERED) for module in model.modules()):
        return
    with LOCK:
        for module in model.modules():
            if hasattr(module, REGISTERED):
                continue
            module.register_forward_pre_hook(_enter, with_kwargs=True)
            module.register_forward_hook(_leave, always_call=True)  # also after an error
            setattr(module, REGISTERED, True)


def _enter(
    module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None
) -> None:
    """Without `kwargs` where torch's quantisation has moved the hook to another module."""
    if (watcher := WATCHER.get()) is not None:
        watcher.enter(module, (*args, *(kwargs or {}).values()))


def _leave(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
    del args
    watcher = WATCHER.get()
    return None if watcher is None else watcher.leave(module, output)
