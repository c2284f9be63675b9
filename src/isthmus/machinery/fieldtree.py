"""Dotted paths into JSON objects: "domain.cpu.sockets". Pure."""

from typing import Any


def at(tree: Any, path: str) -> Any:
    """The value at `path`, None where there is nothing."""
    for part in path.split("."):
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree


def put(tree: dict[str, Any], path: str, value: Any) -> None:
    """Write `value` at `path`, in place; objects on the way are made."""
    *parents, last = path.split(".")
    for part in parents:
        tree = tree.setdefault(part, {})
    tree[last] = value


def given(value: Any) -> bool:
    """Whether a field says something: Go's zero values do not."""
    return value not in (None, False, "", 0, [], {})
