"""Photos measured by several processes of a Ray cluster, each with a copy of the model."""

from __future__ import annotations

import itertools
import logging
import os
import socket
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
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


class Worker:
    """A process with the model, which it was given once, and one thread."""

    def __init__(self, vit: Vit, plan: Plan) -> None:
        torch.set_num_threads(1)
        self.vit, self.plan = vit, plan

    def check(self, weights: str) -> VitvizError | None:
        """Why it would measure something else than the process that asks, if it would."""
        for folder in (self.plan.folder, self.plan.masks):
            if folder is not None and not folder.is_dir():
                return VitvizError(
                    "folder_not_shared",
                    "A worker has no folder {folder}; put it where all machines of the cluster "
                    "have it under this path.",
                    folder=folder,
                )
        if weights_hash(self.vit.module) != weights:
            return VitvizError(
                "weights_changed_on_way",
                "{model} has other weights after it was sent to a worker; evaluate it with the "
                "engine “process”.",
                model=self.vit.name,
            )
        return None

    def measure(self, name: str, known: Rows) -> list[Found] | VitvizError:
        """What is found of a photo, or what ends the run."""
        try:
            return list(measure_photo(self.vit, self.plan, name, known))
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
    with _cluster() as ray, _workers(ray, vit, weights, plan, workers) as free:
        try:
            yield from _in_order(ray, free, photos, known)
        except ray.exceptions.RayActorError as error:
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


@contextmanager
def _workers(
    ray: ModuleType, vit: Vit, weights: str, plan: Plan, count: int | None
) -> Iterator[list[Any]]:
    """Processes that have the model and would measure the same as this one."""
    there = int(ray.cluster_resources().get("CPU", 0))
    if not 1 <= (count or there) <= there:
        raise VitvizError(
            "too_few_processors",
            "The cluster has {there} processors, and each worker needs one; ask for fewer workers.",
            there=there,
        )
    made: list[Any] = []
    try:
        sent = ray.put(vit)
        made += [ray.remote(num_cpus=1)(Worker).remote(sent, plan) for _ in range(count or there)]
        refused = ray.get([worker.check.remote(weights) for worker in made])
    except (*FAILURES, ray.exceptions.RayError) as error:
        _end(ray, made)
        raise VitvizError(
            "model_not_sent",
            "{model} cannot be sent to a worker: {reason}; it has to be of classes that can be "
            "pickled and are installed there too, or be measured with the engine “process”.",
            model=vit.name,
            reason=in_a_line(error),
        ) from error
    try:
        for refusal in filter(None, refused):
            raise refusal
        yield made
    finally:
        _end(ray, made)


def _end(ray: ModuleType, workers: Sequence[Any]) -> None:
    for worker in workers:
        ray.kill(worker)


def _in_order(
    ray: ModuleType, free: list[Any], photos: Sequence[str], known: Mapping[str, Rows]
) -> Iterator[list[Found]]:
    coming, running, done, due = iter(enumerate(photos)), {}, {}, 0
    while due < len(photos):
        for number, name in itertools.islice(coming, len(free)):
            worker = free.pop()
            running[worker.measure.remote(name, known.get(name, {}))] = number, worker
        [ready], _ = ray.wait(list(running))
        number, worker = running.pop(ready)
        free.append(worker)
        done[number] = ray.get(ready)
        while due in done:
            if isinstance(found := done.pop(due), VitvizError):
                raise found
            yield found
            due += 1
