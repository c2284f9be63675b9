"""A VMDK without a machine around it: a package of one disk, on a machine that nothing else is known about."""

from collections.abc import Iterator, Sequence
from pathlib import PurePath

from isthmus.codec.vmdk import descriptor, header
from isthmus.codec.vmdk.header import SECTOR, Limits
from isthmus.importer.sources import package, streams
from isthmus.importer.sources.errors import SourceError, blamed_on
from isthmus.importer.sources.hashing import Ledger
from isthmus.importer.sources.machine import Disk, FileReference, Machine
from isthmus.importer.sources.ovf import Envelope
from isthmus.importer.sources.package import Content, SeekablePackage
from isthmus.importer.sources.streams import Stream

DISK = "disk-1"
_MEMORY = 1 << 30


def is_disk(head: bytes) -> bool:
    """Whether a file that begins so is a VMDK."""
    return head.startswith((header.MAGIC, b"COWD")) or descriptor.looks_like(head)


def open_disk(name: str, find: package.Find, file_name: str) -> SeekablePackage:
    """The disk in a file that `find` opens by its name, like the extents it may have. Raises SourceError."""
    with blamed_on(name, file_name):
        file = find(file_name)
        if file is None:
            raise SourceError("there is no such file", source=name, member=file_name)
        capacity = find_capacity(streams.read_exactly(file.whole(), Limits().descriptor))
    return SeekablePackage(name, find, _envelope(file_name, capacity), Ledger(name))


def find_capacity(head: bytes) -> int:
    """Bytes of the VMDK that begins with `head`, which holds at least its descriptor. Raises MalformedError."""
    limits = Limits()
    if descriptor.looks_like(head):
        return descriptor.parse(head, limits).capacity
    return header.parse(head[:SECTOR], limits).capacity


def _envelope(file_name: str, capacity: int) -> Envelope:
    file = FileReference(DISK, file_name)
    stem = PurePath(file_name).stem
    machine = Machine(name=stem, id=stem, memory=_MEMORY, disks=(Disk(DISK, file_name, capacity, file),))
    return Envelope((file,), (), (machine,))


class DiskPipe:
    """A streamOptimized VMDK in a pipe: see package.Package. `head` is its first sector, which `stream` gives again."""

    def __init__(self, name: str, stream: Stream, head: bytes) -> None:
        self.name = name
        with blamed_on(name):
            self.envelope = _envelope("disk.vmdk", header.parse(head, Limits()).capacity)
        self.ledger = Ledger(name)
        self.signed = False
        self._stream = stream

    def walk(self, files: Sequence[FileReference]) -> Iterator[tuple[FileReference, Content]]:
        """See package.Package."""
        for file in files[:1]:
            yield file, Content(file.href, None, self._open)

    def finish(self) -> None:
        """A disk alone has no manifest."""

    def close(self) -> None:
        """See package.Package."""
        self._stream.close()

    def _open(self) -> Stream:
        return self.ledger.watch(self.envelope.files[0].href, self._stream)
