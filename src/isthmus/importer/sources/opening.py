"""From what a user names (a path, a URL, `-` for standard input) to a package.

What is there decides, not what it is called: XML is an OVF descriptor with its files beside it, a VMDK a package of one
disk, and everything else has to be a tar archive.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from isthmus.codec import manifest
from isthmus.codec.vmdk import descriptor, header
from isthmus.importer.sources import package, streams, web
from isthmus.importer.sources.checked import CheckedPackage, Checksum
from isthmus.importer.sources.errors import SourceError, blamed_on
from isthmus.importer.sources.hashing import Ledger
from isthmus.importer.sources.machine import FileReference
from isthmus.importer.sources.package import Content, Package
from isthmus.importer.sources.pipe import PipePackage
from isthmus.importer.sources.streams import RandomFile, Stream

STDIN = "-"


def open_package(location: str, checksum: manifest.Digest | None = None) -> Package:
    """The package at `location`; what the file itself must hash to, if `checksum` says so, is compared by `finish`.

    Raises SourceError: not there, not readable, not a package.
    """
    if location == STDIN:
        return open_stream("upload", streams.Pipe(0), checksum)
    if "://" in location:
        return _open_url(web.parse_address(location), checksum)
    path = Path(location)
    if path.is_dir():
        path = _only_descriptor(path)
    with blamed_on(location):
        file = streams.LocalFile(path)
        head = file.read_at(0, header.SECTOR)
    if _is_xml(head):
        opened = package.open_folder(path)
    elif _is_disk(head):
        opened = package.open_disk(location, _beside(path), path.name)
    else:
        opened = package.open_ova(location, file)
    return _checked(opened, file.whole(), checksum)


def open_stream(name: str, stream: Stream, checksum: manifest.Digest | None = None) -> Package:
    """What can be read once only, from front to back; `name` is for messages. Raises SourceError."""
    check = Checksum(name, checksum) if checksum else None
    stream = check.watch(stream) if check else stream
    with blamed_on(name):
        head = streams.read_exactly(stream, header.SECTOR)
    whole = streams.Prefixed(head, stream)
    opened: Package = _DiskPipe(name, whole) if _is_disk(head) else PipePackage(name, whole)
    return CheckedPackage(opened, check) if check else opened


def _checked(opened: Package, stream: Stream, checksum: manifest.Digest | None) -> Package:
    if checksum is None:
        return opened
    check = Checksum(opened.name, checksum)
    check.watch(stream)
    return CheckedPackage(opened, check)


def _only_descriptor(folder: Path) -> Path:
    found = sorted(folder.glob("*.ovf"))
    if len(found) != 1:
        raise SourceError(f"the folder has {len(found)} .ovf files: name one", source=os.fspath(folder))
    return found[0]


def _beside(path: Path) -> package.Find:
    def find(name: str) -> RandomFile | None:
        try:
            # The disk itself was named by the user, who may use a link; what it refers to may not be one.
            return streams.LocalFile(path.parent / name, nofollow=name != path.name)
        except FileNotFoundError:
            return None

    return find


def _is_xml(head: bytes) -> bool:
    text = head.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    return text.startswith((b"<?xml", b"<Envelope", b"<ovf:", b"<!--", b"<!DOCTYPE"))


def _is_disk(head: bytes) -> bool:
    return head.startswith((header.MAGIC, b"COWD")) or descriptor.looks_like(head)


def _open_url(address: web.Address, checksum: manifest.Digest | None) -> Package:
    """In place if the server serves ranges; to be hashed as a whole, a file has to come as a stream in any case."""
    with blamed_on(address.shown):
        file = web.WebFile(address)
        head = streams.read_exactly(file.stream(0, header.SECTOR), header.SECTOR) if file.ranges else b""
    find = _web_sibling(address)
    if file.ranges and _is_xml(head):
        return _checked(package.open_seekable(address.shown, find, address.name), file.whole(), checksum)
    if not file.ranges or checksum:
        return _open_forward(address, file, checksum)
    if _is_disk(head):
        return package.open_disk(address.shown, find, address.name)
    return package.open_ova(address.shown, file)


def _open_forward(address: web.Address, file: web.WebFile, checksum: manifest.Digest | None) -> Package:
    stream = file.whole()
    with blamed_on(address.shown):
        head = streams.read_exactly(stream, header.SECTOR)
    if _is_xml(head) or descriptor.looks_like(head):
        # Small: fetched once more, with the files beside it.
        stream.close()
        find = _web_sibling(address)
        open_with = package.open_seekable if _is_xml(head) else package.open_disk
        return _checked(open_with(address.shown, find, address.name), web.WebFile(address).whole(), checksum)
    return open_stream(address.shown, streams.Prefixed(head, stream), checksum)


def _web_sibling(address: web.Address) -> package.Find:
    def find(name: str) -> RandomFile | None:
        try:
            return web.WebFile(address.sibling(name) if name != address.name else address)
        except web.NotFoundError:
            return None

    return find


class _DiskPipe:
    """A bare VMDK in a pipe."""

    def __init__(self, name: str, stream: Stream) -> None:
        self.name = name
        self.envelope = package.loose_envelope("disk.vmdk")
        self.ledger = Ledger(name)
        self.signed = False
        self._stream = stream

    def walk(self, files: Sequence[FileReference]) -> Iterator[tuple[FileReference, Content]]:
        """See package.Package."""
        for file in files[:1]:
            yield file, Content(file.href, None, lambda name=file.href: self.ledger.watch(name, self._stream))  # type: ignore[misc]

    def finish(self) -> None:
        """A disk alone has no manifest."""

    def close(self) -> None:
        """See package.Package."""
        self._stream.close()
