"""OVA: a tar archive (ustar, with GNU and pax extensions) of an OVF package, read front to back without extraction.

Bytes in, members out: `MemberReader` is fed with the archive's headers only. After a `Member` the caller reads, or
skips, `member.size` bytes at `member.offset` and comes back with what is at `reader.offset`. So one code serves a
file (skip = seek), a URL with ranges and a pipe. Only plain files with plain names are members: an OVA is flat
(DSP0243, 5.3).
"""

from dataclasses import dataclass

from isthmus.codec.malformed import MalformedError

BLOCK = 512

_PLAIN_FILES = (b"0", b"\0", b"7")
_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"5": "a folder",
    b"6": "a FIFO",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What an OVA may look like. Sizes in bytes."""

    members: int = 1000
    member: int = 64 << 40
    extended: int = 1 << 16  # a long name or a set of pax records


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the archive: `size` bytes at `offset`."""

    name: str
    offset: int
    size: int


class MemberReader:
    """Feed it with `wanted` bytes from `offset`, again and again. Raises MalformedError."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self.offset = 0
        self.wanted = BLOCK
        self.ended = False
        self._names: set[str] = set()
        self._extended: bytes | None = None  # the type of the extended header whose data comes next
        self._long_name = ""
        self._pax: dict[str, str] = {}

    def receive(self, data: bytes) -> Member | None:
        """The bytes at `offset`, `wanted` of them: a member, or None for "go on" (or, with `ended`, "that was all")."""
        if not data and self._extended is None and self._names:
            self.ended = True  # no end-of-archive blocks: some writers leave them out
            return None
        if len(data) < self.wanted:
            what = "a tar header" if self._extended is None else "an extended tar header"
            raise MalformedError(f"the archive ends within {what}: it is cut off, or no OVA", self.offset + len(data))
        if self._extended is not None:
            self._receive_extended(data)
            return None
        if not any(data):
            self.ended = True
            return None
        return self._receive_header(data)

    def _receive_header(self, block: bytes) -> Member | None:
        at = self.offset
        if not _checksum_matches(block):
            raise MalformedError("no tar header here (its checksum is wrong): this is no OVA, or a damaged one", at)
        size = _number(block[124:136], at + 124)
        kind = block[156:157]
        if kind in (b"L", b"x", b"g", b"K"):
            if size > self._limits.extended:
                raise MalformedError(f"an extended tar header of {size} bytes is too long", at + 124)
            self._extended = kind
            self.offset, self.wanted = at + BLOCK, -(-size // BLOCK) * BLOCK
            self._extended_size = size
            if not self.wanted:
                self._receive_extended(b"")
            return None
        return self._member(block, kind, size)

    def _receive_extended(self, data: bytes) -> None:
        payload = data[: self._extended_size]
        if self._extended == b"L":
            self._long_name = payload.split(b"\0", 1)[0].decode("utf-8", errors="replace")
        elif self._extended == b"x":
            self._pax = _pax_records(payload, self.offset)
        self.offset += self.wanted
        self.wanted, self._extended = BLOCK, None

    def _member(self, block: bytes, kind: bytes, size: int) -> Member | None:
        at = self.offset
        name = self._pax.get("path") or self._long_name or _ustar_name(block)
        if "size" in self._pax:
            if not self._pax["size"].isdigit() or len(self._pax["size"]) > 18:
                raise MalformedError(f"the size of {name!r} is no number", at)
            size = int(self._pax["size"])
        self._pax, self._long_name = {}, ""
        if any(key.startswith("GNU.sparse") for key in self._pax):
            raise MalformedError(f"{name!r} is stored as a sparse tar member", at)
        if kind == b"5" and name.rstrip("/") in ("", "."):
            self.offset = at + BLOCK  # `tar -C dir .` begins with the folder itself
            return None
        if kind not in _PLAIN_FILES:
            raise MalformedError(
                f"{name!r} is {_KINDS.get(kind, f'of tar type {kind!r}')}, not a file: not allowed", at
            )
        if size > self._limits.member:
            raise MalformedError(f"{name!r} claims {size} bytes, more than the {self._limits.member} allowed", at + 124)
        name = name.removeprefix("./")
        check_name(name, at)
        if name in self._names:
            raise MalformedError(f"{name!r} is in the archive twice", at)
        self._names.add(name)
        if len(self._names) > self._limits.members:
            raise MalformedError(f"more than {self._limits.members} files", at)
        self.offset = at + BLOCK + -(-size // BLOCK) * BLOCK
        return Member(name, at + BLOCK, size)


def check_name(name: str, at: int) -> None:
    """Refuse what is not a plain file name: paths, `..`, control characters. Raises MalformedError."""
    if not name or name in (".", "..") or "/" in name or "\\" in name or not name.isprintable() or len(name) > 255:
        raise MalformedError(f"{name[:300]!r} is not a plain file name: not allowed", at)


def _ustar_name(block: bytes) -> str:
    name = block[:100].split(b"\0", 1)[0]
    prefix = block[345:500].split(b"\0", 1)[0] if block[257:263] == b"ustar\0" else b""
    return (prefix + b"/" + name if prefix else name).decode("utf-8", errors="replace")


def _checksum_matches(block: bytes) -> bool:
    """Sum of all bytes, the checksum's own counted as spaces; old writers summed signed bytes."""
    field = block[148:156].strip(b" \0")
    if not field or not field.isdigit():
        return False
    try:
        stored = int(field, 8)
    except ValueError:
        return False
    rest = block[:148] + b" " * 8 + block[156:]
    unsigned = sum(rest)
    return stored in (unsigned, unsigned - 256 * sum(byte > 127 for byte in rest))


def _number(field: bytes, at: int) -> int:
    """An octal number, or GNU's base-256."""
    if field[0] & 0x80:
        if field[0] != 0x80:
            raise MalformedError("a negative size in a tar header", at)
        return int.from_bytes(field[1:], "big")
    text = field.strip(b" \0")
    if not text:
        return 0
    try:
        return int(text, 8)
    except ValueError as error:
        raise MalformedError(f"the size in a tar header is no octal number: {text!r}", at) from error


def _pax_records(data: bytes, at: int) -> dict[str, str]:
    """`<length> <key>=<value>\\n`, repeated."""
    records: dict[str, str] = {}
    position = 0
    while position < len(data):
        digits, space, _ = data[position : position + 20].partition(b" ")
        length = int(digits) if space and digits.isdigit() else 0
        record = data[position : position + length]
        key, equals, value = record[len(digits) + 1 :].partition(b"=")
        if length < len(digits) + 4 or len(record) != length or not equals or not value.endswith(b"\n"):
            raise MalformedError("a pax record is malformed", at + position)
        records[key.decode("utf-8", errors="replace")] = value[:-1].decode("utf-8", errors="replace")
        position += length
    return records
