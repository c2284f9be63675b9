"""Write small ISO 9660 images with Rock Ridge (Unix) and Joliet (Windows) names, in memory.

For cloud-init's data and for ConfigMaps, Secrets and the like as CD-ROMs. Sources: ECMA-119; SUSP 1.10 and RRIP 1.10
(IEEE P1281, P1282); the Joliet specification. Raises Iso9660Error only.

    sector 16  primary descriptor     then  path tables (little, big endian) of both trees,
           17  Joliet descriptor            directories of both trees,
           18  terminator                   files
"""

import re
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

SECTOR = 2048
MAX_NAME = 150  # so that a directory record with its Rock Ridge fields keeps within 255 bytes
MAX_JOLIET = 64
MAX_DEPTH = 8
MAX_SIZE = 64 << 20
DIRECTORY_FLAG = 2


class Iso9660Error(ValueError):
    """The files do not fit into such an image."""


@dataclass(slots=True)
class _Node:
    name: str
    data: bytes | None = None  # None: a directory
    mode: int = 0o444
    children: dict[str, "_Node"] = field(default_factory=dict)
    parent: "_Node | None" = None
    extent: int = 0

    @property
    def directory(self) -> bool:
        return self.data is None


@dataclass(slots=True)
class _Tree:
    """One of the two views of the same files: how names are written, and where its directories lie."""

    encode: Callable[[_Node], bytes]
    rock_ridge: bool
    extents: dict[int, int] = field(default_factory=dict)  # id(node) -> sector
    sizes: dict[int, int] = field(default_factory=dict)


def build_image(files: Mapping[str, bytes], label: str, *, modified: float = 0.0, mode: int = 0o444) -> bytes:
    """An image that holds `files` (path with slashes -> content), with the volume label `label`.

    `modified` (seconds since the epoch) is every file's time: the same input gives the same bytes.
    """
    if not 0 < len(label) <= 16 or not label.isascii():
        raise Iso9660Error(f"the volume label {label!r} must be 1 to 16 ASCII characters")
    if sum(map(len, files.values())) > MAX_SIZE:
        raise Iso9660Error(f"more than {MAX_SIZE} bytes of files")
    root = _build_tree(files, mode)
    directories = _directories(root)
    short = _short_names(directories)
    trees = (
        _Tree(lambda node: short[id(node)], rock_ridge=True),
        _Tree(_joliet_name, rock_ridge=False),
    )
    return _Writer(root, directories, trees, label, time.gmtime(modified)).write()


def _build_tree(files: Mapping[str, bytes], mode: int) -> _Node:
    root = _Node("", mode=0o555)
    for path, data in sorted(files.items()):
        *folders, name = path.split("/")
        if len(folders) >= MAX_DEPTH:
            raise Iso9660Error(f"{path!r} is more than {MAX_DEPTH} directories deep")
        node = root
        for folder in folders:
            node = node.children.setdefault(folder, _Node(folder, None, 0o555, parent=node))
            if not node.directory:
                raise Iso9660Error(f"{path!r} has a file for a directory")
        for part in (*folders, name):
            if part in ("", ".", "..") or "\0" in part or len(part.encode()) > MAX_NAME:
                raise Iso9660Error(f"{path!r} has a part that cannot be a name of 1 to {MAX_NAME} bytes")
        if name in node.children:
            raise Iso9660Error(f"{path!r} is both a file and a directory")
        node.children[name] = _Node(name, data, mode, parent=node)
    return root


def _directories(root: _Node) -> list[_Node]:
    """All directories, level by level: the order of a path table."""
    found = [root]
    for node in found:
        found.extend(child for child in node.children.values() if child.directory)
    return found


def _short_names(directories: list[_Node]) -> dict[int, bytes]:
    """8.3 names of the primary tree, unique in their directory."""
    names: dict[int, bytes] = {}
    for directory in directories:
        taken: set[str] = set()
        for child in directory.children.values():
            stem, dot, extension = child.name.rpartition(".") if not child.directory else (child.name, "", "")
            if not dot:
                stem, extension = child.name, ""
            stem, extension = (re.sub(r"[^A-Z0-9_]", "_", part.upper()) for part in (stem, extension))
            name = _candidate(stem[:8] or "_", extension[:3], child.directory)
            number = 0
            while name in taken:
                number += 1
                name = _candidate(f"{stem[: 7 - len(str(number))]}_{number}", extension[:3], child.directory)
            taken.add(name)
            names[id(child)] = name.encode()
    return names


def _joliet_name(node: _Node) -> bytes:
    """At most 64 characters; a longer name ends with a checksum, so that two of them stay different."""
    name = node.name
    if len(name) > MAX_JOLIET:
        name = f"{name[: MAX_JOLIET - 9]}~{zlib.crc32(name.encode()):08x}"
    return name.encode("utf-16-be", "replace")


def _candidate(stem: str, extension: str, directory: bool) -> str:
    return stem if directory else f"{stem}.{extension};1"


def _both16(value: int) -> bytes:
    return struct.pack("<H", value) + struct.pack(">H", value)


def _both32(value: int) -> bytes:
    return struct.pack("<I", value) + struct.pack(">I", value)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % SECTOR)


