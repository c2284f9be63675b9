"""What a request is about: verb, group, version, resource, namespace, name, subresource, read from method and path.

Kubernetes paths are parsed, not routed (apiserver, pkg/endpoints/request/requestinfo.go). Called by `app`.
"""

from typing import NamedTuple

from isthmus.engine.server.message import Request
from isthmus.machinery import errors, fields

VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
NAMESPACE_SUBRESOURCES = ("status", "finalize")
SUBRESOURCE_GROUP = "subresources.kubevirt.io"
# What that group serves of nothing: paths of the group's root, and one acting on a whole namespace (virt-api).
SUBRESOURCE_ROOT = frozenset(("version", "healthz", "guestfs"))


class RequestInfo(NamedTuple):
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


UNKNOWN = RequestInfo("", "")


def parse(request: Request) -> RequestInfo:
    """Read a request's method and path. Raises StatusError 400 for a path that no object can have."""
    verb = VERBS.get(request.method) or request.method.lower()
    path = request.path
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return RequestInfo(verb, path)
    if ".." in rest or "." in rest or "" in rest:
        raise errors.bad_request(f'the path has an empty segment or one of "." and "..": {path[:200]}')
    if group == SUBRESOURCE_GROUP and len(rest) == 1 and rest[0] in SUBRESOURCE_ROOT:
        return RequestInfo(verb, path)
    watching = rest[0] == "watch" and len(rest) > 1
    namespace, resource, name, subresource = _segments(rest[1:] if watching else rest)
    if not name:
        verb, name = _collection_verb(request, verb)
    if watching:
        if verb not in ("get", "list", "watch"):
            raise errors.method_not_allowed()
        verb = "watch"
    return RequestInfo(verb, path, True, group, version, namespace, resource, name, subresource)


def _segments(rest: list[str]) -> tuple[str, str, str, str]:
    """Namespace, resource, name and subresource of what stands behind the version. A Namespace lies in itself."""
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in NAMESPACE_SUBRESOURCES:
            rest = rest[2:]
    return namespace, rest[0], rest[1] if len(rest) > 1 else "", "/".join(rest[2:])


def _collection_verb(request: Request, verb: str) -> tuple[str, str]:
    """list, watch or deletecollection; a selector on metadata.name names the object, so that RBAC can allow by name."""
    if verb == "delete":
        return "deletecollection", ""
    if verb != "get":
        return verb, ""
    query = request.query
    verb = "watch" if request.flag("watch") else "list"
    if selector := query.get("fieldSelector"):
        try:
            requirements = fields.parse(selector).requirements
        except (ValueError, errors.StatusError):
            return verb, ""  # the handler will say what is wrong with it
        exact = [r.value for r in requirements if r.field == "metadata.name" and r.equal]
        return verb, exact[0] if exact else ""
    return verb, ""
