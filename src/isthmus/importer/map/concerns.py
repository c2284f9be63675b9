"""What an administrator should know before a machine is moved. Ids and categories are Forklift's, so that people who
know its reports can compare; only what the source tells is judged here (an OVF knows less than a vCenter).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from isthmus.importer.map import guests, names
from isthmus.importer.sources.machine import Device, Machine

MOST_DISKS = 25  # virtio-blk disks that fit beside other devices on a q35's root ports


class Category(StrEnum):
    """Critical: it will not work. Warning: it will be different. Information: good to know."""

    CRITICAL = "Critical"
    WARNING = "Warning"
    INFORMATION = "Information"


@dataclass(frozen=True, slots=True)
class Concern:
    """One of them; `assessment` says what will happen and what can be done."""

    id: str
    category: Category
    label: str
    assessment: str


Rule = Callable[[Machine], Iterator[Concern]]


def find_concerns(machine: Machine, unplugged: Iterable[str] = (), on_pod: Iterable[str] = ()) -> list[Concern]:
    """All concerns, the gravest first.

    `unplugged` are networks of the machine that nobody has mapped to one here, `on_pod` those that become the pod's.
    """
    order = list(Category)
    found = [concern for rule in _RULES for concern in rule(machine)]
    found += [*_unplugged(machine, frozenset(unplugged)), *_second_cards(machine, frozenset(on_pod))]
    return sorted(found, key=lambda concern: order.index(concern.category))


def _unplugged(machine: Machine, networks: frozenset[str]) -> Iterator[Concern]:
    for nic in machine.nics:
        if nic.network in networks:
            yield Concern(
                "isthmus.network.unmapped", Category.WARNING, "Network without a counterpart",
                f'{nic.label or "A card"} on "{nic.network}" is left out, as no network here was named for it '
                f'(--network "{nic.network}=...").',
            )  # fmt: skip


def _second_cards(machine: Machine, on_pod: frozenset[str]) -> Iterator[Concern]:
    for nic in [nic for nic in machine.nics if nic.network in on_pod][1:]:
        yield Concern(
            "isthmus.network.second_card", Category.WARNING, "Second card on the pod network",
            f'{nic.label or "A card"} is on "{nic.network}" like another one, and a VM has only one card on the pod '
            "network: it is left out. A NetworkAttachmentDefinition takes them all.",
        )  # fmt: skip


def _names(machine: Machine) -> Iterator[Concern]:
    if (label := names.to_label(machine.name)) != machine.name:
        yield Concern(
            "vmware.vm.name.invalid",
            Category.WARNING,
            "Invalid VM name",
            f'"{machine.name}" is no name for Kubernetes: the machine will be called "{label}".',
        )


def _disks(machine: Machine) -> Iterator[Concern]:
    for disk in machine.disks:
        if disk.capacity == 0 or (disk.capacity is None and disk.file is None):
            yield Concern(
                "vmware.disk.capacity.invalid", Category.CRITICAL, "Disk without a capacity",
                f"{disk.label} has no valid capacity: no volume can be made for it.",
            )  # fmt: skip
        if disk.parent:
            yield Concern(
                "vmware.snapshot.detected", Category.CRITICAL, "Snapshot",
                f"{disk.label} is a delta of another disk: export the machine again without snapshots.",
            )  # fmt: skip
        if disk.persistence.startswith("independent"):
            yield Concern(
                "vmware.disk_mode.independent", Category.WARNING, "Independent disk",
                f"{disk.label} is {disk.persistence}: it is copied, but snapshots will include it now.",
            )  # fmt: skip
        if disk.shared:
            yield Concern(
                "vmware.disk.shared.detected", Category.WARNING, "Shared disk",
                f"{disk.label} is shared with other machines: each would get a copy of its own.",
            )  # fmt: skip
    if len(machine.disks) > MOST_DISKS:
        yield Concern(
            "vmware.disk.count.exceeds.limit", Category.WARNING, "Many disks",
            f"{len(machine.disks)} disks are more than the {MOST_DISKS} that virtio-blk can take: use virtio-scsi.",
        )  # fmt: skip


def _features(machine: Machine) -> Iterator[Concern]:
    if machine.tpm:
        yield Concern(
            "vmware.tpm.detected", Category.WARNING, "TPM",
            "The machine gets a new, empty TPM: have BitLocker or LUKS recovery keys at hand before it is moved.",
        )  # fmt: skip
    flags = [machine.config.get(key, "").lower() == "true" for key in ("cpuHotAddEnabled", "memoryHotAddEnabled")]
    if any(flags):
        yield Concern(
            "vmware.cpu_memory.hotplug.enabled", Category.WARNING, "CPU or memory hot-add",
            "Hot-add works differently here: sockets and memory grow by live migration, up to maxSockets and maxGuest.",
        )  # fmt: skip
    if machine.config.get("sched.cpu.affinity", "all") not in ("all", ""):
        yield Concern(
            "vmware.cpu_affinity.detected", Category.WARNING, "CPU affinity",
            "Pinning to certain CPUs is not taken over: use dedicatedCpuPlacement.",
        )  # fmt: skip
    if machine.config.get("numa.nodeAffinity"):
        yield Concern(
            "vmware.numa_affinity.detected", Category.WARNING, "NUMA affinity",
            "Pinning to NUMA nodes is not taken over: use guestMappingPassthrough.",
        )  # fmt: skip


def _devices(machine: Machine) -> Iterator[Concern]:
    for device in machine.devices:
        if _is_passthrough(device):
            yield Concern(
                "vmware.passthrough_device.detected", Category.CRITICAL, "PCI passthrough",
                f"{device.label} is a device of the host and left out: give the machine a hostDevice or GPU.",
            )  # fmt: skip
        elif device.resource_type == 23:
            yield Concern(
                "vmware.usb_controller.detected", Category.WARNING, "USB controller",
                f"{device.label} is left out: USB devices of the source's host are not moved.",
            )  # fmt: skip
        elif device.resource_type in (14, 15, 16) and device.backed:
            yield Concern(
                "isthmus.media.detected", Category.INFORMATION, "CD or floppy with a medium",
                f"{device.label} has a medium in the package: it is left out.",
            )  # fmt: skip
    for nic in machine.nics:
        if "sriov" in nic.subtype.lower():
            yield Concern(
                "vmware.device.sriov.detected", Category.WARNING, "SR-IOV card",
                f"{nic.label} becomes an ordinary virtio card: attach an SR-IOV network if it needs one.",
            )  # fmt: skip


def _is_passthrough(device: Device) -> bool:
    return "passthrough" in device.subtype.lower() or device.subtype.lower().startswith(("vmware.vgpu", "vmware.pci"))


def _guest(machine: Machine) -> Iterator[Concern]:
    if guests.find_guest(machine.os.guest_id, machine.os.description) == guests.UNKNOWN:
        yield Concern(
            "vmware.os.unsupported", Category.WARNING, "Unknown operating system",
            f'Nothing is known about "{machine.os.guest_id or machine.os.description or "no guest OS"}": the disk is '
            "inspected; if that does not help, the machine starts in compatibility mode (SATA, e1000e).",
        )  # fmt: skip
    if not machine.memory:
        yield Concern(
            "isthmus.memory.missing", Category.WARNING, "No memory stated",
            "The source does not say how much memory the machine has: it gets 1 GiB.",
        )  # fmt: skip


_RULES: tuple[Rule, ...] = (_names, _disks, _features, _devices, _guest)
