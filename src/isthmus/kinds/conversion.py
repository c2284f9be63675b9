"""Kinds whose versions, or whose twin in another group, differ in more than apiVersion. Pure.

A kind names its entry of CONVERSIONS in `Kind.conversion`. Objects lie in the store in one form (`kind.store_key`,
`kind.storage_version`): `to_stored` makes it of what a client sent, `from_stored` makes what a client asked for.
Called by: the server on the way in and out, for the few kinds that have a `conversion`.
"""

from collections.abc import Callable
from typing import Any

from isthmus.kinds.kind import Kind

Object = dict[str, Any]
Convert = Callable[[Object, str], Object]  # (object, version of the form that is not the stored one)

# events.k8s.io/v1 on the left, core/v1 on the right (pkg/apis/events/v1/conversion.go)
_EVENT_FIELDS = {
    "regarding": "involvedObject",
    "note": "message",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
    "reportingController": "reportingComponent",
}
_EVENT_FIELDS_BACK = {core: new for new, core in _EVENT_FIELDS.items()}


def _rename(value: Object, names: dict[str, str], api_version: str) -> Object:
    return {names.get(key, key): item for key, item in value.items()} | {"apiVersion": api_version}


def _event_to_stored(value: Object, _version: str) -> Object:
    return _rename(value, _EVENT_FIELDS, "v1")


def _event_from_stored(value: Object, version: str) -> Object:
    return _rename(value, _EVENT_FIELDS_BACK, f"events.k8s.io/{version}")


def _autoscaler_to_stored(value: Object, version: str) -> Object:
    """autoscaling/v1 to v2: the one target of v1 is a metric on CPU, before those kept in annotations."""
    if version == "v2":
        return value
    spec, status = dict(value.get("spec") or {}), dict(value.get("status") or {})
    target = spec.pop("targetCPUUtilizationPercentage", None)
    current = status.pop("currentCPUUtilizationPercentage", None)
    if target is not None:
        spec["metrics"] = [_cpu_metric({"target": {"type": "Utilization", "averageUtilization": target}})]
    if current is not None:
        status["currentMetrics"] = [_cpu_metric({"current": {"averageUtilization": current}})]
    out = {**value, "apiVersion": "autoscaling/v2", "spec": spec}
    return out | ({"status": status} if "status" in value else {})


def _cpu_metric(source: Object) -> Object:
    return {"type": "Resource", "resource": {"name": "cpu", **source}}


def _autoscaler_from_stored(value: Object, version: str) -> Object:
    """autoscaling/v2 to v1: what v1 has no field for is not shown (v1 keeps it in annotations)."""
    if version == "v2":
        return value
    spec, status = dict(value.get("spec") or {}), dict(value.get("status") or {})
    spec.pop("behavior", None)
    target = _cpu_utilization(spec.pop("metrics", None) or (), "target")
    current = _cpu_utilization(status.pop("currentMetrics", None) or (), "current")
    status.pop("conditions", None)
    spec |= {} if target is None else {"targetCPUUtilizationPercentage": target}
    status |= {} if current is None else {"currentCPUUtilizationPercentage": current}
    out = {**value, "apiVersion": "autoscaling/v1", "spec": spec}
    return out | ({"status": status} if "status" in value else {})


def _cpu_utilization(metrics: Any, part: str) -> int | None:
    for metric in metrics:
        resource = metric.get("resource") or {}
        if metric.get("type") == "Resource" and resource.get("name") == "cpu":
            found: int | None = (resource.get(part) or {}).get("averageUtilization")
            return found
    return None


CONVERSIONS: dict[str, tuple[Convert, Convert]] = {
    "event": (_event_to_stored, _event_from_stored),
    "horizontalpodautoscaler": (_autoscaler_to_stored, _autoscaler_from_stored),
}


def to_stored(kind: Kind, value: Object, version: str) -> Object:
    """The form in the store of an object that came in `version` of `kind`. The argument is not changed."""
    if kind.conversion:
        return CONVERSIONS[kind.conversion][0](value, version)
    return {**value, "apiVersion": kind.api_version()}


def from_stored(kind: Kind, value: Object, version: str) -> Object:
    """A stored object as `version` of `kind` shows it. The argument is not changed."""
    if kind.conversion:
        return CONVERSIONS[kind.conversion][1](value, version)
    return {**value, "apiVersion": kind.api_version(version)}
