"""An OVF package however it is kept: its descriptor, its manifest, and the bytes of its files.

Opened by `opening.open_package`. What can be read anywhere is a `SeekablePackage`: a tar archive whose members stay
where they are, or a descriptor with its files beside it. A pipe is a `pipe.PipePackage`.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

from isthmus.codec import manifest as manifests
from isthmus.codec import ova
from isthmus.codec.malformed import MalformedError
from isthmus.importer.sources import ovf, streams
from isthmus.importer.sources.digests import Midstate
from isthmus.importer.sources.errors import SourceError, blamed_on
from isthmus.importer.sources.hashing import Ledger
from isthmus.importer.sources.machine import FileReference
from isthmus.importer.sources.streams import RandomFile, Stream

MOST_TEXT = 8 << 20
Find = Callable[[str], RandomFile | None]


@dataclass(frozen=True, slots=True)
class Content:
    """A file of a package, opened. `stream` gives its bytes, unchunked, inflated and hashed on the way, and must be
    read to its end. `random` is there if it can also be read anywhere; `sibling` opens another of the same package.

    `resume` gives the bytes from an offset on, hashed as if all had been read: the digest goes on from the midstate.
    `identity` is another one if the file was changed meanwhile, "" if that cannot be told.
    """

    name: str
    stored_size: int | None
    stream: Callable[[], Stream]
    random: RandomFile | None = None
    sibling: Callable[[str], "Content"] | None = None
    resume: Callable[[int, Midstate], Stream] | None = None
    identity: str = ""


class Package(Protocol):
    """What the worker reads."""

    name: str
    envelope: ovf.Envelope
    ledger: Ledger

    @property
    def signed(self) -> bool:
        """Whether it has a certificate (which is not checked); in a pipe, as far as it was read."""

    def walk(self, files: Sequence[FileReference]) -> Iterator[tuple[FileReference, Content]]:
        """The files wanted, each once, in the order in which this package can give them. Raises SourceError."""

    def finish(self) -> None:
        """All that was wanted was read: check what remains to be checked. Raises SourceError."""

    def close(self) -> None:
        """Give back what it holds."""


class SeekablePackage:
    """A package whose files `find` can open in any order, as often as wanted."""

    def __init__(self, name: str, find: Find, envelope: ovf.Envelope, ledger: Ledger, *, signed: bool = False) -> None:
        self.name = name
        self.envelope = envelope
        self.ledger = ledger
        self.signed = signed
        self._find = find

    def walk(self, files: Sequence[FileReference]) -> Iterator[tuple[FileReference, Content]]:
        """See Package."""
        for reference in files:
            yield reference, self._content(reference)
            self.ledger.verify()

    def finish(self) -> None:
        """See Package."""
        self.ledger.verify()

    def close(self) -> None:
        """Files are closed as they go out of use."""

    def _open(self, name: str) -> RandomFile:
        # An href is a URI reference (DSP0243, 7.1), but many writers put the plain name there.
        with blamed_on(self.name, name):
            for candidate in dict.fromkeys((name, unquote(name))):
                ova.check_name(candidate, 0)
                if file := self._find(candidate):
                    return file
        raise SourceError("the package has no such file", source=self.name, member=name)

    def _content(self, reference: FileReference) -> Content:
        if reference.chunk_size:
            return Content(reference.href, reference.size, lambda: _inflated(reference, self._chunks(reference)))
        file = self._open(reference.href)
        check_size(self.name, reference, file.size)
        random = file if file.ranges and not reference.compression else None

        def resume(offset: int, begun: Midstate) -> Stream:
            return self.ledger.watch(reference.href, file.stream(offset), begun, begun.size - offset)

        return Content(
            reference.href,
            file.size,
            lambda: _inflated(reference, self.ledger.watch(reference.href, file.whole())),
            random=random,
            sibling=lambda name: self._content(FileReference(name, name)),
            resume=resume if random else None,
            identity=file.identity if random else "",
        )

    def _chunks(self, reference: FileReference) -> Stream:
        if not reference.size:
            raise SourceError(
                "it is cut into chunks but its size is not stated", source=self.name, member=reference.href
            )
        names = [f"{reference.href}.{i:09d}" for i in range(-(-reference.size // (reference.chunk_size or 1)))]
        return streams.Joined(self.ledger.watch(name, self._open(name).whole()) for name in names)


def _inflated(reference: FileReference, stream: Stream) -> Stream:
    return streams.Gunzipped(stream) if reference.compression == "gzip" else stream


def check_size(source: str, reference: FileReference, size: int) -> None:
    """Raises SourceError if the file is shorter than the descriptor says."""
    if reference.size and size < reference.size:
        reason = f"it is cut off: {size} bytes, but the descriptor says {reference.size}"
        raise SourceError(reason, source=source, member=reference.href, offset=size)


def read_envelope(name: str, member: str, data: bytes) -> ovf.Envelope:
    """Parse the descriptor. Raises SourceError."""
    with blamed_on(name, member):
        return ovf.parse(data)


def read_manifest(name: str, member: str, data: bytes) -> Mapping[str, manifests.Digest]:
    """Parse the manifest. Raises SourceError."""
    with blamed_on(name, member):
        return manifests.parse(data)


def open_seekable(name: str, find: Find, descriptor: str) -> SeekablePackage:
    """The package that the file `descriptor` describes. Raises SourceError."""
    stem = descriptor.rpartition(".")[0]
    ledger = Ledger(name)

    def read(member: str) -> bytes | None:
        with blamed_on(name, member):
            file = find(member)
            return None if file is None else streams.read_all(file.whole(), MOST_TEXT, "the file")

    if (text := read(f"{stem}.mf")) is not None:
        ledger.expected = read_manifest(name, f"{stem}.mf", text)
    data = read(descriptor)
    if data is None:
        raise SourceError("there is no such file", source=name, member=descriptor)
    ledger.add(descriptor, data)
    ledger.verify()
    signed = _exists(find, f"{stem}.cert")
    return SeekablePackage(name, find, read_envelope(name, descriptor, data), ledger, signed=signed)


def _exists(find: Find, name: str) -> bool:
    try:
        file = find(name)
    except (OSError, SourceError):
        return False
    if file is not None:
        file.close()
    return file is not None


def open_ova(name: str, archive: RandomFile) -> SeekablePackage:
    """An OVA that can be read anywhere: its files stay where they are. Raises SourceError."""
    with blamed_on(name):
        members = {member.name: member for member in find_members(archive)}

    def find(member: str) -> RandomFile | None:
        found = members.get(member)
        return streams.Window(archive, found.offset, found.size) if found else None

    descriptors = [member for member in members if member.lower().endswith(".ovf")]
    if not descriptors:
        raise SourceError("the archive has no .ovf file: this is no OVA", source=name)
    return open_seekable(name, find, descriptors[0])


def find_members(archive: RandomFile) -> Iterator[ova.Member]:
    """The files in an archive, each wholly in it. Raises MalformedError."""
    reader = ova.MemberReader()
    while not reader.ended:
        member = reader.receive(archive.read_at(reader.offset, reader.wanted))
        if member and member.offset + member.size > archive.size:
            raise MalformedError(
                f"the archive is cut off within {member.name!r}, which begins at byte {member.offset} and has "
                f"{member.size} bytes",
                archive.size,
            )
        if member:
            yield member


def open_folder(path: Path) -> SeekablePackage:
    """The package of the descriptor at `path`, its files in the same folder. Raises SourceError."""

    def find(name: str) -> RandomFile | None:
        try:
            return streams.LocalFile(path.parent / name, nofollow=True)
        except FileNotFoundError:
            return None

    return open_seekable(os.fspath(path), find, path.name)
