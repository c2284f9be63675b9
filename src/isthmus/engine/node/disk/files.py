"""Make and remove disk files: sparse raw disks, overlays, CD-ROM images, and the directories of local volumes."""

import contextlib
import errno
import os
import shutil
from pathlib import Path

from isthmus.engine.node.vm.errors import DiskError
from isthmus.engine.node.vm.machine import Image
from isthmus.lib import run

DISK_NAME = "disk.img"
MODE = 0o600


def ensure_raw(path: Path, size: int) -> None:
    """A sparse raw disk of at least `size` bytes: made if absent, grown if smaller, never cut. Raises DiskError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
        try:
            if os.fstat(descriptor).st_size < size:
                os.truncate(descriptor, size)
        finally:
            os.close(descriptor)
    except OSError as error:
        _remove_empty(path)
        raise DiskError(f"a disk of {size} bytes cannot be made at {path}: {error.strerror}") from error


def _remove_empty(path: Path) -> None:
    """What a failure has left must not pass for a disk."""
    with contextlib.suppress(OSError):
        if path.is_file() and path.stat().st_size == 0:
            path.unlink()


async def ensure_overlay(path: Path, base: Image) -> Image:
    """A qcow2 file over `base` that takes its writes; kept if it is there (a machine that is started again)."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".new")
        temporary.unlink(missing_ok=True)
        await run.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-F", base.format, "-b", base.path.resolve(), temporary]
        )
        temporary.replace(path)
    return Image(path, "qcow2", direct=base.direct, backing=base)


def hold(file: Path, link: Path) -> Path:
    """Have `file` under the name `link` as well, so that its bytes stay for as long as `link` does, whatever becomes of
    the image that it is from. What `link` held before is kept. Across file systems it is `file` itself.
    """
    if link.exists():
        return link
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        link.hardlink_to(file)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EPERM, errno.EMLINK):
            return file
        raise DiskError(f"{file} cannot be linked to {link}: {error.strerror}") from error
    return link


def write_once(path: Path, data: bytes) -> None:
    """Replace a file whole; only its owner may read it (it may hold secrets)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    temporary.replace(path)


def ensure_volume(directory: Path, size: int) -> None:
    """The directory of a local volume with its disk. Raises DiskError."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise DiskError(f"the volume's directory {directory} cannot be made: {error.strerror}") from error
    ensure_raw(directory / DISK_NAME, size)


def disk_size(directory: Path) -> int:
    """The size of a volume's disk in bytes, which is the volume's: it was made with it."""
    return (directory / DISK_NAME).stat().st_size


def preallocate(path: Path) -> None:
    """Have all of a disk's blocks allocated, so that it cannot run out of space later."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.posix_fallocate(descriptor, 0, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def remove_volume(directory: Path, below: Path) -> None:
    """Remove a volume's directory; one that is not directly in `below` is left alone, whatever an object says."""
    if directory.parent.resolve() == below.resolve() and directory.name not in ("", ".", ".."):
        shutil.rmtree(directory, ignore_errors=True)
