"""What every controller does with metadata: find the owner's key, put a finalizer on, take one off."""

from isthmus.client.api import Object, Resource
from isthmus.client.cached import CachedClient
from isthmus.client.informer import Key
from isthmus.machinery import owners


def keys(obj: Object, kind: str) -> list[Key]:
    """The key of the controller of `obj`, if that is a `kind`: to wake it when its dependent changes."""
    owner = owners.controller_of(obj)
    return [(obj["metadata"].get("namespace", ""), owner["name"])] if owner and owner["kind"] == kind else []


async def ensure_finalizer(cluster: CachedClient, resource: Resource, obj: Object, finalizer: str) -> Object:
    """`obj` with the finalizer on it."""
    present = obj["metadata"].get("finalizers") or []
    if finalizer in present:
        return obj
    return await _write(cluster, resource, obj, [*present, finalizer])


async def drop_finalizer(cluster: CachedClient, resource: Resource, obj: Object, *finalizers: str) -> None:
    """Take the finalizers off; none there is no error."""
    present = obj["metadata"].get("finalizers") or []
    kept = [f for f in present if f not in finalizers]
    if kept != present:
        await _write(cluster, resource, obj, kept)


async def _write(cluster: CachedClient, resource: Resource, obj: Object, finalizers: list[str]) -> Object:
    """The list is replaced whole, so the revision that it was read at guards it."""
    metadata = {"resourceVersion": obj["metadata"]["resourceVersion"], "finalizers": finalizers}
    return await cluster.patch(resource, obj, {"metadata": metadata})
