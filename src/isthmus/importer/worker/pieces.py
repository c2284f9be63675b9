"""A VMDK, whatever its kind, as pieces of the disk: what bytes belong where. What no piece covers is zeros.

streamOptimized and flat are streams; sparse needs to be read anywhere, so its digest is made by a second reader at its
side, which finds in the page cache what the first one read.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple, Self

from isthmus.codec.malformed import MalformedError
from isthmus.codec.vmdk import descriptor, header, sparse, stream
from isthmus.codec.vmdk.header import SECTOR, Limits
from isthmus.importer.sources.errors import SourceError, blamed_on
from isthmus.importer.sources.package import Content
from isthmus.importer.sources.streams import CHUNK, Prefixed, RandomFile, Stream, read_all, read_exactly


class Piece(NamedTuple):
    """`size` bytes from byte `position` of the disk: `data`, or what `grain` inflates to (`full_size` bytes, of which
    the disk's last grain may use fewer).
    """

    position: int
    size: int
    data: bytes | memoryview
    member: str
    grain: stream.Grain | None = None
    full_size: int = 0


@dataclass(frozen=True, slots=True)
class Image:
    """A disk that was opened: `capacity` in bytes, its kind in VMware's words, and its pieces, to be read once."""

    capacity: int
    kind: str
    pieces: Iterator[Piece]


Meter = Callable[[int], None]  # told how many bytes of the source were read


def open_image(source: str, content: Content, limits: Limits, read: Meter) -> Image:
    """Open the disk in `content`. Raises SourceError, also while the pieces are read."""
    with blamed_on(source, content.name):
        if content.random:
            head = content.random.read_at(0, SECTOR)
            if descriptor.looks_like(head):
                return _open_split(source, content, limits, read)
            if head.startswith(header.MAGIC) and not header.parse(head, limits).compressed:
                return _open_sparse(source, content, content.random, limits, read)
    return _open_stream(source, content, limits, read)


def _open_stream(source: str, content: Content, limits: Limits, read: Meter) -> Image:
    member = content.name
    with blamed_on(source, member):
        data = content.stream()
        head = read_exactly(data, SECTOR)
        parsed = None if descriptor.looks_like(head) else header.parse(head, limits)
    if parsed is None or not parsed.compressed:
        raise SourceError(
            "only a streamOptimized disk can be read from a stream or compressed: give the package as a file",
            source=source,
            member=member,
        )
    reader = stream.StreamReader(limits)
    pieces = _stream_pieces(source, member, reader, Prefixed(head, data), parsed, read)
    return Image(parsed.capacity, "streamOptimized", pieces)


def _stream_pieces(
    source: str, member: str, reader: stream.StreamReader, data: Stream, parsed: header.Header, read: Meter
) -> Iterator[Piece]:
    capacity, size = parsed.capacity, parsed.grain
    with closing(data), blamed_on(source, member):
        while chunk := data.read(CHUNK):
            read(len(chunk))
            for event in reader.receive_data(chunk):
                if type(event) is stream.Grain:
                    yield Piece(event.position, min(size, capacity - event.position), b"", member, event, size)
        reader.receive_eof()


def _open_sparse(source: str, content: Content, file: RandomFile, limits: Limits, read: Meter) -> Image:
    parsed, _ = sparse.open_extent(file.read_at, limits)
    return Image(parsed.capacity, "monolithicSparse", _sparse_pieces(source, content, file, parsed, read, 0))


def _sparse_pieces(
    source: str, content: Content, file: RandomFile, parsed: header.Header, read: Meter, base: int
) -> Iterator[Piece]:
    with _SideReader(source, content) as side, blamed_on(source, content.name):
        for run in sparse.find_runs(parsed, file.read_at, file.size):
            data = file.read_at(run.offset, run.size)
            if len(data) < run.size:
                raise MalformedError("the file became shorter while it was read", run.offset + len(data))
            read(run.size)
            yield Piece(base + run.position, run.size, data, content.name)
        side.join()


class _SideReader:
    """Reads a file from front to back in a thread, for its digest only."""

    def __init__(self, source: str, content: Content) -> None:
        self._source = source
        self._content = content
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="digest", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def join(self) -> None:
        """Wait for the end of the file. Raises what reading it raised."""
        self._thread.join()
        if self._error:
            raise self._error

    def _run(self) -> None:
        try:
            with closing(self._content.stream()) as data, blamed_on(self._source, self._content.name):
                while not self._stop.is_set() and data.read(CHUNK):
                    pass
        except SourceError as error:
            self._error = error


def _open_split(source: str, content: Content, limits: Limits, read: Meter) -> Image:
    """A descriptor, and its extents in files beside it."""
    text = read_all(content.stream(), limits.descriptor, "the descriptor")
    read(len(text))
    parsed = descriptor.parse(text, limits)
    return Image(parsed.capacity, parsed.create_type, _split_pieces(source, content, parsed, limits, read))


def _split_pieces(
    source: str, content: Content, parsed: descriptor.Descriptor, limits: Limits, read: Meter
) -> Iterator[Piece]:
    base = 0
    assert content.sibling is not None
    for extent in parsed.extents:
        if extent.type != "ZERO":
            file = content.sibling(extent.file)
            if extent.type == "SPARSE":
                yield from _sparse_extent(source, file, extent, limits, read, base)
            else:
                yield from _flat_extent(source, file, extent, read, base)
        base += extent.size


def _sparse_extent(
    source: str, content: Content, extent: descriptor.Extent, limits: Limits, read: Meter, base: int
) -> Iterator[Piece]:
    if content.random is None:
        raise SourceError("a sparse extent must be readable anywhere", source=source, member=content.name)
    with blamed_on(source, content.name):
        parsed, _ = sparse.open_extent(content.random.read_at, limits)
        if parsed.capacity != extent.size:
            raise MalformedError(f"its capacity is {parsed.capacity} bytes, but the descriptor says {extent.size}", 12)
    yield from _sparse_pieces(source, content, content.random, parsed, read, base)


def _flat_extent(source: str, content: Content, extent: descriptor.Extent, read: Meter, base: int) -> Iterator[Piece]:
    """Raw data from `extent.offset`; the file is read to its end for its digest."""
    with blamed_on(source, content.name), closing(content.stream()) as data:
        at, end = 0, extent.offset + extent.size
        while chunk := data.read(CHUNK):
            read(len(chunk))
            first, last = max(at, extent.offset), min(at + len(chunk), end)
            if first < last:
                part = memoryview(chunk)[first - at : last - at]
                yield Piece(base + first - extent.offset, last - first, part, content.name)
            at += len(chunk)
        if at < end:
            raise MalformedError(f"the file is cut off: the descriptor has {end} bytes", at)
