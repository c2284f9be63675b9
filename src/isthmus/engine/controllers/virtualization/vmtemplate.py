"""From a VirtualMachine to the objects that it owns: its instance, its DataVolumes, its start revision. Pure."""

import copy
import hashlib
import uuid
from typing import Any

from isthmus.machinery import owners
from isthmus.machinery.fieldtree import at, put

Object = dict[str, Any]

VM_FINALIZER = "kubevirt.io/virtualMachineControllerFinalize"
VMI_FINALIZER = "kubevirt.io/foregroundDeleteVirtualMachine"
GENERATION = "kubevirt.io/vm-generation"
TYPES = ("instancetype", "preference")
LIVE_ANNOTATIONS = frozenset(
    {"descheduler.alpha.kubernetes.io/evict", "descheduler.alpha.kubernetes.io/prefer-no-eviction"}
)
IMMEDIATE_DATA_VOLUMES = "kubevirt.io/immediate-data-volume-creation"
_IDENTITY = uuid.UUID("7b1c9f6e-0f0c-4a7e-9a51-6f2f4d2f3c11")  # the namespace of our firmware UUIDs


def firmware_uuid(vm: Object) -> str:
    """The SMBIOS UUID of a VM that names none: the same at every start of this VM."""
    return str(uuid.uuid5(_IDENTITY, vm["metadata"]["uid"]))


def build_instance(vm: Object, template: Object, *, paused: bool = False) -> Object:
    """The VMI of `vm` from its template, into which instance type and preference have been folded.

    `paused`: the guest does not run before it is unpaused (`virtctl start --paused`).
    """
    metadata = template.get("metadata") or {}
    spec = copy.deepcopy(template.get("spec") or {})
    if not at(spec, "domain.firmware.uuid"):
        put(spec, "domain.firmware.uuid", firmware_uuid(vm))
    if paused:
        spec["startStrategy"] = "Paused"
    annotations = dict(metadata.get("annotations") or {})
    annotations |= type_annotations(vm)
    annotations[GENERATION] = str(vm["metadata"].get("generation", 1))
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {
            "name": vm["metadata"]["name"],
            "namespace": vm["metadata"]["namespace"],
            "labels": dict(metadata.get("labels") or {}),
            "annotations": annotations,
            "finalizers": [VM_FINALIZER, VMI_FINALIZER],
            "ownerReferences": [owners.reference(vm)],
        },
        "spec": spec,
        "status": {"virtualMachineRevisionName": revision_name(vm)},  # VMIs have no status subresource
    }


def type_annotations(vm: Object) -> dict[str, str]:
    """What an instance says of its types, since their fields are folded into it: kubevirt.io/cluster-instancetype-name
    and its like."""
    found = {}
    for which in TYPES:
        if name := at(vm, f"spec.{which}.name"):
            cluster = "cluster" in str(at(vm, f"spec.{which}.kind") or "cluster").lower()  # by default it is one
            found[f"kubevirt.io/{'cluster-' if cluster else ''}{which}-name"] = str(name)
    return found


def revision_name(vm: Object, generation: int | None = None) -> str:
    """The ControllerRevision that keeps the spec of a started generation."""
    return f"revision-start-vm-{vm['metadata']['uid']}-{generation or vm['metadata'].get('generation', 1)}"


def build_start_revision(vm: Object, template: Object) -> Object:
    """What was started, for finding what has changed since: the VM's spec, and its template after expansion."""
    generation = vm["metadata"].get("generation", 1)
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": revision_name(vm),
            "namespace": vm["metadata"]["namespace"],
            "ownerReferences": [owners.reference(vm)],
        },
        "data": {"spec": _with_type_revisions(vm), "expandedTemplate": template},
        "revision": generation,
    }


def has_types(vm: Object) -> bool:
    """Whether the VM names an instance type or a preference."""
    return any(vm["spec"].get(which) for which in TYPES)


def strategy_fields(vm: Object, strategy: str) -> Object:
    """The fields of the VM's spec that say `strategy` (Always or Halted), in the form that the VM uses."""
    return {"running": strategy == "Always"} if "running" in vm["spec"] else {"runStrategy": strategy}


