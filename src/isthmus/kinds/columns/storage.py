"""Columns of volumes, claims and storage classes. Pure."""

from datetime import datetime
from typing import Any

from isthmus.kinds.columns import text

Object = dict[str, Any]

_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
_DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")


def _access_modes(modes: Any) -> str:
    given = set(modes) if isinstance(modes, list) else set()
    return ",".join(short for mode, short in _MODES.items() if mode in given)


def _phase(value: Object, _now: datetime) -> str:
    if text.get(value, "metadata", "deletionTimestamp"):
        return "Terminating"
    return text.get(value, "status", "phase") or ""


def _storage_class(value: Object, _now: datetime) -> str:
    annotations = text.get(value, "metadata", "annotations") or {}
    return annotations.get(_BETA_CLASS) or text.get(value, "spec", "storageClassName") or ""


def volume_claim(volume: Object, _now: datetime) -> str:
    """CLAIM: "default/data"."""
    ref = text.get(volume, "spec", "claimRef")
    return f"{ref.get('namespace', '')}/{ref.get('name', '')}" if ref else ""


def claim_capacity(claim: Object, _now: datetime) -> str:
    """CAPACITY: of the volume, once there is one."""
    if not text.get(claim, "spec", "volumeName"):
        return ""
    return str(text.get(claim, "status", "capacity", "storage") or 0)


def claim_access_modes(claim: Object, _now: datetime) -> str:
    """ACCESS MODES: of the volume, once there is one."""
    if not text.get(claim, "spec", "volumeName"):
        return ""
    return _access_modes(text.get(claim, "status", "accessModes"))


def class_name(value: Object, _now: datetime) -> str:
    """NAME, marked if the class is the default one."""
    annotations = text.get(value, "metadata", "annotations") or {}
    mark = " (default)" if any(annotations.get(key) == "true" for key in _DEFAULT_CLASS) else ""
    return f"{text.get(value, 'metadata', 'name')}{mark}"


def driver_modes(driver: Object, _now: datetime) -> str:
    """MODES of a CSIDriver."""
    return ",".join(text.get(driver, "spec", "volumeLifecycleModes") or ()) or text.NONE


def driver_token_requests(driver: Object, _now: datetime) -> str:
    """TOKENREQUESTS of a CSIDriver: the audiences."""
    if text.get(driver, "spec", "tokenRequests") is None:
        return text.UNSET
    return ",".join(str(t.get("audience", "")) for t in text.items(driver, "spec", "tokenRequests"))


def _attach_required(driver: Object, _now: datetime) -> bool:
    return text.get(driver, "spec", "attachRequired") is not False


def _attributes_class(value: Object, _now: datetime) -> str:
    return text.get(value, "spec", "volumeAttributesClassName") or text.UNSET


def _volume_mode(value: Object, _now: datetime) -> str:
    return text.get(value, "spec", "volumeMode") or text.UNSET


FUNCTIONS = {
    "persistentvolume.capacity": lambda v, _now: str(text.get(v, "spec", "capacity", "storage") or 0),
    "persistentvolume.access_modes": lambda v, _now: _access_modes(text.get(v, "spec", "accessModes")),
    "persistentvolume.status": _phase,
    "persistentvolume.claim": volume_claim,
    "persistentvolume.storage_class": _storage_class,
    "persistentvolume.attributes_class": _attributes_class,
    "persistentvolume.volume_mode": _volume_mode,
    "persistentvolumeclaim.status": _phase,
    "persistentvolumeclaim.capacity": claim_capacity,
    "persistentvolumeclaim.access_modes": claim_access_modes,
    "persistentvolumeclaim.storage_class": _storage_class,
    "persistentvolumeclaim.attributes_class": _attributes_class,
    "persistentvolumeclaim.volume_mode": _volume_mode,
    "storageclass.name": class_name,
    "storageclass.reclaim_policy": lambda v, _now: v.get("reclaimPolicy") or "Delete",
    "storageclass.binding_mode": lambda v, _now: v.get("volumeBindingMode") or "Immediate",
    "storageclass.expansion": lambda v, _now: bool(v.get("allowVolumeExpansion")),
    "csidriver.attach_required": _attach_required,
    "csidriver.modes": driver_modes,
    "csidriver.token_requests": driver_token_requests,
    "csinode.drivers": lambda v, _now: len(text.items(v, "spec", "drivers")),
    "csistoragecapacity.capacity": lambda v, _now: str(v.get("capacity") or text.UNSET),
}
