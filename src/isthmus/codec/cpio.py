"""Initramfs archives in cpio's "newc" format, as the Linux kernel unpacks them.

Used to build the conversion appliance's initrd. Format: Documentation/driver-api/early-userspace/buffer-format.rst of
the Linux kernel. Only writing is needed: the kernel is the reader.
"""

import stat
from collections.abc import Iterable
from dataclasses import dataclass

_TRAILER = "TRAILER!!!"


@dataclass(frozen=True, slots=True)
class Entry:
    """One inode. `mode` holds the type bits; a symbolic link's target is its `data`."""

    name: str
    mode: int
    data: bytes = b""


def directory(name: str) -> Entry:
    """A directory that root may write and everyone may read."""
    return Entry(name, stat.S_IFDIR | 0o755)


def file(name: str, data: bytes, *, executable: bool = False) -> Entry:
    """A regular file."""
    return Entry(name, stat.S_IFREG | (0o755 if executable else 0o644), data)


def symlink(name: str, target: str) -> Entry:
    """A symbolic link."""
    return Entry(name, stat.S_IFLNK | 0o777, target.encode())


def archive(entries: Iterable[Entry]) -> bytes:
    """The archive of `entries`, owned by root and dated 1970, so that equal input gives equal bytes.

    Parent directories that are not named are added before their first child, as the kernel creates none by itself.
    """
    out = bytearray()
    for number, entry in enumerate(_with_parents(entries), start=1):
        out += _member(number, entry)
    out += _member(0, Entry(_TRAILER, 0))
    return bytes(_padded(out, 512))


def _with_parents(entries: Iterable[Entry]) -> Iterable[Entry]:
    seen: set[str] = set()
    for entry in entries:
        parts = entry.name.split("/")
        for parent in ("/".join(parts[:depth]) for depth in range(1, len(parts))):
            if parent not in seen:
                seen.add(parent)
                yield directory(parent)
        if entry.name not in seen:
            seen.add(entry.name)
            yield entry


def _member(inode: int, entry: Entry) -> bytearray:
    name = entry.name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (inode, entry.mode, 0, 0, links, 0, len(entry.data), 0, 0, 0, 0, len(name), 0)
    head = bytearray(b"070701" + b"".join(b"%08X" % field for field in fields) + name)
    return _padded(head, 4) + _padded(bytearray(entry.data), 4)


def _padded(data: bytearray, size: int) -> bytearray:
    return data + bytes(-len(data) % size)
