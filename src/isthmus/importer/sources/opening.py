"""From what a user names (a path, a URL, `-` for standard input) to a package.

What is there decides, not what it is called: XML is an OVF descriptor with its files beside it, a VMDK a package of one
disk, and everything else has to be a tar archive.
"""

import os
from pathlib import Path

from isthmus.codec import manifest
from isthmus.codec.vmdk import header
from isthmus.importer.sources import loose, package, streams
from isthmus.importer.sources.checked import CheckedPackage, Checksum
from isthmus.importer.sources.errors import SourceError, blamed_on
from isthmus.importer.sources.package import Package
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
        from isthmus.importer.sources import weblocation  # HTTP and TLS take a while to import

        return weblocation.open_url(location, checksum)
    path = Path(location)
    if path.is_dir():
        path = _only_descriptor(path)
    with blamed_on(location):
        file = streams.LocalFile(path)
        head = file.read_at(0, header.SECTOR)
    if is_xml(head):
        opened = package.open_folder(path)
    elif loose.is_disk(head):
        opened = loose.open_disk(location, _beside(path), path.name)
    else:
        opened = package.open_ova(location, file)
    return checked(opened, file.whole(), checksum)


def open_stream(name: str, stream: Stream, checksum: manifest.Digest | None = None) -> Package:
    """What can be read once only, from front to back; `name` is for messages. Raises SourceError."""
    check = Checksum(name, checksum) if checksum else None
    stream = check.watch(stream) if check else stream
    with blamed_on(name):
        head = streams.read_exactly(stream, header.SECTOR)
    whole = streams.Prefixed(head, stream)
    opened: Package = loose.DiskPipe(name, whole, head) if loose.is_disk(head) else PipePackage(name, whole)
    return CheckedPackage(opened, check) if check else opened


def checked(opened: Package, stream: Stream, checksum: manifest.Digest | None) -> Package:
    """`opened`, whose `finish` will also compare what `stream`, the whole file, hashes to."""
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


def is_xml(head: bytes) -> bool:
    """Whether a file that begins so is an OVF descriptor, or claims to be."""
    text = head.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    return text.startswith((b"<?xml", b"<Envelope", b"<ovf:", b"<!--", b"<!DOCTYPE"))