def _sectors(size: int) -> int:
    return -(-size // SECTOR)


class _Writer:
    def __init__(
        self, root: _Node, directories: list[_Node], trees: tuple[_Tree, _Tree], label: str, modified: time.struct_time
    ) -> None:
        self.root, self.directories, self.trees, self.label = root, directories, trees, label
        self.stamp = bytes([modified.tm_year - 1900, *modified[1:6], 0])
        self.long_stamp = time.strftime("%Y%m%d%H%M%S00", modified).encode() + b"\0"
        self.total = 0

    def write(self) -> bytes:
        """Lay out, then write: a record's size does not depend on the places that it names."""
        tables = [self._path_table(tree, "<") for tree in self.trees]
        sector = 19 + sum(2 * _sectors(len(table)) for table in tables)
        for tree in self.trees:
            for node in self.directories:
                tree.sizes[id(node)] = len(self._directory(tree, node))
                tree.extents[id(node)] = sector
                sector += _sectors(tree.sizes[id(node)])
        for node in self._files():
            node.extent = sector if node.data else 0
            sector += _sectors(len(node.data or b""))
        self.total = sector
        return b"".join(self._parts(tables))

    def _parts(self, sized: list[bytes]) -> Iterator[bytes]:
        yield bytes(16 * SECTOR)
        at, places = 19, []
        for table in sized:
            places.append((at, at + _sectors(len(table)), len(table)))
            at += 2 * _sectors(len(table))
        for tree, place in zip(self.trees, places, strict=True):
            yield self._descriptor(tree, place)
        yield _padded(b"\xffCD001\x01")
        for tree in self.trees:
            yield _padded(self._path_table(tree, "<"))
            yield _padded(self._path_table(tree, ">"))
        for tree in self.trees:
            for node in self.directories:
                yield self._directory(tree, node)
        for node in self._files():
            yield _padded(node.data or b"")

    def _files(self) -> Iterator[_Node]:
        for directory in self.directories:
            yield from (child for child in directory.children.values() if not child.directory)

    def _descriptor(self, tree: _Tree, place: tuple[int, int, int]) -> bytes:
        little, big, size = place

        def text(value: str, width: int) -> bytes:
            if tree.rock_ridge:
                return value.encode("ascii", "replace")[:width].ljust(width)
            return (value.encode("utf-16-be")[: width & ~1]).ljust(width & ~1, b"\0") + bytes(width & 1)

        root = self._record(tree, self.root, b"\0", bare=True)
        never = b"0" * 16 + b"\0"
        return _padded(
            (b"\x01" if tree.rock_ridge else b"\x02")
            + b"CD001\x01\0"
            + text("LINUX" if tree.rock_ridge else "", 32)
            + text(self.label, 32)
            + bytes(8)
            + _both32(self.total)
            + (bytes(32) if tree.rock_ridge else b"%/E".ljust(32, b"\0"))  # UCS-2 level 3
            + _both16(1)
            + _both16(1)
            + _both16(SECTOR)
            + _both32(size)
            + struct.pack("<II", little, 0)
            + struct.pack(">II", big, 0)
            + root
            + b"".join(text("", width) for width in (128, 128, 128, 128, 37, 37, 37))
            + self.long_stamp * 2
            + never * 2
            + b"\x01\0"
        )

    def _path_table(self, tree: _Tree, order: str) -> bytes:
        number = {id(node): index for index, node in enumerate(self.directories, 1)}
        table = b""
        for node in self.directories:
            name = tree.encode(node) if node is not self.root else b"\0"
            parent = number[id(node.parent or self.root)]
            table += struct.pack(f"{order}BBIH", len(name), 0, tree.extents.get(id(node), 0), parent)
            table += name + bytes(len(name) & 1)
        return table

    def _directory(self, tree: _Tree, node: _Node) -> bytes:
        records = [self._record(tree, node, b"\0"), self._record(tree, node.parent or node, b"\x01")]
        # Records are sorted by their identifiers (ECMA-119, 9.3).
        children = sorted(node.children.values(), key=tree.encode)
        records += [self._record(tree, child, tree.encode(child)) for child in children]
        out = b""
        for record in records:
            if len(out) % SECTOR + len(record) > SECTOR:  # a record does not cross a sector's end
                out = _padded(out)
            out += record
        return _padded(out)

    def _record(self, tree: _Tree, node: _Node, identifier: bytes, *, bare: bool = False) -> bytes:
        if node.directory:
            extent, size = tree.extents.get(id(node), 0), tree.sizes.get(id(node), 0)
        else:
            extent, size = node.extent, len(node.data or b"")
        fields = b"" if bare or not tree.rock_ridge else self._rock_ridge(node, identifier)
        body = (
            b"\0"
            + _both32(extent)
            + _both32(size)
            + self.stamp
            + bytes([DIRECTORY_FLAG if node.directory else 0, 0, 0])
            + _both16(1)
            + bytes([len(identifier)])
            + identifier
            + bytes(1 - len(identifier) % 2)
            + fields
        )
        length = len(body) + 1 + (len(body) + 1) % 2
        return bytes([length]) + body.ljust(length - 1, b"\0")

    def _rock_ridge(self, node: _Node, identifier: bytes) -> bytes:
        kind, links = (0o040000, 2) if node.directory else (0o100000, 1)
        out = b""
        if identifier == b"\0" and node is self.root:
            out += b"SP\x07\x01\xbe\xef\0"
        out += b"PX\x24\x01" + _both32(kind | node.mode) + _both32(links) + _both32(0) + _both32(0)
        if identifier == b"\0" and node is self.root:
            name = b"RRIP_1991A"
            out += b"ER" + bytes([8 + len(name), 1, len(name), 0, 0, 1]) + name
        elif identifier not in (b"\0", b"\x01"):
            text = node.name.encode()
            out += b"NM" + bytes([5 + len(text), 1, 0]) + text
        return out
