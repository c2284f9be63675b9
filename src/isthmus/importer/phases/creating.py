"""Creating: the VirtualMachine, its disks' claims handed over to it.

Until that is done the VM is halted and the import's own: whenever the import is deleted or fails on the way, the VM and
its disks go with it. One write at the end lets it go and starts it.
"""

from typing import Any

from isthmus.client import resources
from isthmus.importer.convert import decide
from isthmus.importer.map import preferences
from isthmus.importer.map import virtual_machine as mapping
from isthmus.importer.phases.phase import LABEL, Import, ImportFailedError, Next
from isthmus.importer.sources.machine import Machine
from isthmus.machinery.errors import StatusError

Object = dict[str, Any]
COMPATIBLE = "compatible"
SOURCE = "isthmus.dev/import-uid"  # annotation of the VM: by which import it was made


def network_targets(work: Import, machine: Machine | None = None) -> dict[str, str]:
    """Source network -> `pod`, a NetworkAttachmentDefinition, or "": not connected. The first unmapped is `pod`."""
    targets: dict[str, str] = {}
    for entry in work.spec.get("networks") or []:
        target = entry["target"]
        multus = (target.get("multus") or {}).get("networkName", "")
        targets[entry["source"]] = mapping.POD_NETWORK if target.get("pod") is not None else multus
    for nic in (machine or work.machine).nics:
        free = mapping.POD_NETWORK not in targets.values()
        targets.setdefault(nic.network, mapping.POD_NETWORK if free else mapping.NOT_CONNECTED)
    return targets


def unplugged(work: Import, machine: Machine) -> list[str]:
    """The networks of `machine` that nobody has mapped and that stay unplugged for it."""
    named = {entry["source"] for entry in work.spec.get("networks") or []}
    targets = network_targets(work, machine)
    return [name for name, target in targets.items() if target == mapping.NOT_CONNECTED and name not in named]


def _compatible(work: Import) -> bool:
    return (work.status.get("conversion") or {}).get("devices") == COMPATIBLE


def disk_bus(work: Import) -> str:
    """The bus of the VM's disks: what was asked for, else virtio where the guest has the driver."""
    asked = work.spec.get("diskBus")
    return str(asked or (decide.COMPATIBLE_DISK_BUS if _compatible(work) else decide.DISK_BUS))


async def find_preferences(work: Import) -> dict[str, Object]:
    """Those of the cluster's preferences that come into question for the guest: name -> spec."""
    machine = work.machine
    known: dict[str, Object] = {}
    for name in preferences.candidates(mapping.find_guest(machine, _guest(work)), machine.firmware):
        try:
            known[name] = (await work.client.get(resources.CLUSTERPREFERENCES, name)).get("spec") or {}
        except StatusError as error:
            if error.code not in (403, 404):
                raise
    return known


def _guest(work: Import) -> str:
    return str((work.status.get("conversion") or {}).get("osId") or "")


def manifest(work: Import, known: dict[str, Object] | None = None) -> Object:
    """The VirtualMachine as it begins: halted. `known` is what `find_preferences` found.

    Raises ImportFailedError if the machine cannot be mapped as asked.
    """
    options = mapping.Options(
        disk_bus=disk_bus(work),
        nic_model=decide.COMPATIBLE_NIC_MODEL if _compatible(work) else decide.NIC_MODEL,
        run_strategy="Halted",
        preferences=known or {},
        guest=_guest(work),
        labels={LABEL: work.label},
        annotations={SOURCE: work.obj["metadata"]["uid"]},
    )
    try:
        return mapping.virtual_machine(
            work.machine, work.vm_name, work.namespace, work.claims, network_targets(work), options
        )
    except mapping.MappingError as error:
        raise ImportFailedError(str(error)) from error


async def check(work: Import) -> None:
    """Raise ImportFailedError if the VM could not be made: a name that is taken, a network that is not there."""
    manifest(work)
    known = {nic.network for nic in work.machine.nics} | set((work.status.get("source") or {}).get("networks") or [])
    targets = network_targets(work)
    if unknown := sorted(targets.keys() - known):
        listed = ", ".join(sorted(known)) or "none"
        raise ImportFailedError(
            f"spec.networks: the source has no network {unknown[0]!r} (it has: {listed}): map one of these"
        )
    for source, target in sorted(targets.items()):
        if target not in (mapping.POD_NETWORK, mapping.NOT_CONNECTED) and not await _has_network(work, target):
            raise ImportFailedError(
                f"spec.networks: {source!r} is to become the NetworkAttachmentDefinition {target}, which is not there: "
                "make it first, or choose another"
            )
    if (vm := await work.find(resources.VMS, work.vm_name)) is not None and not _made_by(vm, work):
        raise _taken(work)


async def _has_network(work: Import, target: str) -> bool:
    namespace, _, name = target.rpartition("/")
    try:
        await work.client.get(resources.NADS, name, namespace or work.namespace)
    except StatusError as error:
        if error.code == 404:
            return False
        raise
    return True


def _made_by(vm: Object, work: Import) -> bool:
    return bool((vm["metadata"].get("annotations") or {}).get(SOURCE) == work.obj["metadata"]["uid"])


def _taken(work: Import) -> ImportFailedError:
    return ImportFailedError(f"VirtualMachine {work.vm_name} is there already: choose another targetName (--name)")


async def step(work: Import) -> Next:
    """Make the VM, then make the claims its own, so that they stay when the import is deleted and go with the VM."""
    vm = await work.find(resources.VMS, work.vm_name)
    if vm is None:
        body = manifest(work, await find_preferences(work))
        body["metadata"]["ownerReferences"] = [work.owner()]
        vm = await work.client.create(resources.VMS, body, work.namespace)
    elif not _made_by(vm, work):
        raise _taken(work)
    if work.owns(vm):
        await _hand_over(work, vm)
    return Next.ONWARD


async def _hand_over(work: Import, vm: Object) -> None:
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
    strategy = "Always" if work.spec.get("running") else "Halted"
    release = {"metadata": {"ownerReferences": None}, "spec": {"runStrategy": strategy}}
    await work.client.patch(resources.VMS, work.vm_name, release, work.namespace)
