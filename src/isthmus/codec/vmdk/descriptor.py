"""The text descriptor: what kind of disk it is, and which extents make it up.

A file of its own for multi-file disks, embedded behind the header in single-file ones. Only what a reader needs is
kept; `ddb.*` entries (adapter type, tools version) are given as they are.
"""

import re
from dataclasses import dataclass, field

from isthmus.codec.malformed import MalformedError
from isthmus.codec.vmdk.header import SECTOR, Limits

SIGNATURE = b"# Disk DescriptorFile"
NO_PARENT = "ffffffff"
MOST_EXTENTS = 65536

_EXTENT = re.compile(r'^(RW|RDONLY|NOACCESS)\s+(\d+)\s+([A-Z0-9_]+)(?:\s+"([^"]*)"(?:\s+(\d+))?)?')
_SETTING = re.compile(r'^([A-Za-z][\w.-]*)\s*=\s*"?([^"]*)"?$')
_READABLE = ("SPARSE", "FLAT", "ZERO", "VMFS")


@dataclass(frozen=True, slots=True)
class Extent:
    """A stretch of the disk kept in one file. `size` and `offset` (into a FLAT file) are in bytes."""

    type: str
    size: int
    file: str = ""
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A parsed descriptor."""

    create_type: str
    extents: tuple[Extent, ...]
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def capacity(self) -> int:
        """Bytes of the disk."""
        return sum(extent.size for extent in self.extents)


def looks_like(data: bytes) -> bool:
    """Whether a file beginning with `data` is a descriptor."""
    return data.lstrip()[: len(SIGNATURE)].lower() == SIGNATURE.lower()


def parse(data: bytes, limits: Limits, at: int = 0) -> Descriptor:
    """Parse a descriptor that lies at offset `at` of its file. Raises MalformedError; a snapshot's delta is refused."""
    if len(data) > limits.descriptor:
        raise MalformedError(f"a descriptor of more than {limits.descriptor} bytes", at)
    text = data.split(b"\0", 1)[0].decode("utf-8", errors="replace")
    settings: dict[str, str] = {}
    extents: list[Extent] = []
    position = at
    for line in text.splitlines(keepends=True):
        stripped = line.strip()
        if match := _EXTENT.match(stripped):
            extents.append(_extent(match, position))
        elif match := _SETTING.match(stripped):
            settings[match[1]] = match[2]
        if len(extents) > MOST_EXTENTS:
            raise MalformedError(f"more than {MOST_EXTENTS} extents", position)
        position += len(line.encode())
    _check(settings, extents, limits, at)
    return Descriptor(settings.get("createType", ""), tuple(extents), settings)


def _extent(match: re.Match[str], at: int) -> Extent:
    access, sectors, kind, name, offset = match.groups()
    if kind not in _READABLE:
        raise MalformedError(f"an extent of type {kind} cannot be read (known: {', '.join(_READABLE)})", at)
    if access == "NOACCESS":
        raise MalformedError(f'extent "{name}" may not be accessed', at)
    if kind != "ZERO" and (not name or "/" in name or "\\" in name or name in (".", "..") or "\0" in name):
        raise MalformedError(f'extent file "{name or ""}" is not a plain file name beside the descriptor', at)
    if len(sectors) > 18 or len(offset or "") > 18:
        raise MalformedError("an extent's size or offset is too large", at)
    return Extent(kind, int(sectors) * SECTOR, name or "", int(offset or 0) * SECTOR)


def _check(settings: dict[str, str], extents: list[Extent], limits: Limits, at: int) -> None:
    parent = settings.get("parentCID", NO_PARENT).lower()
    if parent != NO_PARENT:
        raise MalformedError(
            f"the disk is a snapshot of another (parentCID {parent}): export the machine without snapshots", at
        )
    if not extents:
        raise MalformedError("the descriptor names no extent", at)
    if (capacity := sum(extent.size for extent in extents)) > limits.capacity:
        raise MalformedError(
            f"the disk claims a capacity of {capacity} bytes, more than the {limits.capacity} of its volume", at
        )
