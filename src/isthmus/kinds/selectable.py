"""The values by which objects of a kind can be selected (`?fieldSelector=`), beyond name and namespace. Pure.

A field's name is nearly always its path; the exceptions are Kubernetes' own (pkg/apis/core/v1/conversion.go and the
registries' GetAttrs). Called by: the registry's selections.
"""

from collections.abc import Callable
from typing import Any

from isthmus.kinds import conversion
from isthmus.kinds.kind import Kind
from isthmus.machinery import jsonpath

Object = dict[str, Any]


def _event_source(event: Object) -> Any:
    return (event.get("source") or {}).get("component") or event.get("reportingComponent")


_SPECIAL: dict[tuple[str, str], Callable[[Object], Any]] = {
    ("events", "source"): _event_source,
    ("namespaces", "name"): lambda value: value["metadata"].get("name"),
    ("persistentvolumes", "name"): lambda value: value["metadata"].get("name"),
    ("persistentvolumeclaims", "name"): lambda value: value["metadata"].get("name"),
    ("jobs.batch", "status.successful"): lambda value: (value.get("status") or {}).get("succeeded") or 0,
    ("replicasets.apps", "status.replicas"): lambda value: (value.get("status") or {}).get("replicas") or 0,
    ("replicationcontrollers", "status.replicas"): lambda value: (value.get("status") or {}).get("replicas") or 0,
    ("nodes", "spec.unschedulable"): lambda value: bool((value.get("spec") or {}).get("unschedulable")),
    ("pods", "spec.hostNetwork"): lambda value: bool((value.get("spec") or {}).get("hostNetwork")),
    ("pods", "status.podIPs"): lambda value: ",".join(
        str(a.get("ip", "")) for a in (value.get("status") or {}).get("podIPs") or ()
    ),
}


def values(kind: Kind, value: Object) -> dict[str, str]:
    """What each selectable field of the kind holds, as text; "" where there is nothing. `value` is the stored form."""
    if kind.conversion:
        value = conversion.from_stored(kind, value, kind.versions[0])
    return {name: _text(_find(kind, name, value)) for name in kind.selectable_fields}


def _find(kind: Kind, name: str, value: Object) -> Any:
    special = _SPECIAL.get((kind.resource, name))
    return special(value) if special else jsonpath.compile(name).first(value)


def _text(found: Any) -> str:
    if found is None or isinstance(found, dict | list):
        return ""
    return str(found).lower() if isinstance(found, bool) else str(found)
