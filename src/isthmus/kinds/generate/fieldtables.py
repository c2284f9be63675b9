"""Fields and types that the schema packages lack, from `tables/fields/*.yaml`, laid over the definitions.

A table is `{package, definitions: {Type: {description?, fields: {name: field}}}}`. A field is "type | description",
where a trailing "!" means required, or a mapping with `type`, `description` and any OpenAPI key. A type is a scalar,
`[]type`, `map[type]`, the short name of a definition of the package ("v1.Disk") or a full one. `list: atomic | set |
map(key, ...)` stands for the x-kubernetes-list-* keys. Called by: `__main__`. Errors: ValueError names the table and
the field.
"""

import re
from typing import Any

from isthmus.kinds.generate import typescript

Definition = dict[str, Any]

_SCALARS: dict[str, Definition] = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "number": {"type": "number"},
    "bytes": {"type": "string", "format": "byte"},
    "object": {"type": "object"},
    "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    "any": {"x-kubernetes-preserve-unknown-fields": True},
}
_LIST = re.compile(r"(atomic|set|map)(?:\(([^)]*)\))?$")


def apply(table: dict[str, Any], definitions: dict[str, Definition]) -> None:
    """Lay one table over `definitions`, in place: fields are added or overwritten key by key, nothing is removed."""
    package = table["package"]
    for short, row in (table.get("definitions") or {}).items():
        target = definitions.setdefault(f"{package}.{short}", {"type": "object"})
        for key, value in row.items():
            if key != "fields":
                target[key] = value
        for name, field in (row.get("fields") or {}).items():
            try:
                _lay_field(target, name, field, package)
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{package}.{short}.{name}: {error}") from error


def _lay_field(target: Definition, name: str, field: Any, package: str) -> None:
    row = _row(field)
    type_text = str(row.pop("type", ""))
    old = target.setdefault("properties", {}).get(name, {})
    new = dict(old)
    if type_text:
        if type_text.endswith("!"):
            required = target.setdefault("required", [])
            required.extend([] if name in required else [name])
        parsed = schema(type_text.rstrip("!"), package)
        new = parsed | {key: value for key, value in old.items() if key == "description"}
    if "list" in row:
        new |= _list(row.pop("list"))
    if row.pop("optional", False) and name in target.get("required", ()):
        target["required"].remove(name)
    target["properties"][name] = new | row


def _row(field: Any) -> dict[str, Any]:
    if isinstance(field, dict):
        return dict(field)
    type_text, _, description = str(field).partition(" | ")
    return {"type": type_text.strip()} | ({"description": description.strip()} if description else {})


def _list(text: str) -> Definition:
    match = _LIST.match(text)
    if match is None:
        raise ValueError(f"list: {text!r} is none of atomic, set, map(key, ...)")
    out: Definition = {"x-kubernetes-list-type": match[1]}
    if match[2]:
        out["x-kubernetes-list-map-keys"] = [key.strip() for key in match[2].split(",")]
    return out


def schema(text: str, package: str) -> Definition:
    """The schema that a type of a table stands for."""
    if text.startswith("[]"):
        return {"type": "array", "items": schema(text[2:], package)}
    if text.startswith("map[") and text.endswith("]"):
        return {"type": "object", "additionalProperties": schema(text[4:-1], package)}
    if text in _SCALARS:
        return dict(_SCALARS[text])
    if text in typescript.SPECIAL:
        return typescript.reference(typescript.SPECIAL[text])
    if re.fullmatch(r"io\.[\w.-]+\.\w+", text):
        return typescript.reference(text)
    if re.fullmatch(r"(\w+\.)*[A-Z]\w*", text):
        return typescript.reference(f"{package}.{text}")
    raise ValueError(f"unknown type {text!r}")
