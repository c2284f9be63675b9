"""Whether a CustomResourceDefinition's schema is structural: every field typed outside of logic, nothing ambiguous.

Two families of rules, with kube-apiserver's wording: what any node may not contain (apiextensions-apiserver,
pkg/apis/apiextensions/validation) and what makes a schema structural (pkg/apiserver/schema/validation.go,
complete.go). CEL rules are checked by whoever compiles them. Public form: `structuralschema.check_structural`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from isthmus.machinery import causes, pruning, schemachecks, schemavalidation
from isthmus.machinery.errors import Cause
from isthmus.machinery.schema import Node

Raw = Mapping[str, Any]

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_LIST_TYPES = ("atomic", "set", "map")
_MAP_TYPES = ("atomic", "granular")
_UNSUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_LOGIC = ("allOf", "anyOf", "oneOf")
# What logic may not say: key -> why. Structure belongs outside.
_FORBIDDEN_IN_LOGIC = {
    "type": "must be empty to be structural",
    "additionalProperties": "must be undefined to be structural",
    "default": "must be undefined to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "nullable": "must be false to be structural",
    "x-kubernetes-preserve-unknown-fields": "must be false to be structural",
    "x-kubernetes-embedded-resource": "must be false to be structural",
    "x-kubernetes-int-or-string": "must be false to be structural",
    "x-kubernetes-list-map-keys": "must be empty to be structural",
    "x-kubernetes-list-type": "must be undefined to be structural",
    "x-kubernetes-map-type": "must be undefined to be structural",
    "x-kubernetes-validations": "must be empty to be structural",
}
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_LEVELS = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}


def check_structural(schema: Raw, path: str = "spec.versions[0].schema.openAPIV3Schema") -> list[Cause]:
    """Everything that keeps `schema` (its JSON types checked already) from being served; sorted by place."""
    found = [*_check(schema, path, "root"), *_missing_in_structure(schema, schema, path, path)]
    return sorted(dict.fromkeys(found), key=lambda c: (c.field, c.message))


def _check(raw: Raw, path: str, level: str) -> Iterator[Cause]:
    yield from _allowed_keys(raw, path)
    yield from _extensions(raw, path)
    yield from _type(raw, path, level)
    yield from _pattern(raw, path)
    yield from _default(raw, path)
    yield from _metadata(raw, path, level)
    for branch, at, skip in _logic(raw, path):
        yield from _check_logic(branch, at, skip)
    for name, child in (raw.get("properties") or {}).items():
        yield from _check(child, f"{path}.properties[{name}]", "field")
    if isinstance(items := raw.get("items"), Mapping):
        yield from _check(items, f"{path}.items", "item")
    if isinstance(additional := raw.get("additionalProperties"), Mapping):
        yield from _check(additional, f"{path}.additionalProperties", "field")


def _allowed_keys(raw: Raw, path: str) -> Iterator[Cause]:
    for key in _UNSUPPORTED:
        if raw.get(key):
            yield causes.forbidden(f"{path}.{key}", f"{key} is not supported")
    if raw.get("uniqueItems"):
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield causes.forbidden(f"{path}.uniqueItems", detail)
    if isinstance(raw.get("items"), list):
        yield causes.forbidden(f"{path}.items", "items must be a schema object and not an array")
    additional = raw.get("additionalProperties")
    if raw.get("properties") and (additional is False or isinstance(additional, Mapping)):
        detail = "additionalProperties and properties are mutual exclusive"
        yield causes.forbidden(f"{path}.additionalProperties", detail)


def _type(raw: Raw, path: str, level: str) -> Iterator[Cause]:
    type_, at = raw.get("type") or "", f"{path}.type"
    embedded = "must be object if x-kubernetes-embedded-resource is true"
    if type_ == "null":
        yield causes.forbidden(at, "type cannot be set to null, use nullable as an alternative")
    elif type_ and type_ not in _TYPES:
        yield causes.not_supported(at, type_, _TYPES)
    if raw.get("x-kubernetes-embedded-resource"):
        if type_ != "object":
            yield causes.invalid(at, type_, embedded) if type_ else causes.required(at, embedded)
        if not raw.get("properties") and not raw.get("x-kubernetes-preserve-unknown-fields"):
            detail = "must not be empty if x-kubernetes-embedded-resource is true without "
            yield causes.required(f"{path}.properties", detail + "x-kubernetes-preserve-unknown-fields")
        if "additionalProperties" in raw:
            detail = "must not be used if x-kubernetes-embedded-resource is set"
            yield causes.forbidden(f"{path}.additionalProperties", detail)
    elif not type_ and not _says_without_type(raw):
        yield causes.required(at, _LEVELS[level])
    if level == "root":
        if type_ not in ("", "object"):
            yield causes.invalid(at, type_, "must be object at the root")
        if "additionalProperties" in raw:
            yield causes.forbidden(f"{path}.additionalProperties", "must not be used at the root")
    if type_ == "array" and not raw.get("items"):
        yield causes.required(f"{path}.items", "must be specified")


def _says_without_type(raw: Raw) -> bool:
    return bool(raw.get("x-kubernetes-int-or-string") or raw.get("x-kubernetes-preserve-unknown-fields"))


def _extensions(raw: Raw, path: str) -> Iterator[Cause]:
    if raw.get("x-kubernetes-preserve-unknown-fields") is False:
        yield causes.invalid(f"{path}.x-kubernetes-preserve-unknown-fields", False, "must be true or undefined")
    if raw.get("x-kubernetes-int-or-string"):
        for key in ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"):
            if raw.get(key):
                yield causes.invalid(f"{path}.{key}", True, "must be false if x-kubernetes-int-or-string is true")
    yield from _collection_type(raw, path, "x-kubernetes-map-type", "object", _MAP_TYPES)
    yield from _collection_type(raw, path, "x-kubernetes-list-type", "array", _LIST_TYPES)
    list_type, keys = raw.get("x-kubernetes-list-type"), raw.get("x-kubernetes-list-map-keys") or []
    if keys and list_type != "map":
        detail = "must be map if x-kubernetes-list-map-keys is non-empty"
        at = f"{path}.x-kubernetes-list-type"
        yield causes.invalid(at, list_type, detail) if list_type else causes.required(at, detail)
    if list_type == "map":
        yield from _keyed_list(raw.get("items"), keys, path)
    if list_type == "set" and isinstance(raw.get("items"), Mapping):
        yield from _set_items(raw["items"], f"{path}.items")


def _collection_type(raw: Raw, path: str, key: str, type_: str, values: Iterable[str]) -> Iterator[Cause]:
    if (value := raw.get(key)) is None:
        return
    detail = f"must be {type_} if {key} is specified"
    if not raw.get("type"):
        yield causes.required(f"{path}.type", detail)
    elif raw["type"] != type_:
        yield causes.invalid(f"{path}.type", raw["type"], detail)
    if value not in values:
        yield causes.not_supported(f"{path}.{key}", value, values)


def _set_items(items: Raw, path: str) -> Iterator[Cause]:
    detail = "must be atomic as item of a list with x-kubernetes-list-type=set"
    if items.get("type") == "array" and items.get("x-kubernetes-list-type", "atomic") != "atomic":
        yield causes.invalid(f"{path}.x-kubernetes-list-type", items["x-kubernetes-list-type"], detail)
    if items.get("type") == "object" and items.get("x-kubernetes-map-type") != "atomic":
        yield causes.invalid(f"{path}.x-kubernetes-map-type", items.get("x-kubernetes-map-type"), detail)


def _keyed_list(items: Any, keys: list[str], path: str) -> Iterator[Cause]:
    at = f"{path}.x-kubernetes-list-map-keys"
    if not keys:
        yield causes.required(at, "must not be empty if x-kubernetes-list-type is map")
    if not isinstance(items, Mapping):
        yield causes.required(f"{path}.items", "must have a schema if x-kubernetes-list-type is map")
        return
    if items.get("type") != "object":
        detail = "must be object if parent array's x-kubernetes-list-type is map"
        yield causes.invalid(f"{path}.items.type", items.get("type", ""), detail)
        return
    if len(set(keys)) < len(keys):
        yield causes.invalid(at, keys, "must not contain duplicate entries")
    properties = items.get("properties") or {}
    for key in keys:
        if key not in properties:
            yield causes.invalid(at, keys, "entries must all be names of item properties")
        elif (type_ := properties[key].get("type")) in ("array", "object"):
            detail = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            yield causes.invalid(f"{path}.items.properties[{key}].type", type_, detail)
        elif key not in (items.get("required") or ()) and "default" not in properties[key]:
            detail = (
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            )
            yield causes.required(f"{path}.items.properties[{key}].default", detail)


def _pattern(raw: Raw, path: str) -> Iterator[Cause]:
    if pattern := raw.get("pattern"):
        try:
            schemachecks.pattern_matcher(pattern)
        except ValueError as error:
            why = str(error).partition("\n")[0]
            yield causes.invalid(f"{path}.pattern", pattern, f"must be a valid regular expression, but isn't: {why}")


def _default(raw: Raw, path: str) -> Iterator[Cause]:
    """A default must be valid under its own schema and name nothing that would be pruned."""
    if "default" not in raw or any(raw.get(key) for key in _UNSUPPORTED):
        return
    at, node = f"{path}.default", Node(raw, {})
    value = pruning.copy(raw["default"])
    if (walk := pruning.PRUNE.walk(node)) is not None and walk(value):
        yield causes.invalid(at, raw["default"], "must not have unknown fields")
        return
    for cause in schemavalidation.explain(schemavalidation.KEYED.check(node)(value))[0]:
        dot = "" if not cause.field or cause.field.startswith("[") else "."
        yield Cause(at + dot + cause.field, cause.message, cause.reason)


def _metadata(raw: Raw, path: str, level: str) -> Iterator[Cause]:
    """The schema may restrict the names of the object, nothing else of what every object has."""
    properties = raw.get("properties") or {}
    if level != "root" and not raw.get("x-kubernetes-embedded-resource"):
        return
    for name, type_ in (("apiVersion", "string"), ("kind", "string"), ("metadata", "object")):
        child, at = properties.get(name), f"{path}.properties[{name}]"
        if child is None:
            continue
        if child.get("type") != type_:
            yield causes.invalid(f"{at}.type", child.get("type", ""), f"must be {type_}")
        if level == "root" and "default" in child:
            yield causes.forbidden(f"{at}.default", f"must not be set in top-level {name}")
        if level == "root" and name == "metadata" and not _restricts_names_only(child):
            detail = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            yield causes.forbidden(at, detail)


def _restricts_names_only(metadata: Raw) -> bool:
    return set(metadata) <= {"type", "properties", "description"} and set(metadata.get("properties") or ()) <= {
        "name",
        "generateName",
    }


def _logic(raw: Raw, path: str) -> Iterator[tuple[Raw, str, bool]]:
    """The branches of logic of a node; the flag: the branch says int-or-string by its own anyOf, which is allowed."""
    for key in _LOGIC:
        branches = raw.get(key) or ()
        if key == "anyOf" and raw.get("x-kubernetes-int-or-string") and list(branches) == _INT_OR_STRING:
            continue
        for index, branch in enumerate(branches):
            excused = key == "allOf" and index == 0 and branch.get("anyOf") == _INT_OR_STRING
            yield branch, f"{path}.{key}[{index}]", excused
    if isinstance(raw.get("not"), Mapping):
        yield raw["not"], f"{path}.not", False


def _check_logic(raw: Raw, path: str, excused: bool) -> Iterator[Cause]:
    for key, why in _FORBIDDEN_IN_LOGIC.items():
        if raw.get(key) not in (None, False, "", []):
            yield causes.forbidden(f"{path}.{key}", why)
    if "metadata" in (raw.get("properties") or {}):
        yield causes.forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context")
    yield from _pattern(raw, path)
    for branch, at, excuse_branch in _logic(raw, path):
        if not (excused and at.startswith(f"{path}.anyOf")):
            yield from _check_logic(branch, at, excuse_branch)
    for name, child in (raw.get("properties") or {}).items():
        yield from _check_logic(child, f"{path}.properties[{name}]", False)
    if isinstance(raw.get("items"), Mapping):
        yield from _check_logic(raw["items"], f"{path}.items", False)


def _missing_in_structure(raw: Raw, structure: Raw, path: str, structure_path: str) -> Iterator[Cause]:
    """Fields and items that logic speaks of must be specified outside of it."""
    for branch, at, _ in _logic(raw, path):
        yield from _missing(branch, structure, at, structure_path)
    for name, child in (raw.get("properties") or {}).items():
        at = f"{path}.properties[{name}]"
        yield from _missing_in_structure(child, child, at, at)
    for key in ("items", "additionalProperties"):
        if isinstance(child := raw.get(key), Mapping):
            yield from _missing_in_structure(child, child, f"{path}.{key}", f"{path}.{key}")


def _missing(branch: Raw, structure: Raw, path: str, structure_path: str) -> Iterator[Cause]:
    properties = structure.get("properties") or {}
    for name, child in (branch.get("properties") or {}).items():
        at, below = f"{structure_path}.properties[{name}]", f"{path}.properties[{name}]"
        if name in properties:
            yield from _missing(child, properties[name], below, at)
        else:
            yield causes.required(at, f"because it is defined in {below}")
    if isinstance(items := branch.get("items"), Mapping):
        if isinstance(structure.get("items"), Mapping):
            yield from _missing(items, structure["items"], f"{path}.items", f"{structure_path}.items")
        else:
            yield causes.required(f"{structure_path}.items", f"because it is defined in {path}.items")
    for nested, at, _ in _logic(branch, path):
        yield from _missing(nested, structure, at, structure_path)
