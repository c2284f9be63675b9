"""Ends a namespace that is deleted: its workloads first, then everything else, then the namespace itself.

Workloads go first because they may need their volumes, secrets and permissions to stop in order (KEP-5080 does so for
Pods). What keeps content alive is told in the namespace's conditions.
"""

import asyncio
from dataclasses import dataclass

from isthmus.client import discovery, paths
from isthmus.client.api import Object, Resource
from isthmus.client.cached import CachedClient
from isthmus.client.controller import Controller
from isthmus.client.informer import Key
from isthmus.client.resources import NAMESPACES
from isthmus.lib import clock
from isthmus.machinery import conditions, mergepatch
from isthmus.machinery.errors import StatusError

NEEDED = frozenset({"list", "delete"})
LOOK_SECONDS = 1.0
WORKLOAD_GROUPS = frozenset({"kubevirt.io", "apps", "batch", "pool.kubevirt.io", "isthmus.dev"})


def is_workload(resource: Resource) -> bool:
    """Whether objects of this kind run something or make what runs."""
    return resource.group in WORKLOAD_GROUPS or (resource.group, resource.plural) == ("", "pods")


@dataclass(frozen=True, slots=True)
class Remaining:
    """Objects that are left, by resource, and the finalizers on them."""

    counts: dict[str, int]
    finalizers: dict[str, int]


def content_conditions(remaining: Remaining, known: list[Object], now: str) -> list[Object]:
    """NamespaceContentRemaining and NamespaceFinalizersRemaining, in Kubernetes' words."""
    out = known
    counts = ", ".join(f"{name} has {count} resource instances" for name, count in sorted(remaining.counts.items()))
    names = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(remaining.finalizers.items()))
    for kind, some, none, listing in (
        (
            "NamespaceContentRemaining",
            "SomeResourcesRemain",
            "ContentRemoved",
            f"Some resources are remaining: {counts}",
        ),
        (
            "NamespaceFinalizersRemaining",
            "SomeFinalizersRemain",
            "ContentHasNoFinalizers",
            f"Some content in the namespace has finalizers remaining: {names}",
        ),
    ):
        present = bool(counts if kind == "NamespaceContentRemaining" else names)
        message = listing if present else "All content successfully removed"
        out = conditions.put(out, conditions.build(kind, present, some if present else none, message), now)
    return out


class NamespaceController:
    """Reconciles one namespace at a time; only deleted ones have work."""

    def __init__(self, cluster: CachedClient) -> None:
        self.cluster = cluster
        self.namespaces = cluster.informer(NAMESPACES)
        self._slow: dict[str, list[Resource]] = {}  # by namespace: what was left at the last look

    def controller(self) -> Controller:
        """The loop around `reconcile`."""
        controller = Controller("namespace-controller", self.reconcile, workers=2)
        controller.watch(self.namespaces)
        return controller

    async def reconcile(self, key: Key) -> float | None:
        """Empty a deleted namespace and let it go."""
        namespace = self.namespaces.get(*key)
        if namespace is None or not namespace["metadata"].get("deletionTimestamp"):
            return None
        if await self._is_left(namespace, self._slow.get(key[1], [])):
            return LOOK_SECONDS
        served = [s.resource for s in await discovery.discover(self.cluster.client) if s.verbs >= NEEDED]
        namespaced = [r for r in served if r.namespaced]
        for stage in ([r for r in namespaced if is_workload(r)], [r for r in namespaced if not is_workload(r)]):
            if await self._is_left(namespace, stage):
                return LOOK_SECONDS
        await self._finalize(namespace)
        return None

    async def _is_left(self, namespace: Object, stage: list[Resource]) -> bool:
        """Delete a stage; whether some of it is still there. That alone is looked at until it is gone."""
        name = namespace["metadata"]["name"]
        remaining = await self._empty(name, stage)
        self._slow[name] = [r for r in stage if _named(r) in remaining.counts]
        if not remaining.counts:
            del self._slow[name]
            return False
        await self._tell(namespace, remaining)
        return True

    async def _empty(self, namespace: str, stage: list[Resource]) -> Remaining:
        """Delete all that is left of a stage; what is still there afterwards."""
        results = await asyncio.gather(*(self._empty_one(namespace, resource) for resource in stage))
        counts: dict[str, int] = {}
        finalizers: dict[str, int] = {}
        for resource, items in zip(stage, results, strict=True):
            if items:
                counts[_named(resource)] = len(items)
            for item in items:
                for finalizer in item["metadata"].get("finalizers") or ():
                    finalizers[finalizer] = finalizers.get(finalizer, 0) + 1
        return Remaining(counts, finalizers)

    async def _empty_one(self, namespace: str, resource: Resource) -> list[Object]:
        client = self.cluster.client
        try:
            found: list[Object] = (await client.list(resource, namespace))["items"]
            fresh = [item for item in found if not item["metadata"].get("deletionTimestamp")]
            await asyncio.gather(*(self._delete(resource, item) for item in fresh))
            return (await client.list(resource, namespace))["items"] if fresh else found
        except StatusError as error:
            if error.code in {404, 405}:
                return []
            raise

    async def _delete(self, resource: Resource, item: Object) -> None:
        metadata = item["metadata"]
        options = {"preconditions": {"uid": metadata["uid"]}, "propagationPolicy": "Background"}
        try:
            await self.cluster.client.delete(resource, metadata["name"], metadata["namespace"], options=options)
        except StatusError as error:
            if error.code not in {404, 409}:
                raise

    async def _tell(self, namespace: Object, remaining: Remaining) -> None:
        old = namespace.get("status") or {}
        found = content_conditions(remaining, list(old.get("conditions") or []), clock.timestamp())
        if patch := mergepatch.diff(old, old | {"conditions": found}):
            await self.cluster.patch(NAMESPACES, namespace, {"status": patch}, subresource="status")

    async def _finalize(self, namespace: Object) -> None:
        name = namespace["metadata"]["name"]
        current = await self.cluster.client.get(NAMESPACES, name)
        finalizers = [f for f in current["spec"].get("finalizers") or () if f != "kubernetes"]
        body = current | {"spec": {"finalizers": finalizers}}
        await self.cluster.client.call("PUT", paths.resource_path(NAMESPACES, "", name, "finalize"), body=body)


def _named(resource: Resource) -> str:
    """Its name in messages."""
    return f"{resource.plural}.{resource.group}".rstrip(".")
