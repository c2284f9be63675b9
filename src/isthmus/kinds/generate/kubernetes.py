"""Kubernetes' own definitions, from the PyPI package kubernetes-validate (a build dependency), as OpenAPI v3 has them.

The package keeps JSON Schema: every optional type is "x or null", references start with `#/$defs/`, and `apiVersion`
and `kind` are pinned to constants. All of that is undone here. Called by: `__main__`.
"""

import json
from importlib import resources
from typing import Any

Definition = dict[str, Any]

VERSION = "v1.36.0"
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"

# Objects whose fields no schema names.
_OPEN = frozenset({"io.k8s.apimachinery.pkg.runtime.RawExtension", "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1"})
_EXTRA: dict[str, Definition] = {
    QUANTITY: {
        "oneOf": [{"type": "string"}, {"type": "number"}],
        "x-kubernetes-int-or-string": True,
        "description": "A number with a suffix of SI (m, k, M, G, T, P, E) or a binary one (Ki, Mi, Gi, Ti, Pi, Ei).",
    },
    INT_OR_STRING: {
        "oneOf": [{"type": "integer"}, {"type": "string"}],
        "format": "int-or-string",
        "description": "An integer or a string, such as the number or the name of a port.",
    },
    "io.k8s.apimachinery.pkg.apis.meta.v1.Duration": {
        "type": "string",
        "description": 'A length of time as Go writes it: "300ms", "1h30m".',
    },
}


def definitions() -> dict[str, Definition]:
    """Every definition of the pinned Kubernetes version, by its full name."""
    folder = resources.files("kubernetes_validate") / "kubernetes-json-schema" / f"{VERSION}-local"
    raw = json.loads((folder / "_definitions.json").read_text(encoding="utf-8"))["$defs"]
    out = {name: _definition(name, definition) for name, definition in raw.items()}
    return out | _EXTRA


def _definition(name: str, raw: Definition) -> Definition:
    out = _schema(raw)
    if name in _OPEN or not out.keys() & {"type", "$ref", "oneOf", "properties"}:
        out["x-kubernetes-preserve-unknown-fields"] = True
    for pinned in ("apiVersion", "kind"):
        if "x-kubernetes-group-version-kind" in out and pinned in (properties := out.get("properties", {})):
            properties[pinned].pop("enum", None)
    return out


def _schema(raw: Definition) -> Definition:
    """One node: nullable types become plain, references point to the components."""
    out = {key: value for key, value in raw.items() if key != "x-kubernetes-unions"}
    if isinstance(types := out.get("type"), list):
        out["type"] = next(t for t in types if t != "null")
    if "$ref" in out:
        out["$ref"] = out["$ref"].replace("#/$defs/", "#/components/schemas/")
    if "enum" in out:
        out["enum"] = [value for value in out["enum"] if value is not None]
    for key in ("items", "additionalProperties"):
        if isinstance(out.get(key), dict):
            out[key] = _schema(out[key])
    if "properties" in out:
        out["properties"] = {name: _schema(value) for name, value in out["properties"].items()}
    return out
