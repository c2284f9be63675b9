"""What a source has, as plain data: the machines of a package as the importer shows and maps them."""

import dataclasses
from collections.abc import Mapping
from enum import Enum
from typing import Any

from isthmus.codec.vmdk.header import Limits
from isthmus.importer.sources.errors import SourceError
from isthmus.importer.sources.package import Package


def describe(package: Package) -> dict[str, Any]:
    """The package's machines, and what is known about the integrity of its files.

    Raises SourceError for a disk that no volume can hold.
    """
    for machine in package.envelope.machines:
        for disk in machine.disks:
            if (disk.capacity or 0) > (largest := Limits().capacity):
                reason = f"disk {disk.id!r} has {disk.capacity} bytes, more than the {largest} that a disk may have"
                raise SourceError(reason, source=package.name)
    return {
        "source": package.name,
        "signed": package.signed,
        "manifest": package.ledger.expected is not None,
        "networks": list(package.envelope.networks),
        "machines": [as_plain(machine) for machine in package.envelope.machines],
    }


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
