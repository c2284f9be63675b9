"""A VMDK, whatever its kind, as pieces of the disk: what bytes belong where. What no piece covers is zeros.

streamOptimized and flat are streams; sparse needs to be read anywhere, so its digest is made by a second reader at its
side, which finds in the page cache what the first one read.

Between pieces come points at which a transfer can be taken up again, if the file can be read anywhere: the stream goes
on in the middle of the file, and so does its digest; a sparse extent is hashed anew, but what was written is passed
over.
"""

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from isthmus.codec.malformed import MalformedError
from isthmus.codec.vmdk import descriptor, header, sparse, stream
from isthmus.codec.vmdk.header import SECTOR, Limits
from isthmus.importer.sources.digests import Midstate
from isthmus.importer.sources.errors import SourceError, blamed_on
from isthmus.importer.sources.package import Content
from isthmus.importer.sources.streams import CHUNK, Hashed, Prefixed, RandomFile, Stream, read_all, read_exactly
from isthmus.importer.worker.journal import Mark


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


class Point(NamedTuple):
    """All pieces before it are those before `mark()`, which is None if the transfer cannot be taken up here."""

    mark: Callable[[], Mark | None]


@dataclass(frozen=True, slots=True)
class Image:
    """A disk that was opened: `capacity` in bytes, its kind in VMware's words, and its pieces, to be read once."""

    capacity: int
    kind: str
    pieces: Iterator[Piece | Point]


Meter = Callable[[int], None]  # told how many bytes of the source were read


def open_image(source: str, content: Content, limits: Limits, read: Meter, mark: Mark | None = None) -> Image:
    """Open the disk in `content`; its pieces begin behind `mark`, of a transfer from the same source that was killed.

    Raises SourceError, also while the pieces are read; LookupError, TypeError, ValueError for what is no mark of it.
    """
    with blamed_on(source, content.name):
        if content.random:
            head = content.random.read_at(0, SECTOR)
            if descriptor.looks_like(head):
                return _open_split(source, content, limits, read, mark)
            if head.startswith(header.MAGIC) and not header.parse(head, limits).compressed:
                return _open_sparse(source, content, content.random, limits, read, mark)
            if mark and mark.begun and content.resume:
                begin = min(int(mark.state["offset"]), mark.begun.size)
                reader = stream.StreamReader.restored(mark.state, begin, limits)
                data = content.resume(begin, mark.begun)
                read(begin - mark.begun.size)  # what lies between is read a second time
                pieces = _stream_pieces(source, content.name, reader, data, data, header.parse(head, limits), read)
                return Image(header.parse(head, limits).capacity, "streamOptimized", pieces)
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
    pieces = _stream_pieces(source, member, reader, Prefixed(head, data), data, parsed, read)
    return Image(parsed.capacity, "streamOptimized", pieces)


def _stream_pieces(
    source: str, member: str, reader: stream.StreamReader, data: Stream, hashed: Stream, parsed: header.Header,
    read: Meter,
) -> Iterator[Piece | Point]:  # fmt: skip
    capacity, size = parsed.capacity, parsed.grain

    def mark() -> Mark | None:
        begun, state = _midstate(hashed), reader.state()
        return Mark(state, begun=begun) if begun and state else None

    with closing(data), blamed_on(source, member):
        while chunk := data.read(CHUNK):
            read(len(chunk))
            for event in reader.receive_data(chunk):
                if type(event) is stream.Grain:
                    yield Piece(event.position, min(size, capacity - event.position), b"", member, event, size)
            yield Point(mark)
        reader.receive_eof()


def _midstate(stream: Stream) -> Midstate | None:
    return stream.midstate() if isinstance(stream, Hashed) else None


def _open_sparse(
    source: str, content: Content, file: RandomFile, limits: Limits, read: Meter, mark: Mark | None
) -> Image:
    parsed, _ = sparse.open_extent(file.read_at, limits)
    pieces = _sparse_pieces(source, content, file, parsed, read, _Place(mark=mark))
    return Image(parsed.capacity, "monolithicSparse", pieces)


@dataclass(frozen=True, slots=True)
class _Place:
    """An extent's: its number and where on the disk it begins.

    `mark` is the place in it behind which it is to be read, `data` its stream from there on if it is flat. `files` are
    the identities of its file and of all before it, so that a mark in it tells whether they are still the same.
    """

    number: int = 0
    base: int = 0
    mark: Mark | None = None
    data: Stream | None = None
    files: dict[str, str] = field(default_factory=dict)

    def point(self, state: dict[str, Any], begun: Midstate | None = None) -> Mark | None:
        """The mark at `state`; None if a file could change without being noticed."""
        return Mark(state | {"files": dict(self.files)}, self.number, begun) if all(self.files.values()) else None


