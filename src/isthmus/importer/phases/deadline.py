"""How long a phase may take: a time to begin with, and more for each byte. Pure."""

from dataclasses import dataclass
from typing import Any

from isthmus.machinery import quantity

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Limit:
    """`seconds`, and one more for every `rate` bytes of the disks (or of the upload)."""

    seconds: float
    rate: float = 0.0


# The slowest that is not yet given up: 1 MB/s from the source, 20 MB/s within the guest's disks.
LIMITS = {
    "AwaitingUpload": Limit(3600, 1e6),
    "Inspecting": Limit(600),
    "Transferring": Limit(900, 1e6),
    "Converting": Limit(1800, 20e6),
    "Proving": Limit(1200),
    "Creating": Limit(300),
}


def deadline(phase: str, spec: Object, status: Object) -> float:
    """Seconds that `phase` may take."""
    limit = LIMITS[phase]
    size = _upload(spec) if phase == "AwaitingUpload" else _disks(status)
    return limit.seconds + (size / limit.rate if limit.rate else 0.0)


def _upload(spec: Object) -> int:
    return int((spec["source"].get("upload") or {}).get("size") or 0)


def _disks(status: Object) -> int:
    return sum(quantity.whole(disk.get("capacity") or 0) for disk in status.get("disks") or [])
