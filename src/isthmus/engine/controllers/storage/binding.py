"""Which volume a claim gets, where a new one is made, what becomes of it afterwards. Pure; called by `provisioner`."""

import zlib
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from isthmus.machinery import labels, quantity
from isthmus.machinery.fieldtree import at

Object = dict[str, Any]

PROVISIONER = "isthmus.dev/local"
CLASS = "local"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
DEFAULT_VIRT_CLASS = "storageclass.kubevirt.io/is-default-virt-class"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
IMMEDIATE = "cdi.kubevirt.io/storage.bind.immediate.requested"
PVC_PROTECTION = "kubernetes.io/pvc-protection"
PV_PROTECTION = "kubernetes.io/pv-protection"
HOSTNAME = "kubernetes.io/hostname"


def build_storage_class() -> Object:
    """The class that a claim gets which names none, for Kubernetes and for VMs."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": CLASS, "annotations": {DEFAULT_CLASS: "true", DEFAULT_VIRT_CLASS: "true"}},
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
    }


def default_class(classes: list[Object]) -> str | None:
    """The youngest class that is marked as the default."""
    marked = [c for c in classes if (c["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) == "true"]
    if not marked:
        return None
    name: str = max(marked, key=lambda c: (c["metadata"].get("creationTimestamp", ""), c["metadata"]["name"]))[
        "metadata"
    ]["name"]
    return name


def choose_node(claim: Object, nodes: list[Object]) -> str | None:
    """Where to make the claim's volume: on the node that the scheduler chose, or on the only one that takes pods; on
    any such node if the claim asks to be bound at once. None: wait for the first consumer.
    """
    annotations = claim["metadata"].get("annotations") or {}
    if chosen := annotations.get(SELECTED_NODE):
        return str(chosen)
    usable = sorted(n["metadata"]["name"] for n in nodes if not at(n, "spec.unschedulable"))
    if len(usable) == 1 or (usable and annotations.get(IMMEDIATE) == "true"):
        spread = zlib.crc32(claim["metadata"]["uid"].encode())
        return str(usable[spread % len(usable)])
    return None


def volume_name(claim: Object) -> str:
    """The PV made for a claim, the same whenever it is asked."""
    return f"pvc-{claim['metadata']['uid']}"


def build_volume(claim: Object, storage_class: Object, node: Object, directory: PurePath) -> Object:
    """A PV on `node`, whose data lie below `directory`, already promised to the claim."""
    metadata = claim["metadata"]
    name = volume_name(claim)
    hostname = (node["metadata"].get("labels") or {}).get(HOSTNAME, node["metadata"]["name"])
    expression = {"key": HOSTNAME, "operator": "In", "values": [hostname]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": name,
            "annotations": {PROVISIONED_BY: PROVISIONER},
            "finalizers": [PV_PROTECTION],
        },
        "spec": {
            "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
            "accessModes": claim["spec"].get("accessModes") or ["ReadWriteOnce"],
            "volumeMode": claim["spec"].get("volumeMode") or "Filesystem",
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
            "storageClassName": storage_class["metadata"]["name"],
            "local": {"path": str(directory / name)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
        },
    }


def find_volume(claim: Object, volumes: list[Object]) -> Object | None:
    """An existing PV for the claim: the one that it names, the one promised to it, else the smallest that fits."""
    spec, metadata = claim["spec"], claim["metadata"]
    if name := spec.get("volumeName"):
        return next((v for v in volumes if v["metadata"]["name"] == name), None)
    promised = [v for v in volumes if _promised(v, metadata)]
    if promised:
        return promised[0]
    fitting = [v for v in volumes if not v["spec"].get("claimRef") and fits(claim, v)]
    return min(fitting, key=lambda v: quantity.parse(v["spec"]["capacity"]["storage"]), default=None)


def _promised(volume: Object, metadata: Object) -> bool:
    reference = volume["spec"].get("claimRef") or {}
    named = (reference.get("namespace"), reference.get("name")) == (metadata["namespace"], metadata["name"])
    return named and reference.get("uid") in (None, "", metadata["uid"])


def fits(claim: Object, volume: Object) -> bool:
    """Class, mode, access modes, size and selector."""
    wanted, spec = claim["spec"], volume["spec"]
    if volume["metadata"].get("deletionTimestamp") or (at(volume, "status.phase") or "Available") not in (
        "Available",
        "Pending",
    ):
        return False
    return (
        (wanted.get("storageClassName") or "") == (spec.get("storageClassName") or "")
        and (wanted.get("volumeMode") or "Filesystem") == (spec.get("volumeMode") or "Filesystem")
        and set(wanted.get("accessModes") or ()) <= set(spec.get("accessModes") or ())
        and quantity.parse(at(wanted, "resources.requests.storage") or 0) <= quantity.parse(spec["capacity"]["storage"])
        and (
            not wanted.get("selector")
            or labels.from_label_selector(wanted["selector"]).matches(volume["metadata"].get("labels") or {})
        )
    )


@dataclass(frozen=True, slots=True)
class Fate:
    """What a PV's claim means for it: the phase to show, and whether it goes."""

    phase: str
    delete: bool = False


def fate(volume: Object, claim: Object | None) -> Fate:
    """`claim`: the PVC that the PV's claimRef names, if it exists."""
    reference = volume["spec"].get("claimRef")
    if not reference:
        return Fate("Available")
    uid = reference.get("uid")
    if not uid:
        return Fate("Available")  # reserved by a person for a claim to come
    if claim is not None and claim["metadata"]["uid"] == uid:
        bound = claim["spec"].get("volumeName") == volume["metadata"]["name"]
        return Fate("Bound" if bound else "Available")
    deletes = volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete"
    return Fate("Released", delete=deletes and is_ours(volume))


def is_ours(volume: Object) -> bool:
    """Whether our provisioner has made the PV."""
    return (volume["metadata"].get("annotations") or {}).get(PROVISIONED_BY) == PROVISIONER


def is_used(claim: Object, pods: list[Object]) -> bool:
    """Whether a pod that has not ended uses the claim (pods of its namespace)."""
    name = claim["metadata"]["name"]
    return any(
        at(volume, "persistentVolumeClaim.claimName") == name
        for pod in pods
        if at(pod, "status.phase") not in ("Succeeded", "Failed")
        for volume in pod["spec"].get("volumes") or []
    )