def _sparse_pieces(
    source: str, content: Content, file: RandomFile, parsed: header.Header, read: Meter, place: _Place
) -> Iterator[Piece | Point]:
    written = int(place.mark.state["written"]) if place.mark else 0  # of the extent
    with _SideReader(source, content) as side, blamed_on(source, content.name):
        for run in sparse.find_runs(parsed, file.read_at, file.size):
            if run.position + run.size <= written:
                continue
            data = file.read_at(run.offset, run.size)
            if len(data) < run.size:
                raise MalformedError("the file became shorter while it was read", run.offset + len(data))
            read(run.size)
            yield Piece(place.base + run.position, run.size, data, content.name)
            yield Point(functools.partial(place.point, {"written": run.position + run.size}))
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


def _open_split(source: str, content: Content, limits: Limits, read: Meter, mark: Mark | None) -> Image:
    """A descriptor, and its extents in files beside it."""
    text = read_all(content.stream(), limits.descriptor, "the descriptor")
    parsed = descriptor.parse(text, limits)
    if mark is None:
        read(len(text))
    places = _find_places(content, parsed, mark)
    return Image(parsed.capacity, parsed.create_type, _split_pieces(source, content, parsed, limits, read, places))


def _find_places(content: Content, parsed: descriptor.Descriptor, mark: Mark | None) -> list[_Place]:
    """The extents that are still to be read. Raises ValueError if one before `mark` was changed meanwhile."""
    assert content.sibling is not None
    found: list[_Place] = []
    files: dict[str, str] = {}
    base = 0
    for number, extent in enumerate(parsed.extents):
        if mark and number <= mark.extent and extent.type != "ZERO":
            file = content.sibling(extent.file)
            files[extent.file] = file.identity
            if not file.identity or mark.state["files"].get(extent.file) != file.identity:
                raise ValueError(f"{extent.file} is not the file any more that it was")
            if number == mark.extent:
                data = file.resume(mark.begun.size, mark.begun) if mark.begun and file.resume else None
                found.append(_Place(number, base, mark, data, files))
        elif extent.type != "ZERO":
            found.append(_Place(number, base, files=files))
        base += extent.size
    return found


def _split_pieces(
    source: str, content: Content, parsed: descriptor.Descriptor, limits: Limits, read: Meter, places: list[_Place]
) -> Iterator[Piece | Point]:
    assert content.sibling is not None
    for place in places:
        extent = parsed.extents[place.number]
        file = content.sibling(extent.file)
        place.files[extent.file] = file.identity
        if extent.type == "SPARSE":
            yield from _sparse_extent(source, file, extent, limits, read, place)
        else:
            yield from _flat_extent(source, file, extent, read, place)


def _sparse_extent(
    source: str, content: Content, extent: descriptor.Extent, limits: Limits, read: Meter, place: _Place
) -> Iterator[Piece | Point]:
    if content.random is None:
        raise SourceError("a sparse extent must be readable anywhere", source=source, member=content.name)
    with blamed_on(source, content.name):
        parsed, _ = sparse.open_extent(content.random.read_at, limits)
        if parsed.capacity != extent.size:
            raise MalformedError(f"its capacity is {parsed.capacity} bytes, but the descriptor says {extent.size}", 12)
    yield from _sparse_pieces(source, content, content.random, parsed, read, place)


def _flat_extent(
    source: str, content: Content, extent: descriptor.Extent, read: Meter, place: _Place
) -> Iterator[Piece | Point]:
    """Raw data from `extent.offset`; the file is read to its end for its digest."""
    with blamed_on(source, content.name):
        data = place.data or content.stream()

    def mark() -> Mark | None:
        return place.point({}, begun) if (begun := _midstate(data)) else None

    with blamed_on(source, content.name), closing(data):
        at = place.mark.begun.size if place.data and place.mark and place.mark.begun else 0
        end = extent.offset + extent.size
        while chunk := data.read(CHUNK):
            read(len(chunk))
            first, last = max(at, extent.offset), min(at + len(chunk), end)
            if first < last:
                part = memoryview(chunk)[first - at : last - at]
                yield Piece(place.base + first - extent.offset, last - first, part, content.name)
            at += len(chunk)
            yield Point(mark)
        if at < end:
            raise MalformedError(f"the file is cut off: the descriptor has {end} bytes", at)
