"""What a request is about: verb, group, version, resource, namespace, name, subresource, read from method and path.

Kubernetes paths are parsed, not routed (apiserver, pkg/endpoints/request/requestinfo.go). Called by `app`.
"""

from dataclasses import dataclass

from isthmus.engine.server.message import Request
from isthmus.machinery import fields

VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
NAMESPACE_SUBRESOURCES = ("status", "finalize")


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """`is_resource` is false for paths outside /api and /apis/GROUP/VERSION: then only `verb` and `path` count."""

    verb: str
    path: str
    is_resource: bool = False
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    name: str = ""
    subresource: str = ""


def parse(request: Request) -> RequestInfo:
    """Read a request's method and path."""
    verb = VERBS.get(request.method, request.method.lower())
    path = request.path
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return RequestInfo(verb, path)
    watching = rest[0] == "watch" and len(rest) > 1
    if watching:
        rest = rest[1:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in NAMESPACE_SUBRESOURCES:
            rest = rest[2:]
    resource = rest[0]
    name = rest[1] if len(rest) > 1 else ""
    subresource = "/".join(rest[2:])
    if not name:
        verb, name = _collection_verb(request, verb)
    if watching:
        verb = "watch"
    return RequestInfo(verb, path, True, group, version, namespace, resource, name, subresource)


def _collection_verb(request: Request, verb: str) -> tuple[str, str]:
    """list, watch or deletecollection; a selector on metadata.name names the object, so that RBAC can allow by name."""
    if verb not in ("get", "delete"):
        return verb, ""
    query = request.query
    if verb == "delete":
        return "deletecollection", ""
    verb = "watch" if query.get("watch", "").lower() in ("1", "true", "t") else "list"
    if selector := query.get("fieldSelector"):
        try:
            requirements = fields.parse(selector).requirements
        except ValueError:
            return verb, ""
        exact = [r.value for r in requirements if r.field == "metadata.name" and r.equal]
        return verb, exact[0] if exact else ""
    return verb, ""
