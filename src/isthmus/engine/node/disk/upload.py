"""A disk image that is streamed into a volume: raw or qcow2, plain or gzipped. Holes stay holes.

Written to a file beside the disk and put in its place when it is whole, so that a broken upload leaves the volume as
it was. A qcow2 image is looked at (`probe`) before QEMU reads it.
"""

import os
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

from isthmus.engine.node.disk import files, probe
from isthmus.lib import run

GZIP = b"\x1f\x8b"
BLOCK = 64 << 10
_ZERO = bytes(BLOCK)
CONVERT_TIMEOUT = 4 * 3600


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
        data = self._rest + data
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

    def close(self) -> None:
        """Write the rest and make it durable."""
        try:
            if self._rest:
                self._put(self._rest)
            os.truncate(self._descriptor, self.size)
            os.fsync(self._descriptor)
        finally:
            os.close(self._descriptor)


async def receive(body: AsyncIterator[bytes], volume: Path, capacity: int, *, verbatim: bool = False) -> int:
    """Fill a volume's disk from `body`; gives the size of its content. Raises ImageRefusedError, CommandError.

    `verbatim`: whatever it is, it is kept as it came; it will not be given to a machine.
    """
    part = volume / "upload.part"
    raw = volume / "upload.raw"
    try:
        await _store(body, part, capacity, inflate=not verbatim)
        if not verbatim and probe.look_at(part, trusted_raw=False).format == "qcow2":
            await _convert(part, raw, capacity)
            part.unlink()
            raw.rename(part)
        size = part.stat().st_size
        files.ensure_raw(part, capacity)
        part.replace(volume / files.DISK_NAME)
        return size
    finally:
        part.unlink(missing_ok=True)
        raw.unlink(missing_ok=True)


async def _store(body: AsyncIterator[bytes], path: Path, capacity: int, *, inflate: bool) -> None:
    target = SparseFile(path, capacity)
    inflater = None
    first = inflate
    try:
        async for chunk in body:
            if first and chunk:
                inflater = zlib.decompressobj(wbits=31) if chunk.startswith(GZIP) else None
                first = False
            if inflater is None:
                target.write(chunk)
                continue
            try:
                while chunk:  # in pieces: a small chunk may inflate to a thousand times its size
                    target.write(inflater.decompress(chunk, 1 << 20))
                    chunk = inflater.unconsumed_tail
            except zlib.error as error:
                raise probe.ImageRefusedError(f"the gzip stream is broken: {error}") from error
        if inflater is not None and not inflater.eof:
            raise probe.ImageRefusedError("the gzip stream ends too early")
    finally:
        target.close()


async def _convert(source: Path, target: Path, capacity: int) -> None:
    info = await run.run(["qemu-img", "measure", "-f", "qcow2", "-O", "raw", source], timeout=60)
    size = next((int(line.split(":")[1]) for line in info.text.splitlines() if line.startswith("required")), 0)
    if size > capacity:
        raise TooLargeError(f"the disk in the image has {size} bytes, the volume has room for {capacity}")
    await run.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", source, target], timeout=CONVERT_TIMEOUT)
