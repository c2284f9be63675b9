"""Which instance type or preference a VirtualMachine's boot volume asks for (`inferFromVolume`). Pure.

Called at admission by the API server, and by the VM controller for a VM that was stored without it.
"""

from collections.abc import Callable
from typing import Any

from isthmus.machinery.fieldtree import at

Object = dict[str, Any]

DEFAULT_KIND = {"instancetype": "VirtualMachineClusterInstancetype", "preference": "VirtualMachineClusterPreference"}

Lookup = Callable[[str, str], Object | None]  # (kind of the source, name) -> object of the VM's namespace


class InferenceError(ValueError):
    """No instance type or preference can be inferred. `str()` says why."""


def infer(vm: Object, which: str, lookup: Lookup) -> Object:
    """The matcher {name, kind} of `which` ("instancetype" or "preference") from the labels of its volume's source.

    The volume named by `inferFromVolume` leads to a PVC or DataVolume; a DataVolume that has no labels leads on to what
    it copies (PVC or DataSource). Raises InferenceError.
    """
    matcher = vm["spec"][which]
    name = matcher["inferFromVolume"]
    volume = next((v for v in at(vm, "spec.template.spec.volumes") or [] if v["name"] == name), None)
    if volume is None:
        raise InferenceError(f"volume {name!r} of spec.{which}.inferFromVolume does not exist")
    for source in _sources(vm, volume, lookup):
        labels = (source.get("metadata") or {}).get("labels") or {}
        if found := labels.get(f"instancetype.kubevirt.io/default-{which}"):
            kind = labels.get(f"instancetype.kubevirt.io/default-{which}-kind") or DEFAULT_KIND[which]
            return {"name": found, "kind": kind}
    raise InferenceError(f"unable to find required instancetype.kubevirt.io/default-{which} label on volume {name!r}")


def _sources(vm: Object, volume: Object, lookup: Lookup) -> list[Object]:
    """The objects that stand behind a volume, nearest first."""
    if claim := at(volume, "persistentVolumeClaim.claimName"):
        return [o for o in (lookup("PersistentVolumeClaim", claim),) if o]
    name = at(volume, "dataVolume.name")
    if not name:
        raise InferenceError(f"volume {volume['name']!r} is neither a PersistentVolumeClaim nor a DataVolume")
    templates = vm["spec"].get("dataVolumeTemplates") or []
    template = next((t for t in templates if at(t, "metadata.name") == name), None)
    found = [o for o in (template, lookup("DataVolume", name), lookup("PersistentVolumeClaim", name)) if o]
    for volume_object in found[:2]:
        if clone := at(volume_object, "spec.source.pvc.name"):
            found += [o for o in (lookup("PersistentVolumeClaim", clone),) if o]
        if reference := at(volume_object, "spec.sourceRef.name"):
            found += _data_source(reference, lookup)
    return found


def _data_source(name: str, lookup: Lookup) -> list[Object]:
    source = lookup("DataSource", name)
    if source is None:
        return []
    claim = at(source, "spec.source.pvc.name")
    behind = lookup("PersistentVolumeClaim", claim) if claim else None
    return [o for o in (source, behind) if o]
