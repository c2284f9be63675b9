"""Every kind that is served, and its schema: the built-in ones from `generated/`, a user's from its CRD.

Called by: the registry (kinds, schema nodes), the server's OpenAPI documents, tests. Calls: `definitions`.
"""

import hashlib
import re
from collections.abc import Iterable
from functools import cache
from typing import Any

import orjson

from isthmus.codec import protobuf
from isthmus.kinds import definitions as stored
from isthmus.kinds.kind import Column, Kind, Scale, Subresource
from isthmus.machinery import openapi, schema

Object = dict[str, Any]

DEFINITIONS = stored.Definitions()
OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
# What every served version's document carries beside its kinds: bodies and answers that any resource may have.
_COMMON = tuple(
    f"io.k8s.apimachinery.pkg.apis.meta.v1.{name}" for name in ("DeleteOptions", "Patch", "Status", "WatchEvent")
)
_TUPLES = ("versions", "verbs", "short_names", "categories", "selectable_fields", "deprecated_versions")
_KUBE_VERSION = re.compile(r"v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?")


@cache
def builtin_kinds() -> tuple[Kind, ...]:
    """All kinds of the tables. Raises definitions.NotGeneratedError in a checkout that was not set up."""
    rows: list[Object] = orjson.loads(stored.read("kinds.json"))
    return tuple(_kind(row) for row in rows)


def _kind(row: Object) -> Kind:
    row["columns"] = tuple(Column(**column) for column in row["columns"])
    row["subresources"] = tuple(Subresource(**{**s, "verbs": tuple(s["verbs"])}) for s in row["subresources"])
    if "scale" in row:
        row["scale"] = Scale(**row["scale"])
    for key in _TUPLES:
        if key in row:
            row[key] = tuple(row[key])
    return Kind(**row)


def kind_from_crd(crd: Object) -> Kind:
    """The kind that a CustomResourceDefinition (apiextensions.k8s.io/v1, already validated) declares.

    Status, scale and selectable fields may differ by version there; those of the storage version are taken. Schemas
    and columns are by version. Names are those that were asked for in the spec.
    """
    spec, names = crd["spec"], crd["spec"]["names"]
    served = [version for version in spec["versions"] if version.get("served")]
    storage = next(version for version in spec["versions"] if version.get("storage"))
    subresources = storage.get("subresources") or {}
    return Kind(
        group=spec["group"],
        versions=tuple(sorted((version["name"] for version in served), key=_version_order)),
        storage_version=storage["name"],
        kind=names["kind"],
        plural=names["plural"],
        singular=names.get("singular") or names["kind"].lower(),
        list_kind=names.get("listKind") or names["kind"] + "List",
        namespaced=spec["scope"] == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        status="status" in subresources,
        scale=_crd_scale(subresources.get("scale")),
        columns=_crd_columns(storage),
        version_columns={version["name"]: _crd_columns(version) for version in served},
        selectable_fields=tuple(f["jsonPath"].removeprefix(".") for f in storage.get("selectableFields") or ()),
        deprecated_versions=tuple(version["name"] for version in served if version.get("deprecated")),
        deprecation_warnings={v["name"]: v["deprecationWarning"] for v in served if v.get("deprecationWarning")},
        builtin=False,
        crd_schemas={v["name"]: (v.get("schema") or {}).get("openAPIV3Schema") or {} for v in spec["versions"]},
    )


def _version_order(version: str) -> tuple[int, int, int, str]:
    """Kubernetes' version priority: GA before beta before alpha, the higher number first, any other name last."""
    match = _KUBE_VERSION.fullmatch(version)
    if match is None:
        return (3, 0, 0, version)
    stage = {"": 0, "beta": 1, "alpha": 2}[match[2] or ""]
    return (stage, -int(match[1]), -int(match[3] or 0), version)


def _crd_scale(raw: Object | None) -> Scale | None:
    if raw is None:
        return None
    return Scale(raw["specReplicasPath"], raw["statusReplicasPath"], raw.get("labelSelectorPath") or "")


def _crd_columns(version: Object) -> tuple[Column, ...]:
    return tuple(_crd_column(c) for c in version.get("additionalPrinterColumns") or ())


def _crd_column(raw: Object) -> Column:
    return Column(
        name=raw["name"],
        type=raw["type"],
        path=raw["jsonPath"],
        format=raw.get("format", ""),
        priority=raw.get("priority", 0),
        description=raw.get("description", ""),
    )


