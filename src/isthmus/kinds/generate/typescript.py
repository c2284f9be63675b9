"""Schema definitions out of the TypeScript models that OpenAPI Generator made of KubeVirt's and CDI's OpenAPI
documents.

The npm package ships bundles only, but its source maps carry every model file. A model file is an interface whose
doc comments hold the original descriptions, and a `ToJSON` function that holds each property's name on the wire.
What the models have lost (quantities look like strings, int64 like number, list types) is put back by `fieldtables`.
Called by: `__main__`. Errors: ValueError where a model is not of the expected form.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

Definition = dict[str, Any]

_COMMENT = r"/\*\*\n(?P<doc>(?:(?!\*/).)*)\*/\n"
_INTERFACE = re.compile(_COMMENT + r"export interface (?P<name>\w+) \{\n(?P<body>.*?)^\}", re.DOTALL | re.MULTILINE)
_FIELD = re.compile(
    _COMMENT + r" *(?:readonly )?'?(?P<name>[\w$-]+)'?(?P<optional>\??): (?P<type>.*?);\n(?= *?/\*\*|\Z)", re.DOTALL
)
_WIRE = re.compile(r"^ *'?(?P<wire>[\w$-]+)'?:\s[^,]*?value\.(?P<name>[\w$]+)", re.MULTILINE)
_MAP = re.compile(r"\{ \[key: string\]: (?P<type>.*?);? \}", re.DOTALL)
_ARRAY = re.compile(r"Array<(?P<type>.*)>$", re.DOTALL)
_TAG = re.compile(r"^@(type|memberof|export|interface|deprecated)\b")

# A field that is only a reference lost its own description to that of the type: by it the type is known.
_TYPE_BY_DESCRIPTION = {
    "Quantity is a fixed-point": "quantity",
    "Time is a wrapper around time.Time": "time",
    "IntOrString is a type": "int-or-string",
    "Duration is a wrapper": "duration",
    "RawExtension is used to hold": "raw",
    "FieldsV1 stores a set of fields": "raw",
}
SCALARS: dict[str, Definition] = {
    "string": {"type": "string"},
    "number": {"type": "integer", "format": "int64"},
    "boolean": {"type": "boolean"},
    "object": {"type": "object"},
    "Date": {"type": "string", "format": "date-time"},
    "any": {"x-kubernetes-preserve-unknown-fields": True},
}


def models(source_map: bytes) -> Iterator[str]:
    """The text of each model file in a bundle's source map."""
    parsed = json.loads(source_map)
    for path, text in zip(parsed["sources"], parsed["sourcesContent"], strict=True):
        if "/models/" in path:
            yield text


def definition(text: str, rename: Callable[[str], str]) -> tuple[str, Definition] | None:
    """The definition in one model file under its new name, or None where the file declares no interface.

    `rename` gives the full name of a definition ("io.kubevirt.api.v1.Disk") for a model's ("V1Disk").
    """
    match = _INTERFACE.search(text)
    if match is None:
        return None
    wire_names = {m["name"]: m["wire"] for m in _WIRE.finditer(text[match.end() :])}
    out: Definition = {"type": "object"}
    if description := _description(match["doc"]):
        out["description"] = description
    properties, required = {}, []
    for field in _FIELD.finditer(match["body"]):
        name = wire_names.get(field["name"], field["name"])
        properties[name] = _field(field["doc"], field["type"], rename)
        if not field["optional"]:
            required.append(name)
    if properties:
        out["properties"] = properties
    if required:
        out["required"] = required
    return rename(match["name"]), out


def _field(doc: str, type_text: str, rename: Callable[[str], str]) -> Definition:
    description = _description(doc)
    for beginning, special in _TYPE_BY_DESCRIPTION.items():
        if description.startswith(beginning):
            return _schema(type_text, rename, special)
    out = _schema(type_text, rename)
    if description:
        out["description"] = description
    return out


def _schema(type_text: str, rename: Callable[[str], str], special: str = "") -> Definition:
    type_text = " ".join(type_text.split())
    if match := _ARRAY.match(type_text):
        return {"type": "array", "items": _schema(match["type"], rename, special)}
    if match := _MAP.match(type_text):
        return {"type": "object", "additionalProperties": _schema(match["type"], rename, special)}
    if special:
        return reference(SPECIAL[special])
    if type_text in SCALARS:
        return dict(SCALARS[type_text])
    if not re.fullmatch(r"\w+", type_text):
        raise ValueError(f"a TypeScript type of an unexpected form: {type_text!r}")
    if type_text.endswith("Enum"):
        return {"type": "string"}
    return reference(rename(type_text))


SPECIAL = {
    "quantity": "io.k8s.apimachinery.pkg.api.resource.Quantity",
    "time": "io.k8s.apimachinery.pkg.apis.meta.v1.Time",
    "microtime": "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
    "int-or-string": "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
    "duration": "io.k8s.apimachinery.pkg.apis.meta.v1.Duration",
    "raw": "io.k8s.apimachinery.pkg.runtime.RawExtension",
}


def reference(name: str) -> Definition:
    """A `$ref` to a definition of ours."""
    return {"$ref": f"#/components/schemas/{name}"}


def _description(doc: str) -> str:
    lines = [line.strip().removeprefix("*").strip() for line in doc.splitlines()]
    kept: list[str] = []
    for line in lines:
        if _TAG.match(line):
            break
        kept.append(line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()
