"""From what a user names (a path, a URL, `-` for standard input) to a package."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from isthmus.codec.vmdk import descriptor, header
from isthmus.importer.sources import package, streams, web
from isthmus.importer.sources.errors import SourceError, blamed_on
from isthmus.importer.sources.hashing import Ledger
from isthmus.importer.sources.machine import FileReference
from isthmus.importer.sources.package import Content, Package
from isthmus.importer.sources.pipe import PipePackage
from isthmus.importer.sources.streams import RandomFile, Stream

STDIN = "-"


def open_package(location: str) -> Package:
    """Raises SourceError: not there, not readable, not a package."""
    if location == STDIN:
        return open_stream("upload", streams.Pipe(0))
    if "://" in location:
        return _open_url(web.parse_address(location))
    path = Path(location)
    if path.is_dir():
        path = _only_descriptor(path)
    with blamed_on(location):
        file = streams.LocalFile(path)
        head = file.read_at(0, header.SECTOR)
    if _is_xml(head):
        return package.open_folder(path)
    if _is_disk(head):
        return package.open_disk(location, _beside(path), path.name)
    return package.open_ova(location, file)


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


def _open_url(address: web.Address) -> Package:
    with blamed_on(address.shown):
        file = web.WebFile(address)
    if not file.ranges:
        return open_stream(address.shown, file.whole(), address)
    with blamed_on(address.shown):
        head = file.read_at(0, header.SECTOR)
    if _is_xml(head):
        return package.open_seekable(address.shown, _web_sibling(address), address.name)
    if _is_disk(head):
        return package.open_disk(address.shown, _web_sibling(address), address.name)
    return package.open_ova(address.shown, file)


def _web_sibling(address: web.Address) -> package.Find:
    def find(name: str) -> RandomFile | None:
        try:
            return web.WebFile(address.sibling(name) if name != address.name else address)
        except web.NotFoundError:
            return None

    return find


def open_stream(name: str, stream: Stream, address: web.Address | None = None) -> Package:
    """What can be read once only, from front to back; `name` is for messages. Raises SourceError."""
    with blamed_on(name):
        head = streams.read_exactly(stream, header.SECTOR)
    whole = streams.Prefixed(head, stream)
    if address and (_is_xml(head) or descriptor.looks_like(head)):
        stream.close()
        return package.open_seekable(name, _web_sibling(address), address.name)
    if _is_disk(head):
        return _DiskPipe(name, whole)
    return PipePackage(name, whole)


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
        yield files[0], Content(files[0].href, None, lambda: self.ledger.watch(files[0].href, self._stream))

    def finish(self) -> None:
        """A disk alone has no manifest."""

    def close(self) -> None:
        """See package.Package."""
        self._stream.close()
