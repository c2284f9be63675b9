"""Namespaces: their own finalizers, by which a deletion waits until the namespace is empty, and their phase."""

from typing import Any

from isthmus.engine.registry.write import WriteContext

Object = dict[str, Any]


def prepare(new: Object, old: Object | None, context: WriteContext) -> None:
    """A namespace begins active; its `spec.finalizers` change through `finalize` alone."""
    spec = new.get("spec") or {}
    if old is None:
        new["spec"] = {"finalizers": ["kubernetes"]}
        new["status"] = {"phase": "Active"}
        labels = new["metadata"].get("labels") or {}
        new["metadata"]["labels"] = labels | {"kubernetes.io/metadata.name": new["metadata"]["name"]}
    elif context.subresource != "finalize":
        new["spec"] = old.get("spec", {})
    elif not spec.get("finalizers"):
        new["spec"] = {}


def waits(obj: Object) -> bool:
    """Whether something is still to be emptied."""
    return bool((obj.get("spec") or {}).get("finalizers"))


def mark_terminating(obj: Object) -> None:
    """From now on nothing new is made in it."""
    obj.setdefault("status", {})["phase"] = "Terminating"
