"""metav1.Table: what `kubectl get` prints, and the text of an age. The cells are made elsewhere (kinds.columns).

Sources: apimachinery, pkg/apis/meta/v1/types.go (Table), pkg/util/duration/duration.go; apiserver,
pkg/endpoints/handlers/response.go. Called by the server's representation of objects.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from isthmus.machinery import errors
from isthmus.machinery.resourcetype import Column

Object = dict[str, Any]
Row = tuple[Sequence[Any], Object]
"""The cells of an object, NAME first, and the object."""

INCLUDE = ("Metadata", "None", "Object")
"""What `?includeObject=` may be; Metadata if it is missing."""

_NAME = "Name must be unique within a namespace; it is what the object is found by. It cannot be changed."
_AGE = "CreationTimestamp is the time at which the server created the object, in UTC."
_SECONDS_TO, _MINUTES_AND_SECONDS_TO, _MINUTES_TO = 120, 10, 180
_HOURS_AND_MINUTES_TO, _HOURS_TO, _DAYS_AND_HOURS_TO, _DAYS_TO, _YEARS_AND_DAYS_TO = (
    8,
    48,
    24 * 8,
    24 * 365 * 2,
    24 * 365 * 8,
)
_CLOCK_SKEW = -1


def column_definitions(columns: Sequence[Column]) -> list[Object]:
    """NAME and the columns; only AGE after NAME for a kind that has none of its own."""
    out = [_definition("Name", "string", "name", 0, _NAME)]
    if not columns:
        return [*out, _definition("Age", "date", "", 0, _AGE)]
    return out + [_definition(c.name, c.type, c.format, c.priority, c.description) for c in columns]


def _definition(name: str, type_: str, format_: str, priority: int, description: str) -> Object:
    return {"name": name, "type": type_, "format": format_, "description": description, "priority": priority}


def build(
    definitions: Sequence[Object] | None,
    rows: Iterable[Row],
    metadata: Object,
    version: str = "v1",
    include_object: str = "Metadata",
) -> Object:
    """A Table of `meta.k8s.io/<version>`; `metadata` is its ListMeta.

    `definitions` are None in the events of a watch after the first. Raises StatusError 400 for another
    `include_object` than None, Metadata and Object.
    """
    if include_object not in INCLUDE:
        listed = ", ".join(f'"{name}"' for name in INCLUDE)
        raise errors.bad_request(f'includeObject: Unsupported value: "{include_object}": supported values: {listed}')
    api_version = f"meta.k8s.io/{version}"
    return {
        "kind": "Table",
        "apiVersion": api_version,
        "metadata": metadata,
        "columnDefinitions": definitions,
        "rows": [{"cells": cells, "object": _shown(obj, api_version, include_object)} for cells, obj in rows],
    }


def _shown(obj: Object, api_version: str, include: str) -> Object | None:
    if include == "Metadata":
        return {"kind": "PartialObjectMetadata", "apiVersion": api_version, "metadata": obj.get("metadata", {})}
    return obj if include == "Object" else None


def human_duration(seconds: float) -> str:
    """A length of time as kubectl prints it: `45s`, `2m5s`, `3h10m`, `2d4h`, `400d`, `2y30d`.

    A little before now is 0s, because clocks differ; more is `<invalid>`.
    """
    whole = int(seconds)
    if whole < _CLOCK_SKEW:
        return "<invalid>"
    if whole < _SECONDS_TO:
        return f"{max(whole, 0)}s"
    minutes, hours = whole // 60, whole // 3600
    if minutes < _MINUTES_AND_SECONDS_TO:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < _MINUTES_TO:
        return f"{minutes}m"
    if hours < _HOURS_AND_MINUTES_TO:
        return _two(hours, "h", minutes % 60, "m")
    if hours < _HOURS_TO:
        return f"{hours}h"
    if hours < _DAYS_AND_HOURS_TO:
        return _two(hours // 24, "d", hours % 24, "h")
    if hours < _DAYS_TO:
        return f"{hours // 24}d"
    if hours < _YEARS_AND_DAYS_TO:
        return _two(hours // 24 // 365, "y", hours // 24 % 365, "d")
    return f"{hours // 24 // 365}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"


def age(timestamp: str | None, now: datetime | None = None) -> str:
    """The time since an RFC 3339 timestamp as text; `<unknown>` without one or if it is none."""
    if not timestamp:
        return "<unknown>"
    try:
        then = datetime.fromisoformat(timestamp)
    except ValueError:
        return "<unknown>"
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return human_duration(((now or datetime.now(UTC)) - then).total_seconds())
