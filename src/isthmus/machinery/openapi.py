"""OpenAPI v3: the index `/openapi/v3` and a document for each group version.

kubectl reads them for `explain` (the kind of a path, then its definition), for client-side apply and edit (merge keys)
and to learn whether a PATCH of a kind takes `fieldValidation`. Every operation therefore carries its
`x-kubernetes-action` and `x-kubernetes-group-version-kind`. Shape: kube-openapi, pkg/{builder3,handler3,spec3}.
Definitions come from the caller (kinds.catalogue); `custom_definitions` makes those of CustomResourceDefinitions.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from isthmus.machinery.discovery import Part, parts
from isthmus.machinery.resourcetype import ResourceType

Object = dict[str, Any]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_REF = "#/components/schemas/"
_GVK = "x-kubernetes-group-version-kind"

_TEXTS = {
    "pretty": "Whether the output is indented for people.",
    "dryRun": "`All`: do everything but store the result.",
    "fieldManager": "The name under which the changed fields are owned; required for apply patches.",
    "fieldValidation": "What to do about unknown and repeated fields: Ignore, Warn (the default) or Strict.",
    "force": "Take over fields that others own. For apply patches only.",
    "gracePeriodSeconds": "Seconds until the object is removed; 0 removes it at once.",
    "orphanDependents": "Deprecated: use propagationPolicy.",
    "propagationPolicy": "What becomes of dependents: Orphan, Background or Foreground.",
    "labelSelector": "Only objects whose labels match.",
    "fieldSelector": "Only objects whose fields match.",
    "limit": "The greatest number of objects in one answer.",
    "continue": "The token of the answer before, to get the next objects.",
    "resourceVersion": "The version from which to read or watch.",
    "resourceVersionMatch": "How resourceVersion is applied: Exact or NotOlderThan.",
    "sendInitialEvents": "Begin a watch with the present objects.",
    "allowWatchBookmarks": "Send BOOKMARK events in a watch.",
    "timeoutSeconds": "Seconds after which a list or watch ends.",
    "watch": "Stream changes instead of listing.",
}
_TYPES = {
    "force": "boolean",
    "gracePeriodSeconds": "integer",
    "orphanDependents": "boolean",
    "limit": "integer",
    "sendInitialEvents": "boolean",
    "allowWatchBookmarks": "boolean",
    "timeoutSeconds": "integer",
    "watch": "boolean",
}
_LIST = (
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
)
_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_DELETE = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")

# verb -> HTTP method, x-kubernetes-action, operationId prefix, query parameters
_OPERATIONS = {
    "get": ("get", "get", "read", ()),
    "list": ("get", "list", "list", _LIST),
    "create": ("post", "post", "create", _WRITE),
    "update": ("put", "put", "replace", _WRITE),
    "patch": ("patch", "patch", "patch", (*_WRITE, "force")),
    "delete": ("delete", "delete", "delete", _DELETE),
    "deletecollection": ("delete", "deletecollection", "deleteCollection", (*_DELETE, *_LIST[:-1])),
}
_OF_COLLECTION = ("create", "deletecollection", "list")
_OF_OBJECT = ("delete", "get", "patch", "update")
_PATCH_TYPES = ("application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json")
_STRATEGIC = "application/strategic-merge-patch+json"
_CONNECT = frozenset(("attach", "exec", "portforward", "proxy", "console", "vnc", "usbredir", "vsock"))


def path_of(group: str, version: str) -> str:
    """The prefix of a group version's paths, without slashes around it: `api/v1`, `apis/apps/v1`."""
    return f"apis/{group}/{version}" if group else f"api/{version}"


def index(group_versions: Iterable[tuple[str, str]], salt: str) -> Object:
    """`/openapi/v3`: where each document is, with a hash that changes with `salt`, so that clients may keep it."""
    paths = {}
    for group, version in group_versions:
        path = path_of(group, version)
        digest = hashlib.sha256(f"{salt}\0{path}".encode()).hexdigest().upper()
        paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
    return {"paths": paths}


