"""What KubeVirt allows only behind a feature gate, refused as KubeVirt refuses it while the gate is closed.

Gates that are open by default in KubeVirt 1.9 are not listed. Some more are open here: HostDisk, because whoever names
a path of the node needs a right of its own for that (`auth.hostpaths`); HostDevices, because the scheduler says which
device no node has; Sidecar, with a warning, because hooks are the one thing that is left out of such a VM. The
administrator opens and closes gates in the KubeVirt object, `spec.configuration.developerConfiguration`. An admission
plugin; fields and messages are virt-api's.
"""

from collections.abc import Iterator
from typing import Any

from isthmus.engine.registry.admission import Lookup, Plugin
from isthmus.engine.registry.registry import Served
from isthmus.engine.registry.write import WriteContext
from isthmus.machinery import errors
from isthmus.machinery.errors import Cause
from isthmus.machinery.fieldtree import at

Object = dict[str, Any]
Use = tuple[str, str, str]  # gate, field, message
KUBEVIRTS = "kubevirts.kubevirt.io"
STORAGE = ("persistentVolumeClaim", "dataVolume")
OPEN = frozenset({"HostDevices", "HostDisk", "Sidecar"})
SIDECARS = "hook sidecars are not run by this platform: the machine is made as the spec says, without their changes"
CLOSED = "feature gate is not enabled"
ANNOTATIONS = {
    "hooks.kubevirt.io/hookSidecars": ("Sidecar", "sidecar"),
    "kubevirt.io/ignitiondata": ("ExperimentalIgnitionSupport", "ExperimentalIgnitionSupport"),
}


def find_uses(metadata: Object, spec: Object, where: str, path: str) -> Iterator[Use]:
    """What of an instance needs a gate; `where` and `path` are the paths of its metadata and its spec."""
    for annotation, (gate, title) in ANNOTATIONS.items():
        if (metadata.get("annotations") or {}).get(annotation):
            message = f"{title} {CLOSED} in kubevirt-config, invalid entry {where}.annotations.{annotation}"
            yield gate, f"{where}.annotations", message
    volumes = {volume.get("name"): volume for volume in spec.get("volumes") or ()}
    for index, volume in enumerate(volumes.values()):
        field = f"{path}.volumes[{index}]"
        if volume.get("hostDisk") is not None:
            yield "HostDisk", field, f"HostDisk {CLOSED}"
        if volume.get("downwardMetrics") is not None:
            yield "DownwardMetrics", field, f"downwardMetrics disks are not allowed: DownwardMetrics {CLOSED}."
    yield from _devices(at(spec, "domain.devices") or {}, volumes, path)


def _devices(devices: Object, volumes: dict[Any, Object], path: str) -> Iterator[Use]:
    where = f"{path}.domain.devices"
    if devices.get("downwardMetrics") is not None:
        message = f"downwardMetrics virtio serial is not allowed: DownwardMetrics {CLOSED}"
        yield "DownwardMetrics", f"{where}.downwardMetrics", message
    if devices.get("hostDevices"):
        yield "HostDevices", f"{path}.HostDevices", f"Host Devices {CLOSED} in kubevirt-config"
    if devices.get("autoattachVSOCK"):
        yield "VSOCK", f"{where}.autoattachVSOCK", f"VSOCK {CLOSED} in kubevirt-config"
    for system in devices.get("filesystems") or ():
        if any((volumes.get(system.get("name")) or {}).get(kind) is not None for kind in STORAGE):
            message = f"virtiofs is not allowed: virtiofs {CLOSED} for PVC"
            yield "EnableVirtioFsStorageVolumes", f"{where}.filesystems", message


def _open_gates(lookup: Lookup) -> set[str]:
    found = set(OPEN)
    for kubevirt in lookup.all(KUBEVIRTS):
        configuration = at(kubevirt, "spec.configuration.developerConfiguration") or {}
        found |= set(configuration.get("featureGates") or ())
        found -= set(configuration.get("disabledFeatureGates") or ())
    return found


def _check(served: Served, new: Object, old: Object | None, context: WriteContext, lookup: Lookup) -> None:
    if context.subresource or (old is not None and new.get("spec") == old.get("spec")):
        return
    of_vm = served.kind.kind == "VirtualMachine"
    holder = new["spec"]["template"] if of_vm else new
    metadata, spec = holder.get("metadata") or {}, holder.get("spec") or {}
    where, path = ("spec.template.metadata", "spec.template.spec") if of_vm else ("metadata", "spec")
    uses = list(find_uses(metadata, spec, where, path))
    if not uses:
        return
    gates = _open_gates(lookup)
    if causes := [Cause(field, message) for gate, field, message in uses if gate not in gates]:
        raise errors.invalid(served.kind.group, served.kind.kind, new["metadata"].get("name", ""), causes)
    if any(gate == "Sidecar" for gate, _, _ in uses):
        context.warnings.append(SIDECARS)


PLUGINS = (
    Plugin(
        "FeatureGates",
        frozenset({"virtualmachines.kubevirt.io", "virtualmachineinstances.kubevirt.io"}),
        validate=_check,
    ),
)
