"""Keeps the status of PodDisruptionBudgets, from which evictions take: how many Pods are healthy, and may not be.

A percentage is one of the scale of the Pods' controllers, which their `scale` subresource tells. A budget over Pods
without such a controller allows nothing, and says why. The counting is `machinery.disruption`'s; an eviction takes
from the status in `engine.registry.eviction`.
"""

import time
from collections.abc import Iterable

import orjson

from isthmus.client import discovery, paths
from isthmus.client.api import Object, Resource
from isthmus.client.cached import CachedClient
from isthmus.client.controller import Controller
from isthmus.client.informer import Key, key_of
from isthmus.client.resources import DEPLOYMENTS, PDBS, PODS, REPLICASETS
from isthmus.lib import clock
from isthmus.machinery import disruption, mergepatch, owners
from isthmus.machinery.errors import StatusError

SCALE_SECONDS = 30.0  # a controller's scale is asked for anew: it is not followed


class DisruptionController:
    """Reconciles one PodDisruptionBudget at a time."""

    def __init__(self, cluster: CachedClient) -> None:
        self.cluster = cluster
        self.budgets = cluster.informer(PDBS)
        self.pods = cluster.informer(PODS)
        self._resources: dict[tuple[str, str], Resource] = {}  # by apiVersion and kind

    def controller(self) -> Controller:
        """The loop around `reconcile`."""
        controller = Controller("disruption-controller", self.reconcile)
        controller.watch(self.budgets)
        controller.watch(self.pods, self._budgets_of)
        return controller

    def _budgets_of(self, pod: Object) -> list[Key]:
        return [key_of(b) for b in self.budgets.list(pod["metadata"]["namespace"]) if disruption.covers(b, pod)]

    async def reconcile(self, key: Key) -> float | None:
        """Count, and write the status if it has changed."""
        budget = self.budgets.get(*key)
        if budget is None:
            return None
        pods = [pod for pod in self.pods.list(key[0]) if disruption.covers(budget, pod)]
        scaled = disruption.needs_scale(budget)
        try:
            scale = await self._scale(key[0], pods) if scaled else 0
            expected = disruption.expect(budget, len(pods), scale)
        except ValueError as error:
            await self._write(budget, disruption.failed(budget, str(error), clock.timestamp()))
            return SCALE_SECONDS
        status, again = disruption.count(budget, pods, expected, time.time(), clock.parse)
        known = (budget.get("status") or {}).get("conditions")
        await self._write(budget, disruption.with_condition(status | {"conditions": known}, clock.timestamp()))
        return min(filter(None, (again, SCALE_SECONDS if scaled else None)), default=None)

    async def _write(self, budget: Object, status: Object) -> None:
        """Guarded: an eviction may have taken from the status meanwhile, and must not be given back."""
        if difference := mergepatch.diff(budget.get("status") or {}, status):
            guard = {"resourceVersion": budget["metadata"]["resourceVersion"]}
            body = {"metadata": guard, "status": difference}
            await self.cluster.patch(PDBS, budget, body, subresource="status")

    async def _scale(self, namespace: str, pods: Iterable[Object]) -> int:
        """The scale of all controllers of the Pods together. Raises ValueError if one has none."""
        references = (owners.controller_of(pod) for pod in pods)
        found = {reference["uid"]: reference for reference in references if reference}
        scales: dict[str, int] = {}
        for reference in found.values():
            uid, scale = await self._scale_of(namespace, reference)
            scales[uid] = scale
        return sum(scales.values())

    async def _scale_of(self, namespace: str, reference: Object) -> tuple[str, int]:
        """Whose scale counts, by uid, and what it is: a ReplicaSet's Deployment stands for it."""
        resource = await self._resource_of(reference)
        if resource == REPLICASETS:
            replica_set = await self.cluster.client.get(REPLICASETS, reference["name"], namespace)
            owner = owners.controller_of(replica_set)
            if owner and owner.get("kind") == "Deployment":
                resource, reference = DEPLOYMENTS, owner
        path = paths.resource_path(resource, namespace, reference["name"], "scale")
        try:
            answer = orjson.loads(await self.cluster.client.call("GET", path))
        except StatusError as error:
            if error.code in {404, 405}:
                name = f"{resource.plural}.{resource.group}".rstrip(".")
                raise ValueError(f"{name} {reference['name']} has no scale to count by") from error
            raise
        return reference["uid"], int((answer.get("spec") or {}).get("replicas") or 0)

    async def _resource_of(self, reference: Object) -> Resource:
        """The resource of an owner's kind. Raises ValueError if it is not served."""
        wanted = reference["apiVersion"], reference["kind"]
        if wanted not in self._resources:
            served = await discovery.discover(self.cluster.client)
            self._resources = {(s.resource.api_version, s.kind): s.resource for s in served}
        if wanted not in self._resources:
            raise ValueError(f"{reference['kind']} of {reference['apiVersion']} has no scale to count by")
        return self._resources[wanted]
