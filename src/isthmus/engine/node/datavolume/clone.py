"""A disk from another volume: extents are copied, or shared where the filesystem can (reflink); holes stay holes."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from isthmus.engine.node.datavolume.errors import TransferError
from isthmus.engine.node.datavolume.progress import Progress
from isthmus.engine.node.disk import files, ingest

STEP = 64 << 20


async def fill(source: Path, target: Path, progress: Progress) -> None:
    """Fill `target` from the volume `source`. Raises TransferError."""
    origin, capacity = source / files.DISK_NAME, files.disk_size(target)
    if not origin.exists():
        raise TransferError("the source volume has no disk")
    part = ingest.part_of(target)
    progress.total = origin.stat().st_size
    copy(origin, part, progress)
    files.ensure_raw(part, capacity)
    ingest.sync(part)
    part.replace(target / files.DISK_NAME)


def copy(source: Path, target: Path, report: Callable[[int], None]) -> None:
    """A sparse copy; `report` is told the position."""
    reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    writing = os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, files.MODE)
    try:
        size = os.fstat(reading).st_size
        os.truncate(writing, size)
        for start, end in extents(reading, size):
            while start < end:
                copied = os.copy_file_range(reading, writing, min(STEP, end - start), start, start)
                if not copied:
                    break
                start += copied
                report(start)
    finally:
        os.close(reading)
        os.close(writing)


def extents(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Where a file has data, as (start, end)."""
    position = 0
    while position < size:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole is left
                return
            raise
        position = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, position
