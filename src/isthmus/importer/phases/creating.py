"""Creating: the VirtualMachine, its disks' claims handed over to it."""

from typing import Any

from isthmus.client import resources
from isthmus.importer.convert import decide
from isthmus.importer.convert.decide import Converter
from isthmus.importer.map import virtual_machine as mapping
from isthmus.importer.phases.phase import LABEL, Import, ImportFailedError

Object = dict[str, Any]


def network_targets(work: Import) -> dict[str, str]:
    """Source network -> `pod`, a NetworkAttachmentDefinition, or "": not connected. The first unmapped is `pod`."""
    targets: dict[str, str] = {}
    for entry in work.spec.get("networks") or []:
        target = entry["target"]
        multus = (target.get("multus") or {}).get("networkName", "")
        targets[entry["source"]] = mapping.POD_NETWORK if "pod" in target else multus or mapping.NOT_CONNECTED
    for nic in work.machine.nics:
        free = mapping.POD_NETWORK not in targets.values()
        targets.setdefault(nic.network, mapping.POD_NETWORK if free else mapping.NOT_CONNECTED)
    return targets


def _compatible(work: Import) -> bool:
    return (work.status.get("conversion") or {}).get("converter") == Converter.COMPATIBILITY.value


def disk_bus(work: Import) -> str:
    """The bus of the VM's disks: what was asked for, else virtio where the guest has the driver."""
    asked = work.spec.get("diskBus")
    return str(asked or (decide.COMPATIBLE_DISK_BUS if _compatible(work) else decide.DISK_BUS))


def manifest(work: Import) -> Object:
    """The VirtualMachine as it will be. Raises ImportFailedError if the machine cannot be mapped as asked."""
    options = mapping.Options(
        disk_bus=disk_bus(work),
        nic_model=decide.COMPATIBLE_NIC_MODEL if _compatible(work) else decide.NIC_MODEL,
        run_strategy="Always" if work.spec.get("running") else "Halted",
        labels={LABEL: work.name},
    )
    try:
        return mapping.virtual_machine(
            work.machine, work.vm_name, work.namespace, work.claims, network_targets(work), options
        )
    except mapping.MappingError as error:
        raise ImportFailedError(str(error)) from error


async def step(work: Import) -> bool:
    """Make the VM, then make the claims its own, so that they stay when the import is deleted and go with the VM."""
    vm = await work.find(resources.VMS, work.vm_name)
    if vm is None:
        vm = await work.client.create(resources.VMS, manifest(work), work.namespace)
    elif (vm["metadata"].get("labels") or {}).get(LABEL) != work.name:
        raise ImportFailedError(f"VirtualMachine {work.vm_name} is there already: choose another targetName")
    owner = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "name": vm["metadata"]["name"],
        "uid": vm["metadata"]["uid"],
        "controller": True,
    }
    for claim in work.claims.values():
        body = {"metadata": {"ownerReferences": [owner]}}
        await work.client.patch(resources.PVCS, claim, body, work.namespace)
    return True
