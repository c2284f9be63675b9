"""What a source has, as plain data: the machines of a package as the importer shows and maps them."""

import dataclasses
from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from typing import Any

from isthmus.codec.vmdk.header import Limits
from isthmus.importer.sources import loose
from isthmus.importer.sources.errors import SourceError, blamed_on
from isthmus.importer.sources.machine import Disk, Machine
from isthmus.importer.sources.package import Package


def describe(package: Package) -> dict[str, Any]:
    """The package's machines, and what is known about the integrity of its files.

    Raises SourceError for a disk that no volume can hold.
    """
    machines = [_measured(package, machine) for machine in package.envelope.machines]
    for machine in machines:
        for disk in machine.disks:
            if (disk.capacity or 0) > (largest := Limits().capacity):
                reason = f"disk {disk.id!r} has {disk.capacity} bytes, more than the {largest} that a disk may have"
                raise SourceError(reason, source=package.name)
    return {
        "source": package.name,
        "signed": package.signed,
        "manifest": package.ledger.expected is not None,
        "networks": list(package.envelope.networks),
        "machines": [as_plain(machine) for machine in machines],
    }


def _measured(package: Package, machine: Machine) -> Machine:
    """With the capacity of disks of which the descriptor does not tell it, by the disks themselves."""
    return replace(machine, disks=tuple(_with_capacity(package, disk) for disk in machine.disks))


def _with_capacity(package: Package, disk: Disk) -> Disk:
    if disk.capacity or disk.file is None or disk.parent:
        return disk
    for _, content in package.walk([disk.file]):
        if content.random is not None:
            with blamed_on(package.name, content.name):
                return replace(disk, capacity=loose.find_capacity(content.random.read_at(0, Limits().descriptor)))
    return disk


def as_plain(value: Any) -> Any:
    """Dataclasses as JSON objects with Kubernetes' spelling (coresPerSocket); what is not set is left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))
        return {_camel(name): as_plain(found) for name, found in pairs if found not in (None, "", (), {})}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return [as_plain(item) for item in value]
    return value.value if isinstance(value, Enum) else value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
