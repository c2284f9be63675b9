"""What a dynamically linked program needs beside itself: its interpreter and the libraries it names.

A small reader of 64-bit little-endian ELF files (System V ABI, chapters 4 and 5), used to copy programs into the
appliance's initrd together with exactly their libraries.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LOAD, _DYNAMIC, _INTERPRETER = 1, 2, 3
_NEEDED, _STRING_TABLE = 1, 5
_LINKS = 8


class ElfError(ValueError):
    """Not an ELF file that this reader knows."""


@dataclass(frozen=True, slots=True)
class Links:
    """`interpreter` is the dynamic loader's absolute path (None: static or a library), `needed` are library names."""

    interpreter: str | None
    needed: tuple[str, ...]


def links(data: bytes) -> Links:
    """Read the dynamic section of an ELF file. Raises ElfError."""
    if data[:6] != b"\x7fELF\x02\x01":
        raise ElfError("not a 64-bit little-endian ELF file")
    try:
        return _links(data)
    except (struct.error, ValueError, OverflowError) as error:
        raise ElfError(f"the ELF file is cut or malformed ({error})") from error


def _links(data: bytes) -> Links:
    (table,) = struct.unpack_from("<Q", data, 0x20)
    size, count = struct.unpack_from("<HH", data, 0x36)
    segments = [struct.unpack_from("<IIQQQQ", data, table + size * index) for index in range(count)]
    interpreter, tags = None, []
    for kind, _flags, offset, _address, _physical, length in segments:
        if kind == _INTERPRETER:
            interpreter = _text(data, offset)
        elif kind == _DYNAMIC:
            tags = [struct.unpack_from("<QQ", data, at) for at in range(offset, offset + length, 16)]
    strings = next((value for tag, value in tags if tag == _STRING_TABLE), 0)
    base = next((s[2] + strings - s[3] for s in segments if s[0] == _LOAD and s[3] <= strings < s[3] + s[5]), 0)
    return Links(interpreter, tuple(_text(data, base + value) for tag, value in tags if tag == _NEEDED))


def _text(data: bytes, start: int) -> str:
    return data[start : data.index(b"\0", start)].decode()


def closure(root: Path, program: Path) -> Iterator[tuple[str, Path]]:
    """(path in the target, file) of every library that `program` needs, found below `root`. Raises ElfError."""
    by_name: dict[str, Path] = {}
    for file in sorted(root.rglob("*.so*"), key=lambda found: not found.is_symlink()):
        by_name[file.name] = file  # a real file wins over a link of the same name, such as the loader's in lib64
    first = links(program.read_bytes())
    if first.interpreter:
        yield first.interpreter.lstrip("/"), _inside(by_name, Path(first.interpreter).name)
    waiting, seen = list(first.needed), set[str]()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            file = _inside(by_name, name)
            yield f"lib/{name}", file
            waiting += links(file.read_bytes()).needed


def _inside(by_name: dict[str, Path], name: str) -> Path:
    """The regular file behind a library's name; links in packages are relative or absolute by habit, so go by name."""
    file = by_name.get(name)
    for _ in range(_LINKS):
        if file is not None and file.is_symlink():
            file = by_name.get(file.readlink().name)
    if file is None or file.is_symlink():
        raise ElfError(f"no package unpacked here has the library {name}")
    return file
