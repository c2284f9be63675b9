"""The PersistentVolumeClaims that a machine's disks are copied into."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from isthmus.importer.map import names
from isthmus.importer.sources.machine import Disk, Machine

Object = dict[str, Any]
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Storage:
    """How claims are made. `overhead` is the share of a Filesystem volume that the filesystem itself may take."""

    storage_class: str = ""  # empty: the cluster's default
    access_modes: tuple[str, ...] = ("ReadWriteOnce",)
    volume_mode: str = "Filesystem"
    overhead: float = 0.0


def claim_names(machine: Machine, name: str) -> dict[str, str]:
    """Disk id -> name of its claim: `<machine>-disk-<n>`, n in boot order."""
    prefix = names.to_label(name, longest=names.LABEL - len("-disk-9999"))
    return {disk.id: f"{prefix}-disk-{number}" for number, disk in enumerate(machine.disks, 1)}


def persistent_volume_claim(
    disk: Disk, name: str, namespace: str, storage: Storage, labels: Mapping[str, str] | None = None
) -> Object:
    """The claim for one disk. Raises ValueError if its capacity is not known."""
    if not disk.capacity:
        raise ValueError(f"the capacity of {disk.label} is not known")
    spec: Object = {
        "accessModes": list(storage.access_modes),
        "volumeMode": storage.volume_mode,
        "resources": {"requests": {"storage": quantity(_with_overhead(disk.capacity, storage))}},
    }
    if storage.storage_class:
        spec["storageClassName"] = storage.storage_class
    metadata: Object = {"name": name, "namespace": namespace}
    if labels:
        metadata["labels"] = dict(labels)
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def _with_overhead(capacity: int, storage: Storage) -> int:
    """Whole MiB, which every storage system can give."""
    share = storage.overhead if storage.volume_mode == "Filesystem" else 0.0
    return -(-int(capacity / (1 - share)) // _MIB) * _MIB if share else -(-capacity // _MIB) * _MIB


def quantity(size: int) -> str:
    """Bytes as Kubernetes writes them, exactly: 2Gi, 1536Mi, 1000."""
    for unit, factor in (("Ti", 1 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)):
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)
