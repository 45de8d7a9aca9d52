"""Photos measured by several processes of a Ray cluster, each with a copy of the model."""

from __future__ import annotations

import itertools
import logging
import os
import socket
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch

from vitviz.errors import FAILURES, VitvizError, in_a_line
from vitviz.measures.measuring import Plan, measure_photo
from vitviz.measures.results import Found, Rows
from vitviz.models.vit import Vit
from vitviz.models.weights import weights_hash

__all__ = ["measured_by_ray"]

SECONDS = 5.0  # until a cluster that does not answer is none


@dataclass(frozen=True)
class Sent:
    """How a worker gets the model and the plan.

    Attributes:
        measuring: a reference to the model and the plan.
        model: its name.
        weights: the hash that they have to have.
    """

    measuring: Any
    model: str
    weights: str


_taken: dict[Sent, tuple[Vit, Plan] | VitvizError] = {}  # in a worker: of the last run alone


def _take(sent: Sent) -> tuple[Vit, Plan] | VitvizError:
    """In a worker: the model and the plan; or why it cannot have them, or would measure something
    else with them."""
    if sent not in _taken:
        _taken.clear()  # before there are two models
        _taken[sent] = _opened(sent)
    return _taken[sent]


def _opened(sent: Sent) -> tuple[Vit, Plan] | VitvizError:
    import ray

    torch.set_num_threads(1)
    try:
        vit, plan = ray.get(sent.measuring)
    except (*FAILURES, ray.exceptions.RayError) as error:
        return _not_sent(sent.model, error)
    return other_than_asked(vit, plan, sent.weights) or (vit, plan)


def other_than_asked(vit: Vit, plan: Plan, weights: str) -> VitvizError | None:
    """Why a worker would measure something else than the process that asks, if it would."""
    for folder in (plan.folder, plan.masks):
        if folder is not None and not folder.is_dir():
            return VitvizError(
                "folder_not_shared",
                "A worker has no folder {folder}; put it where all machines of the cluster "
                "have it under this path.",
                folder=folder,
            )
    if weights_hash(vit.module) != weights:
        return VitvizError(
            "weights_changed_on_way",
            "{model} has other weights after it was sent to a worker; evaluate it with the "
            "engine “process”.",
            model=vit.name,
        )
    return None


def _measure(sent: Sent, name: str, known: Rows) -> list[Found] | VitvizError:
    """In a worker: what is found of a photo, or what ends the run."""
    taken = _take(sent)
    if isinstance(taken, VitvizError):
        return taken
    try:
        return list(measure_photo(*taken, name, known))
    except VitvizError as error:
        return error


def measured_by_ray(
    vit: Vit,
    weights: str,
    plan: Plan,
    photos: Sequence[str],
    known: Mapping[str, Rows],
    workers: int | None,
) -> Generator[list[Found]]:
    """What is found of each photo, in their order; whoever is free gets the next.

    Args:
        weights: the hash of the model's.
        known: what was measured before, by photo.
        workers: how many processes; None is one for each processor of the cluster.

    Raises:
        VitvizError: if Ray is not installed, there is no such cluster, it has too few processors,
            the model cannot be sent, a worker would measure something else, or one has died.
    """
    with _cluster() as ray:
        count = _count(ray, workers)
        try:
            sent = Sent(ray.put((vit, plan)), vit.name, weights)
        except (*FAILURES, ray.exceptions.RayError) as error:
            raise _not_sent(vit.name, error) from error
        try:
            yield from _in_order(ray, sent, count, photos, known)
        except ray.exceptions.RayTaskError:
            raise  # nobody expected it
        except ray.exceptions.RayError as error:
            raise VitvizError(
                "worker_died",
                "A worker has died ({reason}); what was finished is kept, and the same command "
                "goes on. Fewer workers need less memory.",
                reason=in_a_line(error),
            ) from error


@contextmanager
def _cluster() -> Iterator[ModuleType]:
    """Ray, connected; it is left as it was."""
    try:
        import ray
    except ImportError as error:
        raise VitvizError(
            "ray_missing", "The engine “ray” needs Ray: pip install 'vitviz[ray]'."
        ) from error
    if ray.is_initialized():
        yield ray
        return
    address = os.environ.get("RAY_ADDRESS", "local")
    try:
        host, _, port = address.rpartition(":")
        if port.isdigit():  # Ray tries it for two minutes, and then ends this process
            socket.create_connection((host, int(port)), SECONDS).close()
        ray.init(address, log_to_driver=False, logging_level=logging.WARNING)
    except (*FAILURES, SystemExit) as error:
        raise VitvizError(
            "no_cluster",
            "There is no Ray cluster at {address}: {reason}; check RAY_ADDRESS.",
            address=address,
            reason=in_a_line(error),
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _count(ray: ModuleType, workers: int | None) -> int:
    """How many photos are measured at once."""
    there = int(ray.cluster_resources().get("CPU", 0))
    if not 1 <= (workers or there) <= there:
        raise VitvizError(
            "too_few_processors",
            "The cluster has {there} processors, and each worker needs one; ask for fewer workers.",
            there=there,
        )
    return workers or there


def _not_sent(model: str, error: Exception) -> VitvizError:
    return VitvizError(
        "model_not_sent",
        "{model} cannot be sent to a worker: {reason}; it has to be of classes that can be "
        "pickled and are installed there too, or be measured with the engine “process”.",
        model=model,
        reason=in_a_line(error),
    )


def _in_order(
    ray: ModuleType, sent: Sent, count: int, photos: Sequence[str], known: Mapping[str, Rows]
) -> Iterator[list[Found]]:
    """So many at once. Ray gives a photo to the process that was free last, which has the model."""
    measure = ray.remote(num_cpus=1, max_retries=0)(_measure)
    coming, done = iter(enumerate(photos)), {}
    running: dict[Any, int] = {}  # the number of its photo by task
    try:
        for due in range(len(photos)):
            while due not in done:
                for number, name in itertools.islice(coming, count - len(running)):
                    running[measure.remote(sent, name, known.get(name, {}))] = number
                [ready], _ = ray.wait(list(running))
                done[running.pop(ready)] = ray.get(ready)
            if isinstance(found := done.pop(due), VitvizError):
                raise found
            yield found
    finally:
        with suppress(ray.exceptions.RayError):  # there may be no cluster any more
            for task in running:
                ray.cancel(task)
