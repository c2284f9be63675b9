"""metav1.Table: what `kubectl get` prints, and the text of a duration. The cells are made elsewhere (kinds.columns).

Sources: apimachinery, pkg/apis/meta/v1/types.go (Table), pkg/util/duration/duration.go; apiserver,
pkg/endpoints/handlers/response.go. Called by the server's representation of objects.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from isthmus.machinery import errors

Object = dict[str, Any]
INCLUDE = ("Metadata", "None", "Object")
"""What `?includeObject=` may be; Metadata if it is missing."""

_SECONDS_TO, _MINUTES_AND_SECONDS_TO, _MINUTES_TO = 120, 10, 180
_HOURS_AND_MINUTES_TO, _HOURS_TO, _DAYS_AND_HOURS_TO, _DAYS_TO, _YEARS_AND_DAYS_TO = (
    8,
    48,
    24 * 8,
    24 * 365 * 2,
    24 * 365 * 8,
)
_CLOCK_SKEW = -1


def check_include(include_object: str) -> str:
    """`?includeObject=`, Metadata by default. Raises StatusError 400 for anything but None, Metadata and Object."""
    if include_object and include_object not in INCLUDE:
        listed = ", ".join(f'"{name}"' for name in INCLUDE)
        raise errors.bad_request(f'includeObject: Unsupported value: "{include_object}": supported values: {listed}')
    return include_object or "Metadata"


def build(
    definitions: Sequence[Object] | None, rows: Iterable[Object], metadata: Object, version: str = "v1"
) -> Object:
    """A Table of `meta.k8s.io/<version>` with rows of `cells` and `object`; `metadata` is its ListMeta.

    `definitions` are None in the events of a watch after the first.
    """
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": metadata,
        "columnDefinitions": definitions,
        "rows": list(rows),
    }


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
