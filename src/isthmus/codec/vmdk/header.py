"""The header of a hosted sparse extent: 512 bytes that say where everything else lies."""

import struct
from dataclasses import dataclass

from isthmus.codec.malformed import MalformedError

SECTOR = 512
MAGIC = b"KDMV"
GD_AT_END = 0xFFFFFFFFFFFFFFFF
DEFLATE = 1

_FIELDS = struct.Struct("<4sIIQQQQIQQQB4sH")
_NEWLINES = b"\n \r\n"
_NEWLINE_TEST, _REDUNDANT_TABLE, _ZEROED_GRAINS, _COMPRESSED, _MARKERS = 1 << 0, 1 << 1, 1 << 2, 1 << 16, 1 << 17

# What else may be found where a sparse extent was expected: a better message than "wrong magic".
_OTHER_MAGICS = {
    b"COWD": "an ESX redo log (vmfsSparse): a snapshot, export the virtual machine without snapshots",
    b"\xbe\xba\xfe\xca": "an ESX seSparse extent: a snapshot, export the virtual machine without snapshots",
    b"QFI\xfb": "a qcow2 image, not a VMDK",
    b"# Di": "a VMDK descriptor, whose extents are files of their own",
    b"cone": "a VHD image, not a VMDK",
    b"vhdx": "a VHDX image, not a VMDK",
    b"\x1f\x8b\x08\x00": "gzip data, which the OVF descriptor does not announce",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a reader accepts. `capacity` is the size in bytes of the volume that the disk must fit into."""

    capacity: int = 62 << 40  # VMware's own largest disk
    grain: int = 1 << 20
    grains: int = 1 << 30  # as many as the largest disk has with the usual 64 KiB
    descriptor: int = 1 << 16


@dataclass(frozen=True, slots=True)
class Header:
    """A checked header. Sizes and positions are in bytes; `directory` is None where it comes after the grains."""

    version: int
    capacity: int
    grain: int
    entries: int  # grain table entries per grain table
    descriptor: int
    descriptor_size: int
    directory: int | None
    overhead: int
    compressed: bool
    markers: bool

    @property
    def tables(self) -> int:
        """How many grain tables cover the capacity."""
        return -(-self.capacity // (self.grain * self.entries))

    @property
    def table_size(self) -> int:
        """Bytes of one grain table."""
        return self.entries * 4

    @property
    def grains(self) -> int:
        """How many grains cover the capacity."""
        return -(-self.capacity // self.grain)


def parse(data: bytes, limits: Limits, at: int = 0) -> Header:
    """Check the 512 bytes at offset `at` of the file. Raises MalformedError."""
    if len(data) < SECTOR:
        raise MalformedError(f"the header is cut off: {len(data)} of {SECTOR} bytes", at + len(data))
    magic, version, flags, capacity, grain, desc, desc_size, entries, _, directory, overhead, _, newlines, method = (
        _FIELDS.unpack_from(data)
    )
    if magic != MAGIC:
        what = _OTHER_MAGICS.get(bytes(magic), f"no VMDK: it begins with {bytes(magic)!r} instead of {MAGIC!r}")
        raise MalformedError(f"this is {what}", at)
    if not 1 <= version <= 3:
        raise MalformedError(f"VMDK version {version} is not known (1 to 3 are)", at + 4)
    if flags & _NEWLINE_TEST and newlines != _NEWLINES:
        raise MalformedError(
            "line ends were translated on the way (a transfer in text mode): copy the file again", at + 73
        )
    header = Header(
        version=version,
        capacity=capacity * SECTOR,
        grain=grain * SECTOR,
        entries=entries,
        descriptor=desc * SECTOR,
        descriptor_size=desc_size * SECTOR,
        directory=None if directory == GD_AT_END else directory * SECTOR,
        overhead=overhead * SECTOR,
        compressed=bool(flags & _COMPRESSED),
        markers=bool(flags & _MARKERS),
    )
    _check(header, method, limits, at)
    return header


def _check(header: Header, method: int, limits: Limits, at: int) -> None:
    if not header.capacity:
        raise MalformedError("the capacity is 0: no disk", at + 12)
    if header.capacity > limits.capacity:
        raise MalformedError(
            f"the disk claims a capacity of {header.capacity} bytes, more than the {limits.capacity} of its volume",
            at + 12,
        )
    if header.grain < 8 * SECTOR or header.grain & (header.grain - 1) or header.grain > limits.grain:
        raise MalformedError(
            f"a grain of {header.grain} bytes: expected a power of 2 from {8 * SECTOR} to {limits.grain}", at + 20
        )
    if header.grains > limits.grains:
        raise MalformedError(f"{header.grains} grains are more than the {limits.grains} that are followed", at + 20)
    if header.descriptor_size > limits.descriptor:
        raise MalformedError(f"a descriptor of {header.descriptor_size} bytes is too long", at + 36)
    if header.entries != 512:
        raise MalformedError(f"{header.entries} entries per grain table: expected 512", at + 44)
    if header.compressed and method != DEFLATE:
        raise MalformedError(f"compression method {method} is not known (1, deflate, is)", at + 77)
    most = 64 * SECTOR * 128 + limits.descriptor + 2 * header.tables * (header.table_size + SECTOR)
    if header.overhead > most:
        raise MalformedError(f"{header.overhead} bytes of metadata are too much for the capacity", at + 64)
