"""A package whose user said what the whole file must hash to (`spec.source.checksum`), besides what its manifest says.

A stream is hashed as it passes; a local file, whose disks are read in place, once more at the end, from the page cache
where it fits. A descriptor with files beside it is checked itself: the manifest answers for the rest.
"""

from collections.abc import Iterator, Sequence

from isthmus.codec import manifest
from isthmus.importer.sources.errors import SourceError, blamed_on
from isthmus.importer.sources.hashing import Hasher
from isthmus.importer.sources.machine import FileReference
from isthmus.importer.sources.package import Content, Package
from isthmus.importer.sources.streams import CHUNK, Hashed, Stream


class Checksum:
    """What a file must hash to, and what it does hash to once `watch`'s stream was read to its end."""

    def __init__(self, source: str, expected: manifest.Digest) -> None:
        self._source = source
        self._expected = expected
        self._found: dict[str, str] = {}
        self._stream: Stream | None = None

    def watch(self, stream: Stream) -> Stream:
        """`stream`, hashed on its way."""
        self._stream = Hashed(stream, Hasher([self._expected.algorithm]), self._found.update)
        return self._stream

    def verify(self) -> None:
        """Read what is left of the stream, and compare. Raises SourceError."""
        assert self._stream is not None
        with blamed_on(self._source):
            while self._stream.read(CHUNK):
                pass
        algorithm, value = self._expected.algorithm, self._expected.value
        if (found := self._found[algorithm]) != value:
            reason = f"its {algorithm.upper()} is {found}, but {value} was asked for: this is not the file you meant"
            raise SourceError(reason, source=self._source)

    def close(self) -> None:
        """Stop hashing."""
        if self._stream is not None:
            self._stream.close()


class CheckedPackage:
    """See package.Package: another one, whose `finish` also compares the checksum."""

    def __init__(self, package: Package, checksum: Checksum) -> None:
        self._package = package
        self._checksum = checksum
        self.name = package.name
        self.envelope = package.envelope
        self.ledger = package.ledger

    @property
    def signed(self) -> bool:
        """See package.Package."""
        return self._package.signed

    def walk(self, files: Sequence[FileReference]) -> Iterator[tuple[FileReference, Content]]:
        """See package.Package."""
        return self._package.walk(files)

    def finish(self) -> None:
        """See package.Package."""
        self._package.finish()
        self._checksum.verify()

    def close(self) -> None:
        """See package.Package."""
        self._checksum.close()
        self._package.close()


def parse_checksum(text: str) -> manifest.Digest:
    """`sha256:<hex>`. Raises ValueError."""
    algorithm, _, value = text.partition(":")
    if algorithm not in manifest.ALGORITHMS.values() or not value:
        raise ValueError(f"{text!r} is no checksum such as sha256:0123…")
    return manifest.Digest(algorithm, value.lower())
