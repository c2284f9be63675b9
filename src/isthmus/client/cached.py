"""One set of informers shared by many controllers, and writes that show in it at once.

A controller that writes and is then called again must read what it wrote: every write goes through here, and its answer
is put into the informer (`Informer.observe`).
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from isthmus.client.api import Client, Object, PatchType, Resource
from isthmus.client.events import Recorder
from isthmus.client.informer import Informer
from isthmus.machinery.errors import StatusError


class CachedClient:
    """Reads from shared informers, writes through the client.

    `fields` narrows what is followed of a resource by a field selector: an agent may follow the Pods of its node only.
    """

    def __init__(self, client: Client, component: str, fields: Mapping[Resource, str] | None = None) -> None:
        self.client = client
        self._fields = dict(fields or {})
        self.recorder = Recorder(client, component)
        self._informers: dict[Resource, Informer] = {}
        self._started = False

    def informer(self, resource: Resource) -> Informer:
        """The one informer of `resource`: of all its objects, unless `fields` narrows it."""
        if resource not in self._informers:
            self._informers[resource] = Informer(self.client, resource, fields=self._fields.get(resource, ""))
            if self._started:
                self._informers[resource].start()
        return self._informers[resource]

    def has_informer(self, resource: Resource) -> bool:
        """Whether somebody follows `resource` already."""
        return resource in self._informers

    def start(self) -> None:
        """Start every informer that was asked for, and later ones when they are."""
        self._started = True
        for informer in self._informers.values():
            informer.start()

    @property
    def synced(self) -> bool:
        """Whether the first list of all is in."""
        return all(informer.synced for informer in self._informers.values())

    async def wait_synced(self) -> None:
        """Wait for the first list of all."""
        await asyncio.gather(*(informer.wait_synced() for informer in self._informers.values()))

    async def stop(self) -> None:
        """Stop every informer."""
        await asyncio.gather(*(informer.stop() for informer in self._informers.values()))

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """One object as last seen."""
        return self.informer(resource).get(namespace, name)

    async def create(self, resource: Resource, body: Object) -> Object:
        """Create one."""
        return self._observe(resource, await self.client.create(resource, body))

    async def create_if_absent(self, resource: Resource, body: Object) -> Object | None:
        """Create one; None if there is one of that name."""
        try:
            return await self.create(resource, body)
        except StatusError as error:
            if error.reason == "AlreadyExists":
                return None
            raise

    async def update(self, resource: Resource, body: Object, *, subresource: str = "") -> Object:
        """Replace one; the resourceVersion in `body` guards against a change meanwhile."""
        return self._observe(resource, await self.client.update(resource, body, subresource=subresource))

    async def patch(
        self,
        resource: Resource,
        obj: Object,
        body: Any,
        *,
        patch_type: PatchType = "merge",
        subresource: str = "",
    ) -> Object:
        """Patch `obj`, addressed by its metadata."""
        metadata = obj["metadata"]
        answer = await self.client.patch(
            resource,
            metadata["name"],
            body,
            metadata.get("namespace", ""),
            patch_type=patch_type,
            subresource=subresource,
        )
        return self._observe(resource, answer)

    async def patch_status(self, resource: Resource, obj: Object, status: Object) -> Object:
        """Merge `status` into the object's status, which not every kind of KubeVirt and CDI has as a subresource."""
        try:
            return await self.patch(resource, obj, {"status": status}, subresource="status")
        except StatusError as error:
            if error.code != 404 or error.details.get("name"):
                raise  # it is the object that is not there
            return await self.patch(resource, obj, {"status": status})

    async def delete(self, resource: Resource, obj: Object, *, options: Object | None = None) -> None:
        """Delete exactly `obj`, not a successor of its name; one that is gone is no error."""
        metadata = obj["metadata"]
        options = {"preconditions": {"uid": metadata["uid"]}} | (options or {})
        try:
            answer = await self.client.delete(
                resource, metadata["name"], metadata.get("namespace", ""), options=options
            )
        except StatusError as error:
            if error.code in {404, 409}:
                return
            raise
        if answer.get("kind") != "Status" and answer["metadata"].get("deletionTimestamp"):
            self._observe(resource, answer)

    def _observe(self, resource: Resource, obj: Object) -> Object:
        if resource in self._informers:
            self._informers[resource].observe(obj)
        return obj
