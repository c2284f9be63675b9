"""`status.conditions`: reading, building, and putting with the rule for `lastTransitionTime`. Pure.

A condition's type is its key in the list. `lastTransitionTime` changes only when `status` does (apimachinery,
pkg/api/meta/conditions.go), so a controller may put the same condition at each pass without making a new status.
Used by every controller and the node agent; the caller gives the time (`lib.clock`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

Object = dict[str, Any]

TRUE: Final = "True"
FALSE: Final = "False"
UNKNOWN: Final = "Unknown"


def find(conditions: Sequence[Object] | None, type_: str) -> Object | None:
    """The condition of a type in a list."""
    return next((c for c in conditions or () if c.get("type") == type_), None)


def of(obj: Mapping[str, Any], type_: str) -> Object | None:
    """The condition of a type in an object's status."""
    return find((obj.get("status") or {}).get("conditions"), type_)


def is_true(obj: Mapping[str, Any], type_: str) -> bool:
    """The condition is in the object's status and True."""
    condition = of(obj, type_)
    return condition is not None and condition.get("status") == TRUE


def build(
    type_: str, status: str | bool, reason: str = "", message: str = "", *, observed_generation: int | None = None
) -> Object:
    """A condition without times; `put` adds lastTransitionTime. Empty reasons and messages are left out."""
    condition: Object = {"type": type_, "status": status if isinstance(status, str) else TRUE if status else FALSE}
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    if observed_generation is not None:
        condition["observedGeneration"] = observed_generation
    return condition


def put(conditions: Sequence[Object] | None, condition: Object, now: str) -> list[Object]:
    """The list with `condition` in the place of that of its type, or at the end. `now` is an RFC 3339 time.

    The old lastTransitionTime stays while the status is the same; the rest of the old condition is replaced.
    """
    old = find(conditions, condition["type"])
    same = old is not None and old.get("status") == condition["status"] and old.get("lastTransitionTime")
    new = condition | {"lastTransitionTime": same or condition.get("lastTransitionTime") or now}
    if old is None:
        return [*(conditions or ()), new]
    return [new if c is old else c for c in conditions or ()]


def drop(conditions: Sequence[Object] | None, *types: str) -> list[Object]:
    """The list without the conditions of these types."""
    return [c for c in conditions or () if c.get("type") not in types]
