"""Rows of `tables/*.yaml` to the form of `kind.Kind`, with every default filled in.

Called by: `__main__`. Errors: ValueError names the file and the row.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from isthmus.kinds import kind

Row = dict[str, Any]

_PLAIN = (
    "short_names",
    "categories",
    "status",
    "scale",
    "selectable_fields",
    "strategy",
    "stored_as",
    "conversion",
    "deprecation_warnings",
)
_WITH_DEFAULT = ("kind", "plural", "singular", "list_kind", "namespaced", "verbs", "columns", "subresources", "builtin")
_VERSIONS = ("versions", "storage_version", "deprecated_versions", "definition")
_ROW_KEYS = frozenset(_PLAIN + _WITH_DEFAULT + _VERSIONS)
_SUBRESOURCE = re.compile(r"(?P<name>\S+) (?:(?P<group>[\w.]+)/(?P<version>\w+)/)?(?P<kind>\w+) (?P<verbs>[\w,]+)$")
_COLUMN_TYPES = frozenset({"string", "integer", "number", "boolean", "date"})


def read(folder: Path) -> list[Row]:
    """Every row of the tables in `folder`, as keyword arguments of `kind.Kind` fit for JSON."""
    rows = []
    for path in sorted(folder.glob("*.yaml")):
        table = yaml.safe_load(path.read_text())
        for row in table.pop("kinds"):
            try:
                rows.append(_row(table, row))
            except (KeyError, ValueError) as error:
                raise ValueError(f"{path.name}, {row.get('kind')}: {error!r}") from error
    return rows


def _row(table: Row, row: Row) -> Row:
    if unknown := row.keys() - _ROW_KEYS:
        raise ValueError(f"unknown keys {sorted(unknown)}")
    name: str = row["kind"]
    versions: list[str] = row.get("versions") or table["versions"]
    out = {
        "group": table["group"],
        "versions": versions,
        "storage_version": row.get("storage_version", versions[0]),
        "kind": name,
        "plural": row.get("plural", name.lower() + "s"),
        "singular": row.get("singular", name.lower()),
        "list_kind": row.get("list_kind", name + "List"),
        "namespaced": row.get("namespaced", True),
        "verbs": row.get("verbs", kind.ALL_VERBS),
        "deprecated_versions": row.get("deprecated_versions", table.get("deprecated_versions", [])),
        "builtin": row.get("builtin", table.get("builtin", True)),
        "definition": row.get("definition", f"{table['definitions']}.{name}"),
        "columns": [column(text) for text in row.get("columns", ())],
        "subresources": [_subresource(text) for text in row.get("subresources", ())],
    }
    return out | {key: row[key] for key in _PLAIN if key in row}


def column(text: str) -> Row:
    """A column of "Name | type | source | priority". Raises ValueError."""
    name, type_name, source, *priority = (part.strip() for part in text.split(" | "))
    if type_name not in _COLUMN_TYPES:
        raise ValueError(f"column {name}: unknown type {type_name!r}")
    out: Row = {"name": name, "type": type_name, "path" if source.startswith(".") else "function": source}
    if priority:
        out["priority"] = int(priority[0])
    if name == "Name":
        out["format"] = "name"
    return out


def _subresource(text: str) -> Row:
    match = _SUBRESOURCE.match(text)
    if match is None:
        raise ValueError(f"subresource {text!r} is not of the form name [group/version/]Kind verb,verb")
    out: Row = {"name": match["name"], "kind": match["kind"], "verbs": match["verbs"].split(",")}
    return out | {key: match[key] for key in ("group", "version") if match[key]}
