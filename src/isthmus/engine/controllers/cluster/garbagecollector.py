"""Deletes what has lost its owners, and carries out foreground and orphan deletions: for every kind that is served.

`ownergraph` decides. The graph is fed by informers that keep metadata only (or by those that other controllers have);
when CustomResourceDefinitions come and go, so do informers. An owner that the graph does not know is asked of the
server before its dependents go.
"""

import asyncio
import logging

from isthmus.client import discovery
from isthmus.client.api import Object, Resource
from isthmus.client.cached import CachedClient
from isthmus.client.controller import Controller
from isthmus.client.informer import Informer, Key
from isthmus.client.resources import CRDS
from isthmus.engine.controllers.cluster import ownergraph
from isthmus.engine.controllers.cluster.ownergraph import Act, Item, Owner
from isthmus.lib import logs
from isthmus.lib.tasks import cancel_and_wait
from isthmus.machinery.errors import StatusError

log = logging.getLogger(__name__)

NEEDED = frozenset({"list", "watch", "delete"})
IGNORED = frozenset({("", "events"), ("events.k8s.io", "events")})
REDISCOVER_SECONDS = 300.0
CRD_SETTLE_SECONDS = 1.0
SYNC_SECONDS = 30.0
_KEPT = ("name", "namespace", "uid", "resourceVersion", "ownerReferences", "finalizers", "deletionTimestamp")


def metadata_only(obj: Object) -> Object:
    """What the collector needs of an object."""
    return {"metadata": {k: v for k, v in obj["metadata"].items() if k in _KEPT}}


