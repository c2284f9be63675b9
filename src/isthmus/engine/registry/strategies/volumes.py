"""PersistentVolumes and the claims on them: defaults, and what stays as it was created."""

from typing import Any

from isthmus.engine.registry.strategies import immutable
from isthmus.engine.registry.write import WriteContext
from isthmus.machinery import causes
from isthmus.machinery.errors import Cause

Object = dict[str, Any]
CLAIM_FIXED = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
)
VOLUME_SOURCES = ("csi", "hostPath", "iscsi", "fc", "local", "nfs", "rbd", "cephfs")


def prepare_claim(new: Object, old: Object | None, _context: WriteContext) -> None:
    """A new claim waits for its volume."""
    if old is None:
        new["status"] = {"phase": "Pending"}
        new["spec"] = {"volumeMode": "Filesystem", **(new.get("spec") or {})}


def validate_claim(new: Object, old: Object | None, context: WriteContext) -> list[Cause]:
    """What a claim must ask for, and that it asks for nothing else afterwards but for more."""
    spec = new["spec"]
    if old is None:
        missing = [] if spec.get("accessModes") else ["spec.accessModes"]
        asked = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
        missing += [] if asked else ["spec.resources[storage]"]
        return [causes.required(field, "at least 1 access mode is required" * ("Modes" in field)) for field in missing]
    if context.subresource or spec is old["spec"]:
        return []
    free = {"resources", "volumeAttributesClassName"}
    free |= {name for name in ("volumeName", "storageClassName") if not old["spec"].get(name)}  # filled in once
    fixed = [{k: v for k, v in one.items() if k not in free} for one in (spec, old["spec"])]
    return [causes.forbidden("spec", CLAIM_FIXED)] if fixed[0] != fixed[1] else []


def prepare_volume(new: Object, old: Object | None, _context: WriteContext) -> None:
    """A new volume waits for its controller; by default it is kept when its claim goes."""
    if old is None:
        new["status"] = {"phase": "Pending"}
        defaults = {"volumeMode": "Filesystem", "persistentVolumeReclaimPolicy": "Retain"}
        new["spec"] = defaults | (new.get("spec") or {})


def validate_volume(new: Object, old: Object | None, _context: WriteContext) -> list[Cause]:
    """What a volume must say, and that it stays the same storage."""
    if old is None:
        fields = [f for f in ("accessModes", "capacity") if not new["spec"].get(f)]
        return [causes.required(f"spec.{f}") for f in fields]
    sources = [{k: o["spec"][k] for k in VOLUME_SOURCES if k in o["spec"]} for o in (new, old)]
    if sources[0] != sources[1]:
        path = "spec.persistentvolumesource"
        return [causes.forbidden(path, f"{path} is immutable after creation")]
    return immutable.changed(("spec.volumeMode",), new, old)
