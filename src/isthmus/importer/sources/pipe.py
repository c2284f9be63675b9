"""An OVA, or a bare streamOptimized VMDK, that comes once from front to back: an upload, or a URL without ranges.

The descriptor must come before the disks, as the standard has it (DSP0243, 5.3); the manifest may come last, so the
digests are compared at the end.
"""

import re
from collections.abc import Iterator, Sequence

from isthmus.codec import ova
from isthmus.codec.malformed import MalformedError
from isthmus.importer.sources import package, streams
from isthmus.importer.sources.errors import SourceError, blamed_on
from isthmus.importer.sources.hashing import Ledger
from isthmus.importer.sources.machine import FileReference
from isthmus.importer.sources.ovf import Envelope
from isthmus.importer.sources.package import MOST_TEXT, Content
from isthmus.importer.sources.streams import Stream, Stretch

_CHUNK = re.compile(r"^(.+)\.(\d{9})$")


class PipePackage:
    """See package.Package. The constructor reads up to the first file that is not descriptor or manifest."""

    def __init__(self, name: str, stream: Stream) -> None:
        self.name = name
        self.ledger = Ledger(name)
        self.ledger.late = True
        self.signed = False
        self._stream = stream
        self._reader = ova.MemberReader()
        self._at = 0  # where in the archive the stream will stand after the current member
        self._current = Stretch(stream, 0)
        self._next: ova.Member | None = None
        self.envelope = self._read_head()

    def walk(self, files: Sequence[FileReference]) -> Iterator[tuple[FileReference, Content]]:
        """See package.Package."""
        wanted = {reference.href: reference for reference in files}
        while wanted and (member := self._take()):
            match = _CHUNK.match(member.name)
            reference = wanted.get(member.name) or (wanted.get(match[1]) if match and int(match[2]) == 0 else None)
            if reference is None:
                self._read_side_file(member)
                continue
            del wanted[reference.href]
            yield reference, self._content(reference, member)
        if wanted:
            missing = next(iter(wanted))
            raise SourceError("the package has no such file", source=self.name, member=missing, offset=self._at)

    def finish(self) -> None:
        """See package.Package."""
        while member := self._take():
            self._read_side_file(member)
        self.ledger.verify()

    def close(self) -> None:
        """See package.Package."""
        self._stream.close()

    def _read_head(self) -> Envelope:
        while member := self._take():
            if member.name.lower().endswith(".ovf"):
                data = self._read_text(member)
                envelope = package.read_envelope(self.name, member.name, data)
                self.ledger.add(member.name, data)
                self._read_early_manifest()
                return envelope
            if not member.name.lower().endswith((".mf", ".cert")):
                break
            self._read_side_file(member)
        reason = "the .ovf does not come before the disks: such a package can only be read as a file, not as a stream"
        raise SourceError(reason, source=self.name, offset=self._at)

    def _read_early_manifest(self) -> None:
        while following := self._take():
            if not following.name.lower().endswith((".mf", ".cert")):
                self._next = following
                return
            self._read_side_file(following)

    def _take(self) -> ova.Member | None:
        """The next member, with the stream at its first byte; None at the end."""
        if self._next:
            following, self._next = self._next, None
            return following
        with blamed_on(self.name):
            self._current.skip()
            while not self._reader.ended:
                Stretch(self._stream, self._reader.offset - self._at).skip()
                self._at = self._reader.offset
                data = streams.read_exactly(self._stream, self._reader.wanted)
                self._at += len(data)
                if member := self._reader.receive(data):
                    return member
        return None

    def _read_side_file(self, member: ova.Member) -> None:
        """What is no disk: the manifest, a certificate, or a file of no interest, which is skipped."""
        if member.name.lower().endswith(".mf"):
            self.ledger.expected = package.read_manifest(self.name, member.name, self._read_text(member))
        else:
            self.signed |= member.name.lower().endswith(".cert")
            self._open(member)

    def _read_text(self, member: ova.Member) -> bytes:
        with blamed_on(self.name, member.name):
            if member.size > MOST_TEXT:
                raise MalformedError(f"it has {member.size} bytes, more than the {MOST_TEXT} allowed", 0)
            return streams.read_all(self._open(member), MOST_TEXT, "the file")

    def _open(self, member: ova.Member) -> Stretch:
        self._at = member.offset + member.size
        self._current = Stretch(self._stream, member.size)
        return self._current

    def _content(self, reference: FileReference, member: ova.Member) -> Content:
        if not reference.chunk_size:
            package.check_size(self.name, reference, member.size)

        def stream() -> Stream:
            inner = streams.Joined(self._parts(reference, member))
            return streams.Gunzipped(inner) if reference.compression == "gzip" else inner

        return Content(reference.href, reference.size or member.size, stream)

    def _parts(self, reference: FileReference, member: ova.Member) -> Iterator[Stream]:
        """The member, and, where the file is cut into chunks, those that follow it."""
        yield self.ledger.watch(member.name, self._open(member))
        number = 0
        while reference.chunk_size and (following := self._take()):
            number += 1
            if following.name != f"{reference.href}.{number:09d}":
                self._next = following
                return
            yield self.ledger.watch(following.name, self._open(following))
