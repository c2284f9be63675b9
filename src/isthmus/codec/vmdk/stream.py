"""streamOptimized, the VMDK inside OVAs, in one pass: bytes in, grains out, still compressed.

Two shapes exist. VMware's (and VirtualBox's) has a marker before everything: grains, grain tables, the directory, a
footer, end of stream. qemu-img's has the tables up front, marks grains only, and just ends. In both, whether all grains
came is told by comparing them with the tables (`tables`): a cut or shuffled stream cannot pass for a shorter disk.

The grains are left to the caller to inflate (RFC 1950), because that is worth several threads; `inflate` below is the
check that it must apply. Order is the file's; a grain that never comes is zeros.

`StreamReader.state` is what a reader knows at some place, as JSON; `StreamReader.restored` goes on from there, in
another process and with all checks, as if it had read everything before.
"""

import base64
import struct
import zlib
from array import array
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Any, NamedTuple, Protocol, Self

from isthmus.codec.malformed import MalformedError
from isthmus.codec.vmdk import descriptor as descriptors
from isthmus.codec.vmdk import header as headers
from isthmus.codec.vmdk import tables
from isthmus.codec.vmdk.header import SECTOR, Header, Limits

_MARKER = struct.Struct("<QII")  # grain: number of its first sector, size, data …; else: sectors that follow, 0, type
_GRAIN_MARKER = 12


class Marker(IntEnum):
    """What a marker of size 0 announces."""

    END = 0
    GRAIN_TABLE = 1
    GRAIN_DIRECTORY = 2
    FOOTER = 3


class Opened(NamedTuple):
    """The first event."""

    header: Header
    descriptor: descriptors.Descriptor | None


class Grain(NamedTuple):
    """`data`, deflated, belongs at byte `position` of the disk; it lies at byte `offset` of the file."""

    position: int
    data: memoryview
    offset: int


class End(NamedTuple):
    """The last event: the stream was whole and had so many grains. What follows in the file means nothing."""

    grains: int


Event = Opened | Grain | End


class Inflater(Protocol):
    """zlib's and isal's decompress object."""

    @property
    def eof(self) -> bool:
        """Whether the end of the deflated data was seen, and its checksum was right."""

    def decompress(self, data: memoryview, max_length: int, /) -> bytes:
        """At most `max_length` bytes."""


def inflate(
    grain: Grain, size: int, used: int, decompressobj: Callable[[], Inflater], errors: type[Exception]
) -> bytes:
    """The bytes of a grain: `size`, or only the `used` ones where the disk ends within it (qemu-img's last grain).

    `errors` is what the decompressor raises. Raises MalformedError; never inflates more than `size` bytes.
    """
    inflater = decompressobj()
    try:
        data = inflater.decompress(grain.data, size + 1)
    except errors as error:
        reason = f"the grain for disk byte {grain.position} cannot be inflated ({error})"
        raise MalformedError(reason, grain.offset) from error
    if len(data) not in (size, used) or not inflater.eof:
        how = "more than" if len(data) > size else "less than"
        raise MalformedError(f"the grain for disk byte {grain.position} inflates to {how} {used} bytes", grain.offset)
    return data


