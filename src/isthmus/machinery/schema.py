"""A schema as the merge, validation and pruning code reads it: an OpenAPI v3 node with its references resolved.

Nodes resolve their children when first asked, so a large definition costs only what is visited, and a recursive one
(JSONSchemaProps) is no special case. Built-in definitions and a CRD's openAPIV3Schema both become `Node`s.
Read by: strategicpatch, managedfields, structuralschema, openapi.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

Raw = Mapping[str, Any]


class Node:
    """One place of a schema. Attributes are named as in OpenAPI, extensions without their x-kubernetes- prefix."""

    def __init__(self, raw: Raw, definitions: Mapping[str, Raw]) -> None:
        self._definitions = definitions
        self._properties: dict[str, Node] = {}
        self.raw = self._resolve(raw)

    def _resolve(self, raw: Raw) -> Raw:
        """Follow `$ref` (and the `allOf` of one reference by which OpenAPI v3 adds a default to it)."""
        merged = dict(raw)
        while True:
            ref = merged.pop("$ref", None)
            if ref is None and len(parts := merged.get("allOf", ())) == 1 and "$ref" in parts[0]:
                merged.pop("allOf")
                ref = parts[0]["$ref"]
            if ref is None:
                return merged
            merged = {**self._definitions[ref.rsplit("/", 1)[-1]], **merged}

    @cached_property
    def type(self) -> str:
        """object, array, string, integer, number, boolean, or "" where anything goes."""
        kind = self.raw.get("type", "")
        if isinstance(kind, list):
            kind = next((k for k in kind if k != "null"), "")
        return kind or ("object" if "properties" in self.raw else "")

    def property(self, name: str) -> "Node | None":
        """The schema of a field: a named property, else what additionalProperties says, else None (unknown)."""
        if (known := self._properties.get(name)) is not None:
            return known
        if name not in self.property_names:
            return self.additional
        node = self._properties[name] = Node(self.raw["properties"][name], self._definitions)
        return node

    @cached_property
    def property_names(self) -> frozenset[str]:
        """The named properties."""
        return frozenset(self.raw.get("properties", ()))

    @cached_property
    def additional(self) -> "Node | None":
        """The schema of a map's values; None if the object is no map."""
        raw = self.raw.get("additionalProperties")
        return Node(raw, self._definitions) if isinstance(raw, Mapping) else (ANYTHING if raw is True else None)

    @cached_property
    def items(self) -> "Node | None":
        """The schema of a list's items."""
        raw = self.raw.get("items")
        return Node(raw, self._definitions) if isinstance(raw, Mapping) else None

    @cached_property
    def list_type(self) -> str:
        """atomic (the default), set or map: how server-side apply merges a list.

        A list that says nothing but has the patch strategy `merge` counts as map or set (kube-openapi, schemaconv).
        """
        if (said := self.raw.get("x-kubernetes-list-type")) is not None:
            return str(said)
        if "merge" in self.patch_strategies:
            return "map" if self.patch_merge_key else "set"
        return "atomic"

    @cached_property
    def list_map_keys(self) -> tuple[str, ...]:
        """The fields that name an item of a list of type map."""
        said = self.raw.get("x-kubernetes-list-map-keys")
        return tuple(said) if said else ((self.patch_merge_key,) if self.patch_merge_key else ())

    @cached_property
    def list_map_key_defaults(self) -> tuple[tuple[str, Any], ...]:
        """The same keys in sorted order, each with its default in the items' schema (None: no default)."""
        fields = {key: self.items.property(key) if self.items else None for key in sorted(self.list_map_keys)}
        return tuple((key, node.default if node else None) for key, node in fields.items())

    @cached_property
    def map_type(self) -> str:
        """granular (the default) or atomic: how server-side apply merges an object."""
        return str(self.raw.get("x-kubernetes-map-type", "granular"))

    @cached_property
    def patch_strategies(self) -> frozenset[str]:
        """Of strategic merge patch: merge, replace, retainKeys."""
        return frozenset(filter(None, str(self.raw.get("x-kubernetes-patch-strategy", "")).split(",")))

    @cached_property
    def patch_merge_key(self) -> str:
        """The field by which strategic merge patch matches the items of a list; "" for a list of scalars."""
        return str(self.raw.get("x-kubernetes-patch-merge-key", ""))

    @cached_property
    def preserve_unknown_fields(self) -> bool:
        """Fields that the schema does not name are kept here and below."""
        return bool(self.raw.get("x-kubernetes-preserve-unknown-fields"))

    @cached_property
    def embedded_resource(self) -> bool:
        """A whole Kubernetes object stands here: its apiVersion, kind and metadata are kept."""
        return bool(self.raw.get("x-kubernetes-embedded-resource"))

    @cached_property
    def int_or_string(self) -> bool:
        """An integer or a string (IntOrString, Quantity)."""
        return bool(self.raw.get("x-kubernetes-int-or-string")) or self.raw.get("format") == "int-or-string"

    @cached_property
    def nullable(self) -> bool:
        """An explicit null is a value here."""
        return bool(self.raw.get("nullable"))

    @cached_property
    def has_default(self) -> bool:
        """There is a default, which may be any value."""
        return "default" in self.raw

    @cached_property
    def default(self) -> Any:
        """The default; copy it before use."""
        return self.raw.get("default")


ANYTHING = Node({"x-kubernetes-preserve-unknown-fields": True}, {})
