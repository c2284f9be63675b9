"""Where each device sits on the PCI bus: decided by its class and its place in the spec. Edits elsewhere move nothing.

    slot  1      screen                          slot  8-15  single devices, see SINGLE
    slot  2,3    root ports of network cards     slot 16     spare root ports, for plugging in
    slot  4-7    root ports of virtio disks

Guests name network cards after the bus number, which firmware counts through the root ports in slot order. Cards come
first, so card N is `enpNs0`, as under KubeVirt. A port with an ACPI slot number makes it `ens<slot>`, as under VMware.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

NIC_SLOTS = (2, 3)
DISK_SLOTS = (4, 5, 6, 7)
SPARE_SLOT = 16
SCREEN = "0x1"
SINGLE = {
    "scsi": "0x8",
    "serial": "0x9",
    "balloon": "0xa",
    "rng": "0xb",
    "watchdog": "0xc",
    "usb": "0xd",
    "sata": "0xe",
    "sound": "0xf",
}
FUNCTIONS = 8

_ADDRESS = re.compile(r"[0-9a-fA-F]{4}:([0-9a-fA-F]{2}):([0-9a-fA-F]{2})\.([0-7])")


class PciError(ValueError):
    """More devices than there are places, or a wish that cannot be met."""


@dataclass(frozen=True, slots=True)
class Place:
    """A root port, or (`port` empty) a place on the root bus itself, in QEMU's `addr` form."""

    port: str
    addr: str
    chassis: int = 0
    acpi_slot: int = 0
    first: bool = False  # of its slot: must be marked multifunction

    @property
    def bus(self) -> str:
        """The bus that the device is put on."""
        return self.port or "pcie.0"

    @property
    def device_addr(self) -> str:
        """The device's own address on that bus."""
        return "0x0" if self.port else self.addr


def _port(kind: str, slots: Sequence[int], index: int, chassis: int, acpi_slot: int) -> Place:
    if index >= len(slots) * FUNCTIONS:
        raise PciError(f"at most {len(slots) * FUNCTIONS} {kind} devices on PCI, this is number {index + 1}")
    slot, function = slots[index // FUNCTIONS], index % FUNCTIONS
    return Place(f"{kind}-port{index}", f"{slot:#x}.{function:#x}", chassis + index, acpi_slot, function == 0)


def parse_address(address: str) -> tuple[int, int, int]:
    """(bus, slot, function) of `0000:01:02.0`. Raises PciError."""
    match = _ADDRESS.fullmatch(address)
    if not match:
        raise PciError(f"{address!r} is no PCI address; expected the form 0000:01:00.0")
    bus, slot, function = (int(part, 16) for part in match.groups())
    return bus, slot, function


def place_all(kind: str, slots: Sequence[int], wishes: Sequence[tuple[str, int]], chassis: int) -> list[Place]:
    """A place for each of `wishes` (PCI address or "", ACPI slot number or 0), in order.

    An address on bus 0 is taken literally; one on bus N asks for root port N, whose bus it is if the ports are counted
    from 1 (true for network cards). Whoever asks for nothing gets the first free port. Raises PciError for a clash.
    """
    fixed: dict[int, Place] = {}
    index_of: dict[int, int] = {}
    for number, (address, acpi_slot) in enumerate(wishes):
        if not address:
            continue
        bus, slot, function = parse_address(address)
        if bus == 0:
            fixed[number] = Place("", f"{slot:#x}.{function:#x}", 0, acpi_slot)
        elif bus - 1 in index_of.values():
            raise PciError(f"PCI address {address} is asked for twice")
        else:
            index_of[number] = bus - 1
    free = iter(sorted(set(range(len(slots) * FUNCTIONS + len(wishes))) - set(index_of.values())))
    for number in range(len(wishes)):
        if number not in fixed and number not in index_of:
            index_of[number] = next(free)
    return [
        fixed.get(number) or _port(kind, slots, index_of[number], chassis, acpi_slot)
        for number, (_, acpi_slot) in enumerate(wishes)
    ]


def spare_ports(count: int) -> list[Place]:
    """Empty root ports that devices can be plugged into later."""
    return [_port("spare", (SPARE_SLOT,), index, 100, 0) for index in range(min(count, FUNCTIONS))]
