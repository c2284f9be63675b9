"""`Machine` -> `VirtualMachine` (kubevirt.io/v1): the same machine, as KubeVirt spells it.

What the guest can see stays as it was where KubeVirt can say it (CPU topology, memory, firmware, disk order, MAC
addresses); controllers and cards become virtio, or, in compatibility mode, SATA and e1000e, which any guest can drive.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from isthmus.importer.map import claims as claiming
from isthmus.importer.map import guests, preferences
from isthmus.importer.map.guests import Guest
from isthmus.importer.sources.machine import Firmware, Machine, Nic

Object = dict[str, Any]
POD_NETWORK = "pod"
NOT_CONNECTED = ""
# The slot numbers that named the cards in the guest (192: ens192), for a home that can give them the same again.
ACPI_SLOTS = "isthmus.dev/nic-acpi-slot"  # JSON: interface -> slot
COMPATIBLE = {"disk_bus": "sata", "nic_model": "e1000e"}  # for Options: what a guest without virtio drivers can drive
_DEFAULT_MEMORY = 1 << 30
_LEAST_MEMORY = 1 << 20


@dataclass(frozen=True, slots=True)
class Options:
    """What the administrator chose, and what is known besides.

    `preferences` are VirtualMachineClusterPreferences of the cluster (name -> spec); `guest` is the operating system
    that was found in the guest (`debian12`), which counts more than what the source says.
    """

    disk_bus: str = "virtio"  # virtio, sata or scsi
    nic_model: str = "virtio"
    run_strategy: str = "Halted"
    preferences: Mapping[str, Object] = field(default_factory=dict)
    guest: str = ""
    preserve_mac: bool = True
    preserve_uuid: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


class MappingError(ValueError):
    """The machine cannot be mapped as asked. `str()` is fit to be shown to a person."""


def virtual_machine(
    machine: Machine,
    name: str,
    namespace: str,
    claims: Mapping[str, str],
    networks: Mapping[str, str],
    options: Options | None = None,
) -> Object:
    """The VirtualMachine called `name`.

    `claims` maps disk ids to PersistentVolumeClaims; disks without one are left out. `networks` maps the source's
    network names to `pod`, to a NetworkAttachmentDefinition as `name` or `namespace/name`, or to "": the card is left
    out. Of several cards on one network that becomes the pod's, the first is taken: KubeVirt allows no second one.
    Raises MappingError for a network that is not mapped, and if two networks become the pod's.
    """
    options = options or Options()
    guest = find_guest(machine, options.guest)
    metadata: Object = {"name": name, "namespace": namespace}
    if options.labels:
        metadata["labels"] = dict(options.labels)
    if annotations := _annotations(machine, options):
        metadata["annotations"] = annotations
    template = _template(machine, name, guest, claims, networks, options)
    spec: Object = {"runStrategy": options.run_strategy, "template": template}
    vm = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": metadata, "spec": spec}
    names = preferences.candidates(guest, machine.firmware)
    if chosen := preferences.choose(vm, names, options.preferences):
        preferences.apply(vm, chosen, options.preferences[chosen])
    return vm


def find_guest(machine: Machine, found: str = "") -> Guest:
    """The operating system: what was `found` in the guest if that is known, else what the source says."""
    inspected = guests.find_guest(found)
    return guests.find_guest(machine.os.guest_id, machine.os.description) if inspected == guests.UNKNOWN else inspected


def _annotations(machine: Machine, options: Options) -> Object:
    found = {"isthmus.dev/source-name": machine.name, "isthmus.dev/guest-id": machine.os.guest_id}
    if machine.annotation:
        found["description"] = machine.annotation
    return {key: value for key, value in found.items() if value} | dict(options.annotations)


def _template(
    machine: Machine, name: str, guest: Guest, claims: Mapping[str, str], networks: Mapping[str, str], options: Options
) -> Object:
    metadata: Object = {"labels": {"kubevirt.io/domain": name, **options.labels}}
    annotations = {"vm.kubevirt.io/os": guest.os} if guest.os else {}
    attached = [(f"disk-{n}", claims[disk.id]) for n, disk in enumerate(machine.disks, 1) if disk.id in claims]
    cards = _cards(machine, networks)
    if slots := {label: nic.slot for label, nic, _ in cards if nic.slot is not None}:
        annotations[ACPI_SLOTS] = json.dumps(slots)
    if annotations:
        metadata["annotations"] = annotations
    devices: Object = {
        "disks": [
            {"name": volume, "bootOrder": order, "disk": {"bus": options.disk_bus}}
            for order, (volume, _) in enumerate(attached, 1)
        ],
        "interfaces": [_interface(label, nic, target, options) for label, nic, target in cards],
    }
    if not cards:
        devices["autoattachPodInterface"] = False
    if machine.tpm:
        devices["tpm"] = {"persistent": True}
    spec: Object = {"domain": _domain(machine, guest, devices, options)}
    if cards:
        spec["networks"] = [_network(label, target) for label, _, target in cards]
    spec["volumes"] = [{"name": volume, "persistentVolumeClaim": {"claimName": claim}} for volume, claim in attached]
    return {"metadata": metadata, "spec": spec}


def _cards(machine: Machine, networks: Mapping[str, str]) -> list[tuple[str, Nic, str]]:
    """(name of the interface, card, target) of each card that is attached."""
    found: list[tuple[str, Nic, str]] = []
    on_pod: str | None = None
    for number, nic in enumerate(machine.nics, 1):
        target = _target(nic, networks)
        if target == POD_NETWORK and on_pod is not None:
            if nic.network != on_pod:
                raise MappingError(
                    f'machine "{machine.name}" has more than one card on the pod network: map all but one elsewhere'
                )
            continue
        if target == POD_NETWORK:
            on_pod = nic.network
        if target != NOT_CONNECTED:
            found.append((f"nic-{number}", nic, target))
    return found


def _domain(machine: Machine, guest: Guest, devices: Object, options: Options) -> Object:
    features: Object = {"acpi": {"enabled": True}}
    if machine.secure_boot and machine.firmware is Firmware.EFI:
        features["smm"] = {"enabled": True}  # KubeVirt refuses secure boot without it
    if guest.windows:
        features |= {"apic": {}, "hyperv": {"relaxed": {}, "spinlocks": {"spinlocks": 8191}, "vapic": {}}}
    return {
        "cpu": _cpu(machine),
        "memory": {"guest": claiming.quantity(max(machine.memory or _DEFAULT_MEMORY, _LEAST_MEMORY))},
        "machine": {"type": "q35"},
        "firmware": _firmware(machine, options),
        "features": features,
        "clock": _clock(guest),
        "devices": devices,
    }


def _cpu(machine: Machine) -> Object:
    """Sockets as they were, if they come out even; else one core a socket, as VMware has it by default."""
    cores = machine.cores_per_socket if machine.cpus % machine.cores_per_socket == 0 else 1
    return {"sockets": machine.cpus // cores, "cores": cores, "threads": 1}


def _firmware(machine: Machine, options: Options) -> Object:
    if machine.firmware is Firmware.EFI:
        bootloader: Object = {"efi": {"secureBoot": machine.secure_boot}}
    else:
        bootloader = {"bios": {}}
    firmware: Object = {"bootloader": bootloader}
    if machine.uuid and options.preserve_uuid:
        firmware["uuid"] = machine.uuid
    return firmware


def _clock(guest: Guest) -> Object:
    """The hardware clock runs in UTC, timers as KubeVirt's own templates set them."""
    timer: Object = {
        "hpet": {"present": False},
        "pit": {"tickPolicy": "delay"},
        "rtc": {"tickPolicy": "catchup"},
    }
    if guest.windows:
        timer["hyperv"] = {}
    return {"utc": {}, "timer": timer}


def _target(nic: Nic, networks: Mapping[str, str]) -> str:
    if nic.network not in networks:
        known = ", ".join(sorted(networks)) or "none"
        raise MappingError(f'network "{nic.network}" of {nic.label or "a card"} is not mapped (mapped: {known})')
    return networks[nic.network]


def _interface(label: str, nic: Nic, target: str, options: Options) -> Object:
    interface: Object = {"name": label, "model": options.nic_model}
    interface |= {"masquerade": {}} if target == POD_NETWORK else {"bridge": {}}
    if nic.mac and options.preserve_mac:
        interface["macAddress"] = nic.mac
    return interface


def _network(label: str, target: str) -> Object:
    return {"name": label} | ({"pod": {}} if target == POD_NETWORK else {"multus": {"networkName": target}})
