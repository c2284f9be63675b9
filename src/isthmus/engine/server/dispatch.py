"""Which function answers a request: one rule, two tables.

A request about a resource finds it in RESOURCES, under (resource, subresource) and then its verb. A subresource with
segments of its own has a row with "/*"; what every kind has is in the rows of ANY, for the kinds that say they have it.
Any other path finds it in PATHS, whole or with ANY for a segment. No row is 404, no function for the verb is 405.

An upgrade is no third case: who serves a path also decides what a WebSocket there means (`watch`, `agent`). Called by
`app`. A new subresource, review or document is a row of the module that serves it.
"""

from collections.abc import Sequence

from isthmus.engine.registry.registry import Registry, Served
from isthmus.engine.server import nonresource, openapi, reviews, upload
from isthmus.engine.server.handlers import create, delete, get, patch, update, watch
from isthmus.engine.server.requestinfo import RequestInfo
from isthmus.engine.server.route import ANY, Handler, PathRoute, Paths, Table, Verbs
from isthmus.engine.server.subresources import (
    certificatesigningrequests,
    namespaces,
    pods,
    scale,
    serviceaccounts,
    shared,
    virtualmachineinstances,
    virtualmachines,
)
from isthmus.kinds.kind import Kind
from isthmus.machinery import errors

OBJECTS: Verbs = {
    "get": get.get,
    "list": get.list_,
    "watch": watch.watch,
    "create": create.create,
    "update": update.update,
    "patch": patch.patch,
    "delete": delete.delete,
    "deletecollection": delete.deletecollection,
}
NAMED = {"create": False, "update": True, "patch": True}  # whether the path names the object, which RBAC looks at
RESOURCES: Table = {
    (ANY, ""): OBJECTS,
    (ANY, "status"): {"get": get.get, "update": update.update, "patch": patch.patch},
    (ANY, "scale"): scale.VERBS,
    **certificatesigningrequests.TABLE,
    **namespaces.TABLE,
    **pods.TABLE,
    **reviews.TABLE,
    **serviceaccounts.TABLE,
    **virtualmachines.TABLE,
    **virtualmachineinstances.TABLE,
}
# What has rows above and is no kind: an act on a whole namespace. -> the kind that it is about
STANDS_FOR = {virtualmachines.EXPAND: shared.VM_ACTS}
NOT_HERE = "the nodes of this platform do not do that"  # of what discovery lists, as clients expect it
PATHS: Paths = {**nonresource.PATHS, **openapi.PATHS, **upload.PATHS}
_WITH_ANY = [(pattern.split("/"), route) for pattern, route in PATHS.items() if ANY in pattern]


def find(registry: Registry, info: RequestInfo) -> tuple[Served, Handler]:
    """The kind of a request about a resource, and its function. Raises StatusError 404, 405."""
    resource = f"{info.resource}.{info.group}" if info.group else info.resource
    served = registry.find(info.group, info.version, info.resource)
    if served is None:
        served = registry.by_resource(STANDS_FOR.get(resource, ""))
    if served is None or not _is_in_scope(served, info):
        raise errors.path_not_found()
    verbs = _find_row(served.kind, resource, info.subresource)
    if verbs is None:
        if any(s.name == info.subresource for s in served.kind.subresources):
            raise errors.method_not_allowed(pods.UNSERVED.get((resource, info.subresource), NOT_HERE))
        raise errors.path_not_found()
    handler = verbs.get(info.verb)
    if handler is None or not (info.subresource or _is_for(verbs, served.kind, info)):
        raise errors.method_not_allowed()
    return served, handler


def _find_row(kind: Kind, resource: str, subresource: str) -> Verbs | None:
    if own := RESOURCES.get((resource, subresource)):
        return own
    if not subresource or (subresource == "status" and kind.status) or (subresource == "scale" and kind.scale):
        return RESOURCES[ANY, subresource]
    first, slash, _ = subresource.partition("/")
    return RESOURCES.get((resource, f"{first}/{ANY}")) if slash else None


def _is_for(verbs: Verbs, kind: Kind, info: RequestInfo) -> bool:
    """Whether the verb fits the kind and the path. Rows of a kind's own are about collections."""
    named = bool(info.name)
    if verbs is not OBJECTS:
        return not named
    return info.verb in kind.verbs and NAMED.get(info.verb, named) == named


def _is_in_scope(served: Served, info: RequestInfo) -> bool:
    """Whether a path names a namespace only where the kind has one: what a role allows in a namespace ends there.

    A Namespace itself lies in its own (RequestInfo), so that roles of a namespace can be about it.
    """
    if served.kind.namespaced or not info.namespace:
        return True
    return served.kind.resource == "namespaces" and info.namespace == info.name


def find_path(path: str) -> tuple[PathRoute | None, Sequence[str]]:
    """The row of a path outside the resources, and the segments that ANY stands for in it."""
    path = path.rstrip("/") or "/"
    if route := PATHS.get(path):
        return route, ()
    parts = path.split("/")
    for pattern, route in _WITH_ANY:
        if len(pattern) == len(parts) and all(p == s or (p == ANY and s) for p, s in zip(pattern, parts, strict=True)):
            return route, [s for p, s in zip(pattern, parts, strict=True) if p == ANY]
    return None, ()
