"""Fields that a rule of a CRD names and its schema does not have: what CEL's type check finds in kube-apiserver.

The expressions here are compiled without types (`cel`), so a misspelt field would be found only when the rule runs.
Looked at are the chains that begin with `self`, as far as the schema is closed. Pure; called by `celrules`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_without_literals = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'').sub
_chains = re.compile(r"(?<![\w.])self((?:\s*\.\s*[A-Za-z_]\w*)+)(\s*\()?").finditer
# How CEL spells names that are no identifiers (apiserver, pkg/cel/escaping.go).
_ESCAPES = {"underscores": "__", "dot": ".", "dash": "-", "slash": "/"}
_unescape = re.compile(r"__(\w+?)__").sub
_ROOT: Mapping[str, Any] = {
    "apiVersion": {"type": "string"},
    "kind": {"type": "string"},
    "metadata": {"type": "object", "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}}},
}


def find_undefined(text: str, schema: Mapping[str, Any], *, root: bool) -> str | None:
    """The first such field of a rule at `schema`, None if there is none; `root`: the schema is a whole object's."""
    for chain in _names(text):
        node, whole = schema, root
        for name in chain:
            fields = _fields(node, whole=whole)
            if fields is None:
                break
            if (below := fields.get(name)) is None:
                return name
            node, whole = below, False
    return None


def _names(text: str) -> Iterator[list[str]]:
    """The names behind each `self`, without that of a method at the end."""
    for match in _chains(_without_literals("0", text)):
        names = [part.strip() for part in match[1].split(".")[1:]]
        yield [_plain(name) for name in (names[:-1] if match[2] else names)]


def _plain(name: str) -> str:
    return str(_unescape(lambda match: _ESCAPES.get(match[1], match[1]), name))


def _fields(node: Mapping[str, Any], *, whole: bool) -> Mapping[str, Any] | None:
    """The fields of an object that can have no others; None for anything else."""
    open_ = node.get("x-kubernetes-preserve-unknown-fields") or node.get("additionalProperties")
    if open_ or node.get("type") != "object":
        return None
    properties: Mapping[str, Any] = node.get("properties") or {}
    return {**properties, **_ROOT} if whole or node.get("x-kubernetes-embedded-resource") else properties
