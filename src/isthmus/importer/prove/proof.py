"""The manifests of a boot proof: a VMI on copy-on-write overlays of the converted disks, in a network of its own.

KubeVirt's `ephemeral` volumes keep the claims untouched. The network is a Linux bridge of the proof's own, without an
uplink (a NetworkAttachmentDefinition for the CNI plugin `bridge`): the link is up, so that static addresses come up,
but nobody else is there, least of all the source that still runs with the same addresses.
"""

import copy
import hashlib
import json
from collections.abc import Sequence
from typing import Any

PROOF_LABEL = "isthmus.dev/boot-proof"


def proof_network(name: str, namespace: str, owner: dict[str, Any] | None = None) -> dict[str, Any]:
    """The NetworkAttachmentDefinition `name`: an isolated bridge; its device's name is at most 15 bytes."""
    device = "prf" + hashlib.sha256(f"{namespace}/{name}".encode()).hexdigest()[:10]
    config = {"cniVersion": "0.3.1", "name": name, "type": "bridge", "bridge": device, "isGateway": False, "ipam": {}}
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": _metadata(name, namespace, name, owner),
        "spec": {"config": json.dumps(config)},
    }


def proof_vmi(
    name: str,
    namespace: str,
    vmi_spec: dict[str, Any],
    network: str,
    owner: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The VMI that boots what `vmi_spec` (the VM's spec.template.spec) will boot, harmlessly.

    Every claim and DataVolume becomes an ephemeral overlay, every network the isolated `network`; interfaces keep their
    MACs and models, as a guest's configuration hangs on them. Other volumes (cloud-init, ...) stay as they are.
    """
    spec = copy.deepcopy(vmi_spec)
    spec["volumes"] = [_overlay(volume) for volume in spec.get("volumes", ())]
    devices = spec["domain"].setdefault("devices", {})
    networks, interfaces = _isolate(devices.get("interfaces", ()), network)
    spec["networks"] = networks
    devices |= {
        "interfaces": interfaces,
        "autoattachPodInterface": False,
        "autoattachSerialConsole": True,
        "autoattachGraphicsDevice": True,
        "logSerialConsole": True,
    }
    spec["terminationGracePeriodSeconds"] = 0
    spec["evictionStrategy"] = "None"
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": _metadata(name, namespace, name, owner),
        "spec": spec,
    }


def boots_from_virtio(spec: dict[str, Any]) -> bool:
    """Whether every disk of the VMI's spec that a system could be on is on virtio: then a guest that is up has drivers.

    CD-ROMs and floppies do not count; a disk without a bus is not known to be on virtio; `scsi` is virtio-scsi.
    """
    disks = [disk["disk"] for disk in spec["domain"].get("devices", {}).get("disks", ()) if "disk" in disk]
    return bool(disks) and all(disk.get("bus") in ("virtio", "scsi") for disk in disks)


def _overlay(volume: dict[str, Any]) -> dict[str, Any]:
    """Only disks of the guest are written to, so only they need an overlay."""
    if "persistentVolumeClaim" in volume:
        claim = volume["persistentVolumeClaim"]["claimName"]
    elif "dataVolume" in volume:
        claim = volume["dataVolume"]["name"]
    else:
        return volume
    source = {"claimName": claim, "readOnly": True}
    return {"name": volume["name"], "ephemeral": {"persistentVolumeClaim": source}}


def _isolate(interfaces: Sequence[dict[str, Any]], network: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    kept = ("name", "macAddress", "model", "bootOrder", "pciAddress")
    bridged = [{key: one[key] for key in kept if key in one} | {"bridge": {}} for one in interfaces]
    return [{"name": one["name"], "multus": {"networkName": network}} for one in bridged], bridged


def _metadata(name: str, namespace: str, proof: str, owner: dict[str, Any] | None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "labels": {PROOF_LABEL: proof}}
    return metadata | ({"ownerReferences": [owner]} if owner else {})
