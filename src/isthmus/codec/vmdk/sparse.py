"""Hosted sparse extents (monolithicSparse, twoGbMaxExtentSparse): where the data is, found by random access.

Grains lie in the order in which the guest first wrote them, so the walk goes table by table in the disk's order and
needs 2 KiB of one table at a time, whatever the capacity.
"""

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from isthmus.codec.malformed import MalformedError
from isthmus.codec.vmdk import descriptor as descriptors
from isthmus.codec.vmdk import header as headers
from isthmus.codec.vmdk.header import SECTOR, Header, Limits
from isthmus.codec.vmdk.tables import ZERO_GRAIN

ReadAt = Callable[[int, int], bytes]  # (offset, size) -> at most size bytes, fewer only at the end of the file

MOST_RUN = 1 << 20


class Run(NamedTuple):
    """`size` bytes of data of the disk from `position`, at `offset` of the file. What no run covers is zeros."""

    position: int
    size: int
    offset: int


def open_extent(read_at: ReadAt, limits: Limits) -> tuple[Header, descriptors.Descriptor | None]:
    """The extent's header and, where it has one, its embedded descriptor. Raises MalformedError."""
    header = headers.parse(read_at(0, SECTOR), limits)
    if header.compressed:
        raise MalformedError("the grains are compressed: a streamOptimized disk, to be read as a stream", 8)
    if header.directory is None:
        raise MalformedError("a sparse extent must have its grain directory before the grains", 56)
    if not header.descriptor:
        return header, None
    text = _read(read_at, header.descriptor, header.descriptor_size, "the descriptor")
    # A split disk's extents carry no descriptor of their own, but may reserve the room for one.
    return header, descriptors.parse(text, limits, header.descriptor) if text.strip(b"\0") else None


def find_runs(header: Header, read_at: ReadAt, file_size: int) -> Iterator[Run]:
    """The data in the disk's order, neighbours joined up to 1 MiB. Raises MalformedError.

    Every grain must lie in the file behind the metadata, and no two share their place (a table that names one grain
    many times would make a small file write a large disk): grains seen are counted against the file's size.
    """
    assert header.directory is not None
    directory = _read(read_at, header.directory, header.tables * 4, "the grain directory")
    left = file_size // header.grain + 1
    run: Run | None = None
    for number, (sector,) in enumerate(struct.iter_unpack("<I", directory)):
        if not sector:
            continue
        at = sector * SECTOR
        table = _read(read_at, at, header.table_size, "a grain table")
        first = number * header.entries * header.grain
        for index, grain in enumerate(struct.unpack(f"<{header.entries}I", table)):
            if grain <= ZERO_GRAIN:
                continue
            position, offset = first + index * header.grain, grain * SECTOR
            size = min(header.grain, header.capacity - position)
            left -= 1
            _check_grain(position, offset, size, file_size, left, at + 4 * index)
            if run and run.position + run.size == position and run.offset + run.size == offset and run.size < MOST_RUN:
                run = Run(run.position, run.size + size, run.offset)
                continue
            if run:
                yield run
            run = Run(position, size, offset)
    if run:
        yield run


def _check_grain(position: int, offset: int, size: int, file_size: int, left: int, entry: int) -> None:
    if size <= 0:
        raise MalformedError(f"a grain for disk byte {position}, beyond the capacity", entry)
    if offset + size > file_size:
        raise MalformedError(
            f"the grain for disk byte {position} would be at byte {offset}, but the file ends at {file_size}", entry
        )
    if left < 0:
        raise MalformedError("the grain tables name more grains than the file can hold", entry)


def _read(read_at: ReadAt, offset: int, size: int, what: str) -> bytes:
    data = read_at(offset, size)
    if len(data) < size:
        raise MalformedError(
            f"the file ends within {what} that begins at byte {offset}: it is cut off", offset + len(data)
        )
    return data
