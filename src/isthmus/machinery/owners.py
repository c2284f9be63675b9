"""Owner references: who an object belongs to. Pure."""

from typing import Any

Object = dict[str, Any]


def reference(owner: Object, *, controller: bool = True, block: bool = True) -> Object:
    """The reference that makes an object `owner`'s: by default as its controller."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": controller,
        "blockOwnerDeletion": block,
    }


def controller_of(obj: Object) -> Object | None:
    """The owner reference that is marked as the controller."""
    return next((r for r in obj["metadata"].get("ownerReferences") or () if r.get("controller")), None)


def is_controlled_by(obj: Object, owner: Object) -> bool:
    """Whether `owner`, this very one, is the controller of `obj`."""
    found = controller_of(obj)
    return found is not None and found["uid"] == owner["metadata"]["uid"]