def document(
    kinds: Iterable[ResourceType], group: str, version: str, definitions: Mapping[str, Mapping[str, Any]]
) -> Object:
    """The document of one group version.

    `definitions` must hold what its kinds refer to: their own definitions and those of ObjectMeta, ListMeta,
    DeleteOptions, Patch, Status and whatever these refer to.
    """
    schemas: Object = {name: _with_all_of(raw) for name, raw in definitions.items()}
    paths: Object = {}
    served = (k for k in kinds if k.group == group and version in k.versions)
    for kind in sorted(served, key=lambda k: k.plural):
        name = kind.definition_name(version) or custom_definition_name(kind.group, version, kind.kind)
        paths |= _paths(kind, version, name, schemas)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "unversioned"},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"BearerToken": {"type": "apiKey", "name": "authorization", "in": "header"}},
        },
    }


def custom_definition_name(group: str, version: str, kind: str) -> str:
    """`dev.isthmus.v1alpha1.Task` for a Task of isthmus.dev/v1alpha1."""
    return ".".join((*reversed(group.split(".")), version, kind))


def _ref(name: str) -> Object:
    return {"$ref": _REF + name}


def _with_all_of(raw: Any) -> Any:
    """Siblings of a `$ref` count for nothing in OpenAPI 3.0: a reference that has some goes into an `allOf`."""
    if isinstance(raw, list):
        return [_with_all_of(item) for item in raw]
    if not isinstance(raw, Mapping):
        return raw
    if isinstance(raw.get("$ref"), str) and len(raw) > 1:
        return {"allOf": [{"$ref": raw["$ref"]}], **{k: v for k, v in raw.items() if k != "$ref"}}
    return {key: _with_all_of(value) for key, value in raw.items()}


_ROOT_TEXTS = {
    "apiVersion": "The versioned schema of this representation of an object: <group>/<version>.",
    "kind": "The REST resource that this object represents, in CamelCase. Cannot be updated.",
    "metadata": "What every object has: its name, labels, annotations, owners.",
}


def custom_definitions(kind: ResourceType, version: str) -> dict[str, Object]:
    """The definitions of a CRD's kind and of its list, with what every object has."""
    name = custom_definition_name(kind.group, version, kind.kind)
    raw = dict(kind.crd_schemas.get(version) or {"x-kubernetes-preserve-unknown-fields": True})
    root: Object = {
        "apiVersion": {"type": "string", "description": _ROOT_TEXTS["apiVersion"]},
        "kind": {"type": "string", "description": _ROOT_TEXTS["kind"]},
        "metadata": {"allOf": [_ref(_META + "ObjectMeta")], "description": _ROOT_TEXTS["metadata"]},
    }
    gvk = {"group": kind.group, "kind": kind.kind, "version": version}
    items = {"type": "array", "items": _ref(name), "description": f"List of {kind.plural}."}
    head = {"apiVersion": root["apiVersion"], "kind": root["kind"]}
    list_properties = head | {"items": items, "metadata": {"allOf": [_ref(_META + "ListMeta")]}}
    return {
        name: raw | {"type": "object", "properties": {**(raw.get("properties") or {}), **root}, _GVK: [gvk]},
        f"{name}List": {
            "type": "object",
            "description": f"{kind.list_kind} is a list of {kind.kind}",
            "required": ["items"],
            "properties": list_properties,
            _GVK: [gvk | {"kind": kind.list_kind}],
        },
    }