def schema_node(kind: Kind, version: str) -> schema.Node:
    """The schema of a whole object of `kind`. Built-in ones are shared and kept; of a CRD, keep the node yourself."""
    if kind.definition:
        return _definition_node(kind.definition_name(version))
    return schema.Node(crd_root(kind.crd_schemas[version]), DEFINITIONS)


@cache
def _definition_node(name: str) -> schema.Node:
    return schema.Node(DEFINITIONS[name], DEFINITIONS)


def crd_root(raw: Object) -> Object:
    """A CRD's schema with what every object has: apiVersion, kind and the whole of metadata."""
    metadata: Object = {"$ref": f"#/components/schemas/{OBJECT_META}"}
    properties = dict(raw.get("properties") or {})
    properties |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": metadata}
    return {**raw, "type": "object", "properties": properties}


def definitions(group: str, version: str) -> dict[str, Object]:
    """`described_definitions` of the built-in kinds of one group version."""
    kinds = [kind for kind in builtin_kinds() if kind.group == group and version in kind.versions]
    return described_definitions(kinds, version)


def described_definitions(kinds: Iterable[Kind], version: str) -> dict[str, Object]:
    """`components.schemas` of an OpenAPI document: of the kinds given, with descriptions, references closed.

    Built anew at each call (10 ms, megabytes for core/v1): keep the encoded document, not this.
    """
    names, own = list(_COMMON), dict[str, Object]()
    for kind in kinds:
        if kind.definition:
            name = kind.definition_name(version)
            names += [n for n in (name, f"{name}List") if n in DEFINITIONS]
            names += [n for s in kind.subresources if (n := _subresource_definition(kind, s)) in DEFINITIONS]
        else:
            own |= openapi.custom_definitions(kind, version)
    names += [name for schema_ in own.values() for name in stored.references(schema_) if name not in own]
    return DEFINITIONS.described(names) | own


def _subresource_definition(kind: Kind, subresource: Subresource) -> str:
    """The definition of a subresource's body: Eviction, TokenRequest, Scale."""
    group, version = subresource.group or kind.group, subresource.version or kind.storage_version
    return definition_of(f"{group}/{version}" if group else version, subresource.kind) or ""


def definition_of(api_version: str, kind: str) -> str | None:
    """The definition of anything that Kubernetes has in a body, kind or not: "policy/v1", "Eviction"."""
    package = protobuf_tables().packages.get(api_version)
    for candidate in (f"{package}.{kind}", f"io.k8s.apimachinery.pkg.apis.meta.v1.{kind}"):
        if candidate in DEFINITIONS:
            return candidate
    return None


def fingerprint() -> str:
    """Changes whenever anything that is generated does: a salt for hashes of documents made of it."""
    return _fingerprint()


@cache
def _fingerprint() -> str:
    return hashlib.sha256(stored.read("index.json") + stored.read("kinds.json")).hexdigest()[:16]


@cache
def own_crds() -> tuple[Object, ...]:
    """Our own CustomResourceDefinitions (`crds/*.yaml`), to be installed at every start. Copy before changing one."""
    return tuple(orjson.loads(stored.read("crds.json")))


@cache
def protobuf_tables() -> "ProtobufTables":
    """What `codec.protobuf` must know. Decoded when the first protobuf body comes, and kept (1 MB)."""
    return ProtobufTables(orjson.loads(stored.read("protobuf.json")))


class ProtobufTables:
    """`codec.protobuf.Tables` of the built-in kinds."""

    def __init__(self, document: Object) -> None:
        self.packages: dict[str, str] = document["packages"]
        self._messages: dict[str, dict[str, list[str]]] = document["messages"]
        self._decoded: dict[str, dict[int, protobuf.Field]] = {}

    def find(self, api_version: str, kind: str) -> str | None:
        """The message of a kind: of its group version, or of meta/v1 (DeleteOptions has each group's apiVersion)."""
        for package in (self.packages.get(api_version), self.packages["meta.k8s.io/v1"]):
            if f"{package}.{kind}" in self._messages:
                return f"{package}.{kind}"
        return None

    def message(self, name: str) -> dict[int, protobuf.Field]:
        """The fields of a message by number. Raises KeyError."""
        found = self._decoded.get(name)
        if found is None:
            rows = self._messages[name]
            found = self._decoded[name] = {int(number): protobuf.Field(*row) for number, row in rows.items()}
        return found
