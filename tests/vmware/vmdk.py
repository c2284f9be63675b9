"""Writes VMDKs in VMware's shapes: streamOptimized with markers, tables behind the grains, footer and end of stream;
monolithicSparse and twoGbMaxExtentSparse; flat. Source disks are raw files; their holes are found with SEEK_DATA.
"""

import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from isal import isal_zlib

SECTOR = 512
GRAIN = 1 << 16
ENTRIES = 512  # per grain table
GD_AT_END = 0xFFFFFFFFFFFFFFFF
END_OF_STREAM, GRAIN_TABLE, GRAIN_DIRECTORY, FOOTER = range(4)
_AHEAD = 64  # grains being compressed at once

Compress = Callable[[bytes], bytes]


def fast(data: bytes) -> bytes:
    """Deflate as fast as it goes."""
    return isal_zlib.compress(data, 1)


@dataclass(frozen=True)
class Layout:
    """What goes into a header; positions in sectors, capacity in bytes."""

    capacity: int
    descriptor: int = 1
    descriptor_size: int = 20
    redundant: int = 0
    directory: int = GD_AT_END
    overhead: int = 128
    version: int = 3
    flags: int = 0x30001
    method: int = 1
    grain: int = GRAIN

    def pack(self) -> bytes:
        return struct.pack(
            "<4sIIQQQQIQQQB4sH433x",
            b"KDMV", self.version, self.flags, -(-self.capacity // SECTOR), self.grain // SECTOR, self.descriptor,
            self.descriptor_size, ENTRIES, self.redundant, self.directory, self.overhead, 0, b"\n \r\n", self.method,
        )  # fmt: skip


def descriptor(create_type: str, extents: Iterable[str], adapter: str = "lsilogic", **settings: str) -> bytes:
    """The text descriptor."""
    lines = ["# Disk DescriptorFile", "version=1", "CID=7a1d3f0c", "parentCID=ffffffff", f'createType="{create_type}"']
    lines += [f'{key}="{value}"' for key, value in settings.items()]
    lines += ["", "# Extent description", *extents, "", "# The Disk Data Base", "#DDB", ""]
    lines += [f'ddb.adapterType = "{adapter}"', 'ddb.virtualHWVersion = "14"', 'ddb.toolsVersion = "10304"']
    return "\n".join(lines).encode() + b"\n"


def find_grains(raw: Path, start: int = 0, size: int | None = None) -> Iterator[tuple[int, bytes]]:
    """(position, data) of the grains of `size` bytes from `start` that are not all zeros; the last is padded to full.

    Positions count from `start`.
    """
    end = raw.stat().st_size if size is None else min(start + size, raw.stat().st_size)
    zeros = bytes(GRAIN)
    with raw.open("rb") as file:
        position = start
        while position < end:
            try:
                position += (os.lseek(file.fileno(), position, os.SEEK_DATA) - position) // GRAIN * GRAIN
            except OSError:
                return  # a hole until the end
            data = os.pread(file.fileno(), max(0, min(GRAIN, end - position)), position).ljust(GRAIN, b"\0")
            if data != zeros:
                yield position - start, data
            position += GRAIN


def write_stream_optimized(
    raw: Path, out: BinaryIO, *, compress: Compress = fast, extent: str = "disk.vmdk"
) -> int:  # fmt: skip
    """VMware's streamOptimized; gives the capacity."""
    capacity = -(-raw.stat().st_size // SECTOR) * SECTOR
    layout = Layout(capacity)
    text = descriptor("streamOptimized", [f'RW {capacity // SECTOR} SPARSE "{extent}"'])
    out.write(layout.pack() + text.ljust(20 * SECTOR, b"\0"))
    out.write(bytes(layout.overhead * SECTOR - out.tell()))
    directory = [0] * -(-capacity // (GRAIN * ENTRIES))
    table: list[int] = []
    current = 0
    for position, data in _compressed(find_grains(raw), compress):
        number = position // GRAIN
        if table and number // ENTRIES != current:
            directory[current] = _write_metadata(out, GRAIN_TABLE, _numbers(table))
            table = []
        current = number // ENTRIES
        table = table or [0] * ENTRIES
        table[number % ENTRIES] = out.tell() // SECTOR
        _write_padded(out, struct.pack("<QI", position // SECTOR, len(data)) + data)
    if table:
        directory[current] = _write_metadata(out, GRAIN_TABLE, _numbers(table))
    at = _write_metadata(out, GRAIN_DIRECTORY, _numbers(directory))
    _write_metadata(out, FOOTER, Layout(capacity, directory=at).pack())
    out.write(bytes(SECTOR))
    return capacity


def _compressed(grains: Iterator[tuple[int, bytes]], compress: Compress) -> Iterator[tuple[int, bytes]]:
    """Deflated in threads, in the same order, a bounded number at once."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting: list[tuple[int, Future[bytes]]] = []
        for position, data in grains:
            waiting.append((position, pool.submit(compress, data)))
            if len(waiting) >= _AHEAD:
                first, future = waiting.pop(0)
                yield first, future.result()
        for position, future in waiting:
            yield position, future.result()


def _write_padded(out: BinaryIO, data: bytes) -> None:
    out.write(data + bytes(-len(data) % SECTOR))


def _write_metadata(out: BinaryIO, kind: int, data: bytes) -> int:
    """A marker and its data; the sector of the data."""
    _write_padded(out, struct.pack("<QII", -(-len(data) // SECTOR), 0, kind))
    sector = out.tell() // SECTOR
    _write_padded(out, data)
    return sector


def _numbers(values: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def write_sparse(
    raw: Path,
    out: BinaryIO,
    *,
    start: int = 0,
    size: int | None = None,
    extent: str = "",
    order: Callable[[list[int]], list[int]] = lambda positions: positions,
) -> None:
    """A hosted sparse extent of `size` bytes of the disk from `start`: monolithicSparse if `extent` names it.

    `order` is the order in which the guest first wrote the grains, and so theirs in the file.
    """
    size = -(-raw.stat().st_size // SECTOR) * SECTOR if size is None else size
    text = descriptor("monolithicSparse", [f'RW {size // SECTOR} SPARSE "{extent}"']) if extent else b""
    tables = -(-size // (GRAIN * ENTRIES))
    copy = -(-tables * 4 // SECTOR) + tables * 4  # sectors of a directory and its tables, 4 sectors each
    redundant = 21
    directory = redundant + copy
    overhead = -(-(directory + copy) // 128) * 128
    grains = dict(find_grains(raw, start, size))
    places = {position: overhead + i * (GRAIN // SECTOR) for i, position in enumerate(order(list(grains)))}
    out.write(
        Layout(size, 1 if text else 0, 20 if text else 0, redundant, directory, overhead, 1, 3, 0).pack()
        + text.ljust(20 * SECTOR, b"\0")
    )
    for first in (redundant, directory):
        out.seek(first * SECTOR)
        first_table = first + -(-tables * 4 // SECTOR)
        _write_padded(out, _numbers([first_table + 4 * i for i in range(tables)]))
        entries = [places.get(i * GRAIN, 0) for i in range(tables * ENTRIES)]
        out.write(_numbers(entries))
    for position, place in places.items():
        out.seek(place * SECTOR)
        out.write(grains[position])
    out.seek(0, os.SEEK_END)
    out.write(bytes(max(0, overhead * SECTOR - out.tell())))


def write_split(raw: Path, folder: Path, name: str, *, flat: bool, extent_size: int = 2047 << 20) -> Path:
    """twoGbMaxExtentSparse or twoGbMaxExtentFlat: the descriptor's path; its extents lie beside it."""
    capacity = -(-raw.stat().st_size // SECTOR) * SECTOR
    lines = []
    for number, start in enumerate(range(0, capacity, extent_size), 1):
        size = min(extent_size, capacity - start)
        file = folder / f"{name}-{'f' if flat else 's'}{number:03d}.vmdk"
        with file.open("wb") as out:
            if flat:
                copy_range(raw, out, start, size)
            else:
                write_sparse(raw, out, start=start, size=size)
        lines.append(f'RW {size // SECTOR} {"FLAT" if flat else "SPARSE"} "{file.name}"' + (" 0" if flat else ""))
    path = folder / f"{name}.vmdk"
    path.write_bytes(descriptor("twoGbMaxExtentFlat" if flat else "twoGbMaxExtentSparse", lines))
    return path


def write_flat(raw: Path, folder: Path, name: str) -> Path:
    """monolithicFlat: the descriptor's path, its extent beside it."""
    capacity = -(-raw.stat().st_size // SECTOR) * SECTOR
    with (folder / f"{name}-flat.vmdk").open("wb") as out:
        copy_range(raw, out, 0, capacity)
    path = folder / f"{name}.vmdk"
    path.write_bytes(descriptor("monolithicFlat", [f'RW {capacity // SECTOR} FLAT "{name}-flat.vmdk" 0']))
    return path


def copy_range(raw: Path, out: BinaryIO, start: int, size: int) -> None:
    """Bytes of a file into another; what lies behind the file's end is zeros."""
    out.truncate(size)
    with raw.open("rb") as file:
        file.seek(start)
        left = size
        while left and (data := file.read(min(left, 1 << 20))):
            out.write(data)
            left -= len(data)