class _Writer:
    """Writes the operations of one kind in one version."""

    def __init__(self, kind: ResourceType, version: str, definition: str, schemas: Mapping[str, Any]) -> None:
        self.kind, self.version, self.definition, self.schemas = kind, version, definition, schemas
        camel = "".join(p.title() for p in kind.group.removesuffix(".k8s.io").replace("-", ".").split(".")) or "Core"
        self.id_prefix = camel + version.title()
        self.tag = f"{kind.group.removesuffix('.k8s.io').replace('.', '_') or 'core'}_{version}"

    def operation(self, verb: str, scope: str, body: Part, collection: str = "") -> Object:
        """One operation. `body` names the kind that it reads and answers; `collection` is the list's definition."""
        _, action, prefix, query = _OPERATIONS[verb]
        if body.name.partition("/")[0] in _CONNECT:
            action, prefix = "connect", f"connect{_OPERATIONS[verb][0].title()}"
        of = body.name.title().replace("/", "").replace("-", "")
        out: Object = {
            "description": f"{prefix} {body.kind}" + (f" ({body.name} of {self.kind.kind})" if body.name else ""),
            "operationId": f"{prefix}{self.id_prefix}{scope}{self.kind.kind}{of}",
            "parameters": [_query(name) for name in query],
            "responses": self._responses(verb, body, collection),
            "tags": [self.tag],
            "x-kubernetes-action": action,
            _GVK: {"group": body.group, "kind": body.kind, "version": body.version},
        }
        if (request := self._request(verb, body)) is not None:
            out["requestBody"] = request
        return out

    def _schema(self, body: Part) -> Object:
        if (body.group, body.version, body.kind) == (self.kind.group, self.version, self.kind.kind):
            return _ref(self.definition)
        suffix = f".{body.version}.{body.kind}"
        name = next((n for n in self.schemas if n.endswith(suffix)), None)
        return _ref(name) if name else {"type": "object", "x-kubernetes-preserve-unknown-fields": True}

    def _request(self, verb: str, body: Part) -> Object | None:
        match verb:
            case "create" | "update":
                return {"content": {"*/*": {"schema": self._schema(body)}}, "required": True}
            case "patch":
                types = (*_PATCH_TYPES, _STRATEGIC) if self.kind.builtin else _PATCH_TYPES
                return {"content": {t: {"schema": _ref(_META + "Patch")} for t in types}, "required": True}
            case "delete" | "deletecollection":
                return {"content": {"*/*": {"schema": _ref(_META + "DeleteOptions")}}}
        return None

    def _responses(self, verb: str, body: Part, collection: str) -> Object:
        schema = _ref(collection) if verb == "list" else self._schema(body)
        if verb in ("delete", "deletecollection"):
            schema = _ref(_META + "Status")
        answer = {"description": "OK", "content": {"application/json": {"schema": schema}}}
        out = {"200": answer, "401": {"description": "Unauthorized"}}
        if verb in ("create", "update", "patch"):
            out["201"] = answer | {"description": "Created"}
        if verb in ("create", "delete"):
            out["202"] = answer | {"description": "Accepted"}
        return dict(sorted(out.items()))


def _query(name: str) -> Object:
    schema = {"type": _TYPES.get(name, "string"), "uniqueItems": True}
    return {"name": name, "in": "query", "description": _TEXTS[name], "schema": schema}


def _path_parameter(name: str, description: str) -> Object:
    schema = {"type": "string", "uniqueItems": True}
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


def _paths(kind: ResourceType, version: str, definition: str, schemas: Mapping[str, Any]) -> Object:
    return dict(_path_items(_Writer(kind, version, definition, schemas)))


def _path_items(writer: _Writer) -> Iterator[tuple[str, Object]]:
    kind = writer.kind
    root = f"/{path_of(kind.group, writer.version)}"
    base = f"{root}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{root}/{kind.plural}"
    shared = [_query("pretty")]
    if kind.namespaced:
        shared.append(_path_parameter("namespace", "The namespace of the object."))
    named = [*shared, _path_parameter("name", f"The name of the {kind.kind}.")]
    scope = "Namespaced" if kind.namespaced else ""
    whole = Part("", kind.group, writer.version, kind.kind, kind.verbs)
    collection = f"{writer.definition}List"
    if kind.namespaced and "list" in kind.verbs:
        everywhere = writer.operation("list", "", whole, collection)
        everywhere["operationId"] += "ForAllNamespaces"
        yield f"{root}/{kind.plural}", {"get": everywhere, "parameters": [_query("pretty")]}
    for path, verbs, parameters in ((base, _OF_COLLECTION, shared), (f"{base}/{{name}}", _OF_OBJECT, named)):
        item = {_OPERATIONS[v][0]: writer.operation(v, scope, whole, collection) for v in verbs if v in kind.verbs}
        if item:
            yield path, item | {"parameters": parameters}
    for part in parts(kind, writer.version):
        item = {_OPERATIONS[v][0]: writer.operation(v, scope, part) for v in part.verbs if v in _OPERATIONS}
        yield f"{base}/{{name}}/{part.name}", item | {"parameters": named}
