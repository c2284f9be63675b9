"""Fill a volume from a disk image that comes as a stream: raw, qcow2, VMDK, VDI, VHD or VHDX; plain, gzip or xz.

Holes stay holes. The image is written to a file beside the disk and put in its place when it is whole, so that a broken
transfer leaves the volume as it was. A raw image is that file; others are looked at (`probe`), qemu-img converts them.
Called by the agent for uploads and by the worker of DataVolumes for imports.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from isthmus.engine.node.disk import compression, files, probe
from isthmus.lib import run

BLOCK = 64 << 10
_ZERO = bytes(BLOCK)
HEAD = 512  # what tells compression, and then the format
FORMAT_OVERHEAD = 64 << 20  # a format's own tables, beside a share of the disk's size
CONVERT_TIMEOUT = 12 * 3600
Report = Callable[[int], None]


class TooLargeError(probe.ImageRefusedError):
    """More bytes than the volume has room for."""

    reason = "ImageTooLarge"


class SparseFile:
    """Writes a stream; blocks of zeros are skipped over. Raises TooLargeError past `limit` bytes."""

    def __init__(self, path: Path, limit: int) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, files.MODE)
        self._limit = limit
        self._rest = b""
        self.size = 0

    def write(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        data = self._rest + data if self._rest else data
        whole = len(data) - len(data) % BLOCK
        for start in range(0, whole, BLOCK):
            self._put(data[start : start + BLOCK])
        self._rest = data[whole:]

    def _put(self, block: bytes) -> None:
        if self.size + len(block) > self._limit:
            raise TooLargeError(f"the image has more than the {self._limit} bytes that the volume has room for")
        if block != _ZERO[: len(block)]:
            os.pwrite(self._descriptor, block, self.size)
        self.size += len(block)

    def finish(self) -> None:
        """Write the rest and make it durable."""
        if self._rest:
            self._put(self._rest)
        os.truncate(self._descriptor, self.size)
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


class Unpacker:
    """From the bytes of a transfer to a sparse file of the image in it. Blocking: call it in a thread."""

    def __init__(self, path: Path, capacity: int, *, verbatim: bool = False) -> None:
        """`verbatim`: whatever it is, it is kept as it came; it will not be given to a machine."""
        self._path = path
        self._verbatim = verbatim
        self._capacity = capacity
        self._head = b""
        self._decoder: compression.Decoder | None = None
        self._unpacked = b""
        self._file: SparseFile | None = None

    def feed(self, data: bytes) -> None:
        """Take the next bytes. Raises ImageRefusedError."""
        if self._decoder is None:
            self._head += data
            if len(self._head) < HEAD:
                return
        self._decode(self._head if self._decoder is None else data)

    def _decode(self, data: bytes) -> None:
        if self._decoder is None:
            self._decoder = compression.find_decoder(b"" if self._verbatim else data)
        try:
            for piece in self._decoder.feed(data):
                self._write(piece)
        except compression.CompressionError as error:
            raise probe.ImageRefusedError(str(error)) from error

    def _write(self, piece: bytes, *, last: bool = False) -> None:
        if self._file is None:
            self._unpacked += piece
            if len(self._unpacked) < HEAD and not last:
                return
            raw = self._verbatim or probe.find_any_format(self._unpacked, "the image") == "raw"
            limit = self._capacity if raw else self._capacity + self._capacity // 64 + FORMAT_OVERHEAD
            self._file, piece, self._unpacked = SparseFile(self._path, limit), self._unpacked, b""
        self._file.write(piece)

    def finish(self) -> None:
        """The stream has ended. Raises ImageRefusedError if it is not whole, or empty."""
        if self._decoder is None:
            if not self._head:
                raise probe.ImageRefusedError("the image is empty")
            self._decode(self._head)
        assert self._decoder is not None
        try:
            self._decoder.close()
        except compression.CompressionError as error:
            raise probe.ImageRefusedError(str(error)) from error
        if self._file is None:
            self._write(b"", last=True)
        assert self._file is not None
        self._file.finish()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()


def part_of(volume: Path) -> Path:
    """Where a transfer is written before it is whole."""
    return volume / "transfer.part"


async def store(
    body: AsyncIterator[bytes], volume: Path, capacity: int, report: Report | None = None, *, verbatim: bool = False
) -> None:
    """Write the image beside the volume's disk; `report` is told the bytes taken. Raises ImageRefusedError."""
    unpacker = Unpacker(part_of(volume), capacity, verbatim=verbatim)
    taken = 0
    try:
        async for chunk in body:
            await asyncio.to_thread(unpacker.feed, chunk)
            taken += len(chunk)
            if report:
                report(taken)
        await asyncio.to_thread(unpacker.finish)
    except BaseException:
        part_of(volume).unlink(missing_ok=True)
        raise
    finally:
        unpacker.close()


async def put_in_place(volume: Path, capacity: int, *, verbatim: bool = False) -> int:
    """Make what `store` wrote the volume's disk; its content's size. Raises ImageRefusedError, CommandError."""
    part, raw = part_of(volume), volume / "transfer.raw"
    try:
        with part.open("rb") as file:
            kind = "raw" if verbatim else probe.find_any_format(file.read(HEAD), "the image")
        if kind != "raw":
            await convert(part, kind, raw, capacity)
            raw.replace(part)
        size = part.stat().st_size
        files.ensure_raw(part, capacity)
        await asyncio.to_thread(sync, part)
        part.replace(volume / files.DISK_NAME)
        sync(volume)
        return size
    finally:
        part.unlink(missing_ok=True)
        raw.unlink(missing_ok=True)


async def receive(body: AsyncIterator[bytes], volume: Path, capacity: int) -> int:
    """`store` and `put_in_place`."""
    await store(body, volume, capacity)
    return await put_in_place(volume, capacity)


async def convert(source: Path, kind: str, target: Path, capacity: int) -> None:
    """A sparse raw file of the image. Raises ImageRefusedError: it refers to other files, or is too large."""
    size = await probe.look_into(source, kind)
    if size > capacity:
        raise TooLargeError(f"the disk in the image has {size} bytes, the volume has room for {capacity}")
    await run.run(["qemu-img", "convert", "-f", kind, "-O", "raw", source, target], timeout=CONVERT_TIMEOUT)


def sync(path: Path) -> None:
    """What was written there is on the disk (qemu-img does not see to that)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
