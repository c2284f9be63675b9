"""The volume that a disk is written into: `disk.img` in a folder, or a block device. Sparse, and durable when done.

Writes go past the page cache (O_DIRECT) where the filesystem can: the data is not read again here, copying it into the
cache costs more than everything else together, and progress then means what it says.
"""

import ctypes
import errno
import os
import stat
from pathlib import Path

IMAGE = "disk.img"
ALIGNMENT = 4096
_KEEP_SIZE, _PUNCH_HOLE, _ZERO_RANGE = 1, 2, 16


class TargetError(Exception):
    """The volume cannot be written: full, gone, too small. `str()` is fit to be shown to a person."""


def find_image(path: Path) -> Path:
    """The disk of the volume at `path`."""
    return path / IMAGE if path.is_dir() else path


class Target:
    """A volume by its path. Call `prepare` (or `reopen`), then `write` from any thread, then `finish`, or `reset`."""

    def __init__(self, path: Path, size: int | None = None) -> None:
        """`size` is the volume's in bytes where it is known; else the image's or device's own, or the filesystem's."""
        self._path = find_image(path)
        self._block = self._path.is_block_device()
        self._existing = self._measure()
        self.size = size or self._existing or self._room()
        self._plain = self._direct = -1

    def prepare(self, capacity: int) -> None:
        """Make room for `capacity` bytes, all zeros. Raises TargetError, SourceError's place is the caller's check."""
        try:
            self._open(os.O_WRONLY | os.O_CLOEXEC | (0 if self._block else os.O_CREAT))
            self._clear(max(capacity, self._existing or 0))
        except OSError as error:
            raise self._failed(error) from error

    @property
    def folder(self) -> Path | None:
        """Where something can be put down beside the disk; None for a block device."""
        return None if self._block else self._path.parent

    def reopen(self, capacity: int) -> bool:
        """Go on writing what `prepare(capacity)` once began; False if the volume does not look like that."""
        if self._block or self._existing is None or self._existing < capacity:
            return False
        try:
            self._open(os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            raise self._failed(error) from error
        return True

    def _open(self, flags: int) -> None:
        self._plain = os.open(self._path, flags, 0o660)
        try:
            self._direct = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC | os.O_DIRECT)
        except OSError:
            self._direct = -1  # e.g. tmpfs

    def sync(self) -> None:
        """All that was written so far is on the disk when this returns. Raises TargetError."""
        try:
            os.fdatasync(self._plain)
        except OSError as error:
            raise self._failed(error) from error

    def write(self, position: int, data: memoryview) -> None:
        """Write all of `data`, which should lie page-aligned in memory. Raises TargetError."""
        try:
            aligned = 0
            if self._direct >= 0 and position % ALIGNMENT == 0:
                aligned = self._write_direct(position, data[: len(data) // ALIGNMENT * ALIGNMENT])
            _write_all(self._plain, position + aligned, data[aligned:])
        except OSError as error:
            raise self._failed(error) from error

    def finish(self) -> None:
        """Everything is on the disk when this returns. Raises TargetError."""
        try:
            os.fsync(self._plain)
            self.close()
            if not self._block:
                _sync_folder(self._path.parent)
        except OSError as error:
            raise self._failed(error) from error

    def reset(self) -> None:
        """Leave the volume as if nothing had been written: empty, of its old size."""
        if self._plain < 0:
            self._plain = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        self._clear(self._existing or 0)
        if self._existing is None:
            self._path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Close the descriptors."""
        for fd in (self._plain, self._direct):
            if fd >= 0:
                os.close(fd)
        self._plain = self._direct = -1

    def _write_direct(self, position: int, data: memoryview) -> int:
        try:
            _write_all(self._direct, position, data)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return 0  # larger blocks than ours, or a filesystem that only pretends: take the cache
        return len(data)

    def _measure(self) -> int | None:
        try:
            info = self._path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._failed(error) from error
        if stat.S_ISBLK(info.st_mode):
            with self._path.open("rb") as device:
                return device.seek(0, os.SEEK_END)
        if not stat.S_ISREG(info.st_mode):
            raise TargetError(f"{self._path} is neither a plain file nor a block device")
        return info.st_size

    def _room(self) -> int:
        try:
            info = os.statvfs(self._path.parent)
        except OSError as error:
            raise self._failed(error) from error
        return info.f_bavail * info.f_frsize

    def _clear(self, size: int) -> None:
        if not self._block:
            os.ftruncate(self._plain, 0)
            os.ftruncate(self._plain, size)
        elif size:
            _zero(self._plain, size)

    def _failed(self, error: OSError) -> TargetError:
        return TargetError(f"cannot write {self._path}: {error.strerror or error}")


def _write_all(fd: int, position: int, data: memoryview) -> None:
    while data:
        written = os.pwrite(fd, data, position)
        data, position = data[written:], position + written


def _zero(fd: int, size: int) -> None:
    """Zeros over a block device's first `size` bytes, by discarding where it can. Raises OSError."""
    fallocate = ctypes.CDLL(None, use_errno=True).fallocate
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    for mode in (_PUNCH_HOLE | _KEEP_SIZE, _ZERO_RANGE | _KEEP_SIZE):
        if fallocate(fd, mode, 0, size) == 0:
            return
    code = ctypes.get_errno()
    raise OSError(code, os.strerror(code))


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