def live_annotations(vm: Object, present: dict[str, str], revision: Object | None) -> dict[str, str]:
    """The instance's annotations: those that follow the template while it runs, and the generation that it shows. A
    change of the template's metadata shows at the next start, so the generation then stays as it was."""
    template = at(vm, "spec.template.metadata") or {}
    wanted: dict[str, str] = template.get("annotations") or {}
    out = {k: v for k, v in present.items() if k not in LIVE_ANNOTATIONS}
    out |= {k: v for k, v in wanted.items() if k in LIVE_ANNOTATIONS}
    if _lasting(template) == _lasting(at(revision, "data.spec.template.metadata") or {}):
        out[GENERATION] = str(vm["metadata"].get("generation", 1))
    return out


def _lasting(metadata: Object) -> tuple[Any, Any]:
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k not in LIVE_ANNOTATIONS}
    return metadata.get("labels") or {}, annotations


def _with_type_revisions(vm: Object) -> Object:
    """The VM's spec with its instance type and preference pinned to the revisions in its status."""
    spec: Object = copy.deepcopy(vm["spec"])
    for which in TYPES:
        revision = at(vm, f"status.{which}Ref.controllerRevisionRef.name")
        if spec.get(which) and revision:
            spec[which]["revisionName"] = revision
    return spec


def build_type_revision(vm: Object, source: Object) -> Object:
    """An instance type or preference as it was at the VM's first start."""
    metadata = source["metadata"]
    version = source["apiVersion"].rpartition("/")[2]
    tail = f"{version}-{metadata['uid']}-{metadata.get('generation', 1)}"
    name = f"{vm['metadata']['name']}-{metadata['name']}-{tail}"
    if len(name) > 253:
        name = f"{hashlib.sha256(name.encode()).hexdigest()[:16]}-{tail}"
    identity = ("name", "namespace", "uid", "generation", "resourceVersion", "creationTimestamp")
    kept = {k: metadata[k] for k in identity if k in metadata}
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": name,
            "namespace": vm["metadata"]["namespace"],
            "labels": {
                "instancetype.kubevirt.io/object-kind": source["kind"],
                "instancetype.kubevirt.io/object-name": metadata["name"],
                "instancetype.kubevirt.io/object-uid": metadata["uid"],
                "instancetype.kubevirt.io/object-generation": str(metadata.get("generation", 1)),
                "instancetype.kubevirt.io/object-version": version,
            },
            "ownerReferences": [owners.reference(vm)],
        },
        "data": {"apiVersion": source["apiVersion"], "kind": source["kind"], "metadata": kept, "spec": source["spec"]},
        "revision": 0,
    }


def build_data_volume(vm: Object, template: Object) -> Object:
    """The DataVolume of one of the VM's `dataVolumeTemplates`."""
    metadata = template["metadata"]
    labels = dict(metadata.get("labels") or {}) | {"kubevirt.io/created-by": vm["metadata"]["uid"]}
    annotations = {"cdi.kubevirt.io/allowClaimAdoption": "true"} | (metadata.get("annotations") or {})
    return {
        "apiVersion": "cdi.kubevirt.io/v1beta1",
        "kind": "DataVolume",
        "metadata": {
            "name": metadata["name"],
            "namespace": vm["metadata"]["namespace"],
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owners.reference(vm)],
        },
        "spec": copy.deepcopy(template["spec"]),
    }


def data_volume_names(template_spec: Object) -> list[str]:
    """The DataVolumes that the template's volumes name."""
    return [v["dataVolume"]["name"] for v in template_spec.get("volumes") or [] if v.get("dataVolume")]


def claim_names(template_spec: Object) -> list[str]:
    """The PVCs of the template's volumes; a DataVolume's PVC has its name."""
    paths = ("persistentVolumeClaim.claimName", "ephemeral.persistentVolumeClaim.claimName", "dataVolume.name")
    found = (at(volume, path) for volume in template_spec.get("volumes") or [] for path in paths)
    return [name for name in found if name]