class GarbageCollector:
    """One graph of all objects; its queue holds (\"\", uid)."""

    def __init__(self, cluster: CachedClient) -> None:
        self.cluster = cluster
        self.graph = ownergraph.Graph()
        self.queue_controller = Controller("garbage-collector", self.reconcile, workers=4)
        self._informers: dict[Resource, Informer] = {}
        self._own: set[Resource] = set()
        self._resources: dict[tuple[str, str], Resource] = {}  # (group, kind) -> resource
        self._changed = asyncio.Event()
        self._discovered = asyncio.Event()
        cluster.informer(CRDS).on_change(lambda _old, _new: self._changed.set())

    async def run(self) -> None:
        """Follow what the server serves, and collect. Runs until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_discovery())
            await self._discovered.wait()
            # One kind that cannot be listed must not hold up the rest: unknown owners are asked for anyway.
            first = [asyncio.ensure_future(i.wait_synced()) for i in self._informers.values()]
            await asyncio.wait(first, timeout=SYNC_SECONDS)
            await cancel_and_wait(first)
            group.create_task(self.queue_controller.run())

    async def _follow_discovery(self) -> None:
        while True:
            try:
                await self.refresh()
            except StatusError as error:
                log.debug("discovery: %s", error.message)
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), REDISCOVER_SECONDS if self._informers else 1.0)
                await asyncio.sleep(CRD_SETTLE_SECONDS)  # until a new definition is served
            except TimeoutError:
                continue

    async def refresh(self) -> None:
        """Start informers for what is new, stop those for what is gone."""
        served = [
            s
            for s in await discovery.discover(self.cluster.client)
            if s.verbs >= NEEDED and (s.resource.group, s.resource.plural) not in IGNORED
        ]
        self._resources = {(s.resource.group, s.kind): s.resource for s in served}
        wanted = {s.resource for s in served}
        for resource in wanted - self._informers.keys():
            self._add(resource)
        for resource in self._informers.keys() - wanted:
            await self._drop(resource)
        self._discovered.set()

    def _add(self, resource: Resource) -> None:
        if self.cluster.has_informer(resource):
            informer = self.cluster.informer(resource)
        else:
            informer = Informer(self.cluster.client, resource, transform=metadata_only)
            self._own.add(resource)
        self._informers[resource] = informer
        informer.on_change(lambda old, new: self._observe(resource, old, new))
        if resource in self._own:
            informer.start()

    async def _drop(self, resource: Resource) -> None:
        informer = self._informers.pop(resource)
        if resource in self._own:
            self._own.discard(resource)
            await informer.stop()
        for item in [i for i in self.graph.items.values() if i.resource == resource]:
            self._gone(item.uid)

    def _observe(self, resource: Resource, old: Object | None, new: Object | None) -> None:
        if old is not None and (new is None or old["metadata"]["uid"] != new["metadata"]["uid"]):
            self._gone(old["metadata"]["uid"])
        if new is None:
            return
        item = ownergraph.item_of(resource, new)
        self.graph.put(item)
        if item.owners or item.orphaning or item.in_foreground:
            self._enqueue(item.uid)
        if item.in_foreground:
            self._enqueue(*(d.uid for d in self.graph.dependents_of(item.uid)))

    def _gone(self, uid: str) -> None:
        """Its dependents may have lost their last owner; its owners may have waited for it."""
        item = self.graph.items.get(uid)
        self.graph.remove(uid)
        self._enqueue(*(d.uid for d in self.graph.dependents_of(uid)), *(o.uid for o in (item.owners if item else ())))

    def _enqueue(self, *uids: str) -> None:
        for uid in uids:
            self.queue_controller.queue.add(("", uid))

    async def reconcile(self, key: Key) -> float | None:
        """Do what the graph says of one object."""
        item = self.graph.items.get(key[1])
        if item is None:
            return None
        absent = await self._absent_owners(item)
        decision = self.graph.decide(item, absent)
        match decision.act:
            case Act.DELETE:
                await self._delete(item, decision.policy)
            case Act.UNLINK:
                await self._unlink(item, decision.uids)
            case Act.FINISH_FOREGROUND:
                await self._drop_finalizer(item, ownergraph.FOREGROUND)
            case Act.ORPHAN:
                for uid in decision.dependents:
                    await self._unlink(self.graph.items[uid], frozenset({item.uid}))
                await self._drop_finalizer(item, ownergraph.ORPHAN)
            case Act.NOTHING:
                self._enqueue(*decision.dependents)
        return None

    async def _absent_owners(self, item: Item) -> frozenset[str]:
        unknown = self.graph.unknown_owners(item)
        present = await asyncio.gather(*(self._exists(owner, item.namespace) for owner in unknown))
        return frozenset(owner.uid for owner, there in zip(unknown, present, strict=True) if not there)

    async def _exists(self, owner: Owner, namespace: str) -> bool:
        """Ask the server. An owner of a kind that is not served may come back with its kind: it counts as there."""
        group = owner.api_version.rpartition("/")[0]
        resource = self._resources.get((group, owner.kind))
        if resource is None:
            return True
        try:
            found = await self.cluster.client.get(resource, owner.name, namespace if resource.namespaced else "")
        except StatusError as error:
            if error.code == 404:
                return False
            raise
        return bool(found["metadata"]["uid"] == owner.uid)

    async def _delete(self, item: Item, policy: str) -> None:
        options = {"preconditions": {"uid": item.uid}, "propagationPolicy": policy}
        try:
            await self.cluster.client.delete(item.resource, item.name, item.namespace, options=options)
        except StatusError as error:
            if error.code not in {404, 409}:
                raise
        log.info("deleted", extra=logs.fields(resource=item.resource.plural, object=f"{item.namespace}/{item.name}"))

    async def _unlink(self, item: Item, uids: frozenset[str]) -> None:
        """Take owners off: read and write back under the revision that was read."""
        try:
            obj = await self.cluster.client.get(item.resource, item.name, item.namespace)
            metadata = obj["metadata"]
            if metadata["uid"] != item.uid:
                return
            kept = [r for r in metadata.get("ownerReferences") or () if r["uid"] not in uids]
            patch = {"resourceVersion": metadata["resourceVersion"], "ownerReferences": kept or None}
            await self._patch(item, patch)
        except StatusError as error:
            if error.code != 404:
                raise

    async def _drop_finalizer(self, item: Item, finalizer: str) -> None:
        try:
            obj = await self.cluster.client.get(item.resource, item.name, item.namespace)
            kept = [f for f in obj["metadata"].get("finalizers") or () if f != finalizer]
            await self._patch(item, {"resourceVersion": obj["metadata"]["resourceVersion"], "finalizers": kept})
        except StatusError as error:
            if error.code != 404:
                raise

    async def _patch(self, item: Item, metadata: Object) -> None:
        await self.cluster.client.patch(item.resource, item.name, {"metadata": metadata}, item.namespace)
