"""Writes what of each ResourceQuota is used, for people to read; admission counts by itself, and refuses.

Pods, claims and Services are followed; other kinds that a quota counts (`count/...`) are listed now and then.
"""

from isthmus.client import discovery
from isthmus.client.api import Object
from isthmus.client.cached import CachedClient
from isthmus.client.controller import Controller
from isthmus.client.informer import Key, key_of
from isthmus.client.resources import PODS, PVCS, RESOURCEQUOTAS, SERVICES
from isthmus.machinery import mergepatch, quantity, quota

LIST_SECONDS = 10.0


class ResourceQuotaController:
    """Reconciles one ResourceQuota at a time."""

    def __init__(self, cluster: CachedClient) -> None:
        self.cluster = cluster
        self.quotas = cluster.informer(RESOURCEQUOTAS)
        self.followed = {resource.plural: cluster.informer(resource) for resource in (PODS, PVCS, SERVICES)}

    def controller(self) -> Controller:
        """The loop around `reconcile`."""
        controller = Controller("resourcequota", self.reconcile)
        controller.watch(self.quotas)
        for informer in self.followed.values():
            controller.watch(informer, self._quotas_beside)
        return controller

    def _quotas_beside(self, obj: Object) -> list[Key]:
        return [key_of(found) for found in self.quotas.list(obj["metadata"]["namespace"])]

    async def reconcile(self, key: Key) -> float | None:
        """Count, and write the status if it has changed."""
        found = self.quotas.get(*key)
        if found is None:
            return None
        hard = found["spec"].get("hard") or {}
        wanted = quota.resources(hard)
        used: quota.Usage = {}
        for resource in sorted(wanted):
            objects = await self._objects(resource, key[0])
            used = quota.add(used, quota.total(resource, (o for o in objects if quota.matches(found, resource, o))))
        status = {"hard": hard, "used": {name: str(used.get(name, quantity.ZERO)) for name in hard}}
        if difference := mergepatch.diff(found.get("status") or {}, status):
            await self.cluster.patch(RESOURCEQUOTAS, found, {"status": difference}, subresource="status")
        return LIST_SECONDS if wanted - self.followed.keys() else None

    async def _objects(self, resource: str, namespace: str) -> list[Object]:
        if resource in self.followed:
            return self.followed[resource].list(namespace)
        for served in await discovery.discover(self.cluster.client):
            known = served.resource
            if f"{known.plural}.{known.group}".rstrip(".") == resource and known.namespaced:
                return list((await self.cluster.client.list(known, namespace))["items"])
        return []
