"""The one place where the agent writes VMIs and Pods: statuses by merge patch, and what a kubelet does last."""

from typing import Any

from isthmus.client import resources
from isthmus.client.cached import CachedClient
from isthmus.engine.node import status

Object = dict[str, Any]


class Writer:
    """Writes what differs. All raise StatusError: 409 if the object is not the newest, so it is looked at again."""

    def __init__(self, cached: CachedClient) -> None:
        self._cached = cached
        self.recorder = cached.recorder

    async def patch_vmi(self, vmi: Object, wanted: Object) -> Object:
        """Make `wanted` the VMI's status, which is no subresource. Gives the object as it is now."""
        body = _difference(vmi, wanted)
        return await self._cached.patch(resources.VMIS, vmi, body) if body else vmi

    async def patch_pod(self, pod: Object, wanted: Object) -> Object:
        """Make `wanted` the Pod's status. Gives the object as it is now."""
        body = _difference(pod, wanted)
        return await self._cached.patch(resources.PODS, pod, body, subresource="status") if body else pod

    async def remove_pod(self, pod: Object) -> None:
        """What a kubelet does last: the containers are gone, so is the object."""
        await self._cached.delete(resources.PODS, pod, options={"gracePeriodSeconds": 0})


def _difference(obj: Object, wanted: Object) -> Object:
    """The patch; guarded, for the lists in it are replaced whole, so they must be made from the newest."""
    changed = status.changed(obj.get("status") or {}, wanted)
    guard = {"resourceVersion": obj["metadata"]["resourceVersion"]}
    return {"metadata": guard, "status": changed} if changed else {}
