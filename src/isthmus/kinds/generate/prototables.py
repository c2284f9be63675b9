"""The tables of protobuf messages (`tables/protobuf/`, made by `gotypes`) to one JSON document, names made full.

Called by: `__main__`. Read by: `catalogue.protobuf_tables`.
"""

import re
from pathlib import Path
from typing import Any

import yaml

_ROW = re.compile(r"(?P<name>\S+) (?P<open>\[\]|map\[)?(?P<type>[\w.-]+)(?P<close>\]?)(?P<mark>[?!]?)$")


def read(folder: Path) -> dict[str, Any]:
    """`{packages: {apiVersion: package}, messages: {message: {number: [JSON name, type, mark]}}}`.

    Raises ValueError for a row of another form.
    """
    packages: dict[str, str] = {}
    messages: dict[str, dict[str, list[str]]] = {}
    for path in sorted(folder.glob("*.yaml")):
        table = yaml.safe_load(path.read_text())
        package = packages[table["apiVersion"]] = table["package"]
        for name, rows in table["messages"].items():
            messages[f"{package}.{name}"] = {str(number): _row(row, package) for number, row in (rows or {}).items()}
    return {"packages": packages, "messages": messages}


def _row(row: str, package: str) -> list[str]:
    match = _ROW.match(row)
    if match is None:
        raise ValueError(f"{package}: {row!r} is not of the form name type[?!]")
    kind = match["type"]
    if kind[0].isupper():
        kind = f"{package}.{kind}"
    return [match["name"], f"{match['open'] or ''}{kind}{match['close']}", match["mark"]]