class StreamReader:
    """Feed it with `receive_data`, then `receive_eof`: both give the events that became known.

    Raises MalformedError, and is of no use after that.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._buffer = b""
        self._start = 0  # offset in the file of the buffer's first byte
        self._position = 0  # in the buffer; beyond its end while skipping
        self._ended = False
        self._events = self._parse()
        self._seen = bytearray()  # a bit per grain
        self._grains = self._sectors = self._weighted = 0  # tables.Sums of what came
        self._tables: dict[int, tables.Sums] = {}  # by the sector they lie at
        self._directories: dict[int, array[int]] = {}
        self._head = b""  # the header, as it was read
        self._within: int | None = None  # where the metadata begins that is being read
        self._held: tuple[int, int] | None = None  # the number and sector of a grain that was admitted and is not given

    @property
    def offset(self) -> int:
        """Where in the file reading has to begin again: nothing before it is needed any more."""
        return self._start + self._position if self._within is None else self._within

    def state(self) -> dict[str, Any] | None:
        """What was learned from the bytes before `offset`; None before the grains begin and behind them."""
        if not self._head:
            return None
        seen, sums = bytearray(self._seen), (self._grains, self._sectors, self._weighted)
        if self._held:
            number, sector = self._held
            seen[number >> 3] ^= 1 << (number & 7)
            sums = (sums[0] - 1, sums[1] - sector, sums[2] - sector * number)
        return {
            "offset": self.offset,
            "header": self._head.hex(),
            "seen": base64.b64encode(zlib.compress(seen, 1)).decode(),
            "sums": sums,
            "tables": [[sector, *found] for sector, found in self._tables.items()],
            "directories": [[sector, *found] for sector, found in self._directories.items()],
        }

    @classmethod
    def restored(cls, state: dict[str, Any], start: int, limits: Limits | None = None) -> Self:
        """The reader that gave `state`. The next bytes that it receives are those from `start` <= `offset` on.

        Raises LookupError, TypeError, ValueError for what is no such state.
        """
        reader = cls(limits)
        reader._head = bytes.fromhex(state["header"])
        try:
            reader._header = headers.parse(reader._head, reader._limits)
        except MalformedError as error:
            raise ValueError("this is no reader's state: its header is none") from error
        reader._start, reader._position = start, int(state["offset"]) - start
        most = -(-reader._header.capacity // reader._header.grain) // 8 + 1
        reader._seen = bytearray(zlib.decompressobj().decompress(base64.b64decode(state["seen"]), most))
        reader._grains, reader._sectors, reader._weighted = (int(number) for number in state["sums"])
        reader._tables = {sector: tables.Sums(*found) for sector, *found in state["tables"]}
        reader._directories = {sector: array("I", found) for sector, *found in state["directories"]}
        if reader._position < 0:
            raise ValueError(f"reading has to begin at byte {reader._position + start} at the latest")
        reader._events = reader._parse_rest()
        return reader

    def receive_data(self, data: bytes) -> list[Event]:
        """The next bytes of the file."""
        if self._position >= len(self._buffer):
            self._start += len(self._buffer)
            self._position -= len(self._buffer)
            self._buffer = data
        else:
            self._start += self._position
            self._buffer = self._buffer[self._position :] + data
            self._position = 0
        return self._advance()

    def receive_eof(self) -> list[Event]:
        """The file has ended. Raises MalformedError if that is too early."""
        self._ended = True
        return self._advance()

    def _advance(self) -> list[Event]:
        events: list[Event] = []
        for event in self._events:
            if event is None:
                break
            events.append(event)
        return events

    # The parser proper: generators that yield None when they need more data.

    def _parse(self) -> Iterator[Event | None]:
        yield from self._need(SECTOR, "the header")
        head = self._take(SECTOR)
        header = headers.parse(head, self._limits)
        if not header.compressed or not header.markers:
            raise MalformedError("this VMDK is not streamOptimized: its grains have no markers", 8)
        self._header = header
        text = None
        if header.descriptor:
            yield from self._skip_to(header.descriptor, "the descriptor")
            yield from self._need(header.descriptor_size, "the descriptor")
            text = descriptors.parse(self._take(header.descriptor_size), self._limits, header.descriptor)
        yield Opened(header, text)
        if header.directory is not None:
            yield from self._front_tables(header.directory)
        yield from self._skip_to(header.overhead, "the grains")
        self._head = head
        yield from self._parse_rest()

    def _parse_rest(self) -> Iterator[Event | None]:
        yield from self._body()
        yield End(self._grains)

    @property
    def _offset(self) -> int:
        return self._start + self._position

    def _need(self, size: int, what: str) -> Iterator[None]:
        while len(self._buffer) - self._position < size:
            if self._ended:
                end = self._start + len(self._buffer)
                raise MalformedError(
                    f"the file ends within {what} that begins at byte {self._offset}: it is cut off", end
                )
            yield None

    def _take(self, size: int) -> bytes:
        data = self._buffer[self._position : self._position + size]
        self._position += size
        return data

    def _skip_to(self, offset: int, what: str) -> Iterator[None]:
        if offset < self._offset:
            raise MalformedError(f"{what} would begin at byte {offset}, inside what comes before", self._offset)
        self._position += offset - self._offset
        yield from self._need(0, what)

    def _front_tables(self, directory: int) -> Iterator[None]:
        """qemu-img's shape: directory and tables lie before the grains."""
        yield from self._skip_to(directory, "the grain directory")
        yield from self._read_directory(directory)
        for sector in sorted(set(self._directories[directory // SECTOR]) - {0}):
            if sector * SECTOR + self._header.table_size > self._header.overhead:
                raise MalformedError(f"a grain table at byte {sector * SECTOR} lies behind the metadata", directory)
            yield from self._skip_to(sector * SECTOR, "a grain table")
            yield from self._read_table(sector * SECTOR)

    def _read_directory(self, at: int) -> Iterator[None]:
        yield from self._need(self._header.tables * 4, "the grain directory")
        self._directories[at // SECTOR] = _numbers(self._take(self._header.tables * 4))

    def _read_table(self, at: int) -> Iterator[None]:
        yield from self._need(self._header.table_size, "a grain table")
        self._tables[at // SECTOR] = tables.sum_table(_numbers(self._take(self._header.table_size)))

    def _body(self) -> Iterator[Event | None]:
        """Grains and what is between them. All throughput hangs on this loop: no call in it that can be spared."""
        while True:
            left = len(self._buffer) - self._position
            if left < _MARKER.size:
                if self._ended and self._finished_without_marker():
                    return self._compare(self._header.directory)
                yield from self._need(_MARKER.size, "a marker")
                continue
            number, size, kind = _MARKER.unpack_from(self._buffer, self._position)
            if size:
                position = self._admit(number, size)
                if left < _GRAIN_MARKER + size:
                    self._held = (position // self._header.grain, (self._start + self._position) // SECTOR)
                    yield from self._need(_GRAIN_MARKER + size, f"the grain for disk byte {position}")
                    self._held = None
                start = self._position + _GRAIN_MARKER
                offset = self._start + self._position
                self._position = start + size + (-(_GRAIN_MARKER + size) & (SECTOR - 1))
                yield Grain(position, memoryview(self._buffer)[start : start + size], offset)
            elif kind == Marker.END and not number:
                return self._compare(self._header.directory)
            else:
                yield from self._metadata(kind, number)

    def _finished_without_marker(self) -> bool:
        """Whether the file ends where the next marker would begin; the last grain may lack its padding."""
        at_end = self._start + len(self._buffer) <= self._offset
        return (
            at_end
            and self._header.directory is not None
            and not self._directories.keys() - {self._header.directory // SECTOR}
        )

    def _admit(self, sector: int, size: int) -> int:
        """Check a grain's marker; its position on the disk in bytes."""
        header, at = self._header, self._start + self._position
        position = sector * SECTOR
        if position >= header.capacity or position % header.grain:
            raise MalformedError(f"a grain for disk byte {position}, which is no grain of this disk", at)
        if size > header.grain + (header.grain >> 3) + 64:
            raise MalformedError(
                f"the grain for disk byte {position} has {size} bytes of deflated data: too many", at + 8
            )
        number = position // header.grain
        index, bit = number >> 3, 1 << (number & 7)
        if index >= len(self._seen):
            self._seen.extend(bytes(index + 1 - len(self._seen)))
        if self._seen[index] & bit:
            raise MalformedError(f"the grain for disk byte {position} comes twice", at)
        self._seen[index] |= bit
        place = at // SECTOR
        self._grains += 1
        self._sectors += place
        self._weighted += place * number
        return position

    def _metadata(self, kind: int, sectors: int) -> Iterator[None]:
        """A table, the directory or the footer behind its marker."""
        at = self._offset
        header = self._header
        sizes = {
            Marker.GRAIN_TABLE: header.table_size,
            Marker.GRAIN_DIRECTORY: header.tables * 4,
            Marker.FOOTER: SECTOR,
        }
        if kind not in sizes:
            raise MalformedError(f"a marker of unknown type {kind}", at + 12)
        size = sizes[Marker(kind)]
        if not size <= sectors * SECTOR < size + 128 * SECTOR:
            raise MalformedError(f"{Marker(kind).name} of {sectors} sectors: expected {-(-size // SECTOR)}", at)
        if len(self._tables) > 2 * header.tables or len(self._directories) > 2:
            raise MalformedError("more grain tables than the disk can have", at)
        payload = at + SECTOR
        self._within = at
        yield from self._skip_to(payload, Marker(kind).name)
        if kind == Marker.GRAIN_TABLE:
            yield from self._read_table(payload)
        elif kind == Marker.GRAIN_DIRECTORY:
            yield from self._read_directory(payload)
        else:
            yield from self._read_footer(payload)
        yield from self._skip_to(payload + sectors * SECTOR, Marker(kind).name)
        self._within = None

    def _read_footer(self, at: int) -> Iterator[None]:
        yield from self._need(SECTOR, "the footer")
        footer = headers.parse(self._take(SECTOR), self._limits, at)
        if (footer.capacity, footer.grain) != (self._header.capacity, self._header.grain):
            raise MalformedError("the footer's capacity or grain size differs from the header's", at)
        if footer.directory is None:
            raise MalformedError("the footer does not say where the grain directory is", at + 56)
        self._header, self._head = footer, b""

    def _compare(self, directory: int | None) -> None:
        """The end: the grains that came must be those that the tables name."""
        at = self._offset
        if directory is None:
            raise MalformedError("the stream ends without a footer: it is cut off", at)
        entries = self._directories.get(directory // SECTOR)
        if entries is None:
            raise MalformedError(f"no grain directory came by at byte {directory}, where it should be", at)
        expected, missing = tables.sum_directory(entries, self._tables, self._header.entries)
        if missing is not None:
            raise MalformedError(f"no grain table came by at byte {missing * SECTOR}, where the directory has one", at)
        if expected.grains != self._grains:
            raise MalformedError(f"{self._grains} grains came of the {expected.grains} in the grain tables", at)
        if expected != (self._grains, self._sectors, self._weighted):
            raise MalformedError(
                "the grains are not where the grain tables say: a grain's marker or a table is damaged", at
            )


def _numbers(data: bytes) -> "array[int]":
    """Little-endian 32-bit numbers."""
    numbers = array("I", data)
    if struct.pack("=H", 1) != b"\1\0":
        numbers.byteswap()
    return numbers
