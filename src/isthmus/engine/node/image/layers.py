"""Find one file in an image's layers and write it out sparse, without unpacking the image.

Layers are read from the top down, each once; whiteouts (OCI image-spec, layer.md) hide what is below. A path may be
exact (`/boot/vmlinuz`) or a directory with one file in it (`/disk`, as a containerDisk has). Links are followed inside
the image. Blocking; run it in a thread.
"""

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from isthmus.engine.node.image.blobs import Blobs, Readable, chunks_of, write_sparse
from isthmus.engine.node.image.errors import invalid_image
from isthmus.engine.node.image.manifest import Manifest
from isthmus.engine.node.image.stream import Forward, Limits, clean_name, decompressed, read_tar

_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_MAX_HOPS = 16


def extract(image: Manifest, path: str, blobs: Blobs, limits: Limits) -> Path:
    """Write the file at `path` of the image to a temporary file and give that. Raises ImageError.

    `path` names a file, or a directory that holds exactly one (`/disk` and `/disk/*` are the same).
    """
    wanted = clean_name(path.removesuffix("/*"))
    for _ in range(_MAX_HOPS):
        search = _Search(wanted, blobs, limits)
        try:
            moved = _run(search, image)
            if moved is None:
                return search.result(path)
        except BaseException:
            search.discard()
            raise
        search.discard()
        wanted = moved
    raise invalid_image(f"{path}: more than {_MAX_HOPS} links")


def _run(search: "_Search", image: Manifest) -> str | None:
    """Look through the layers; gives the path to look for instead if a link stands there."""
    for layer in reversed(image.layers):
        search.read_layer(layer.digest)
        if search.redirect is not None:
            return search.redirect
        if search.settled:
            break
    return search.link_of_only_file()


@dataclass(slots=True)
class _Search:
    """What is known so far of `wanted` and what lies under it, from the layers read up to now."""

    wanted: str
    blobs: Blobs
    limits: Limits
    files: dict[str, Path] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    redirect: str | None = None

    @property
    def settled(self) -> bool:
        """Nothing in a lower layer can change the result."""
        return self.wanted in self.files or bool(self.hidden & set(_lineage(self.wanted)))

    def read_layer(self, digest: str) -> None:
        """Take in one layer, the topmost first; its bytes must have its digest."""
        hides: set[str] = set()
        try:
            with decompressed(self.blobs.path(digest), digest) as source:
                stream = Forward(source, self.limits.total)
                for member, content in read_tar(stream, self.limits):
                    hides |= self._member(member, content)
                stream.drain()
        except FileNotFoundError as error:
            raise invalid_image(f"layer {digest} is not here") from error
        self.hidden |= hides

    def _member(self, member: tarfile.TarInfo, content: Readable | None) -> set[str]:
        """Note one entry; gives what it hides in the layers below."""
        name = clean_name(member.name)
        folder, _, base = name.rpartition("/")
        if base == _OPAQUE:
            return {f"{folder}/*"}
        if base.startswith(_WHITEOUT):
            return {f"{folder}/{base.removeprefix(_WHITEOUT)}".lstrip("/")}
        if not name or self.hidden & set(_lineage(name)):
            return set()
        if name == self.wanted or folder == self.wanted:
            self._candidate(member, content, name)
            return set() if member.isdir() else {name}
        if self.wanted.startswith(f"{name}/") and not member.isdir():
            self._on_the_way(member, name)
        return set()

    def _candidate(self, member: tarfile.TarInfo, content: Readable | None, name: str) -> None:
        if member.issym() or member.islnk():
            target = _target(name, member)
            if name == self.wanted:
                self.redirect = self.redirect or target
            else:
                self.links[name] = target
        elif content is not None:
            if previous := self.files.pop(name, None):
                previous.unlink(missing_ok=True)
            self.files[name] = _write_sparse(content, member.size, self.blobs.temporary())

    def _on_the_way(self, member: tarfile.TarInfo, name: str) -> None:
        """A directory of the path is a link, or no directory at all."""
        if member.issym():
            self.redirect = self.redirect or _target(name, member) + self.wanted.removeprefix(name)
        else:
            self.hidden.add(name)

    def link_of_only_file(self) -> str | None:
        """A directory whose one entry is a link: where that leads."""
        return next(iter(self.links.values())) if len(self.links) == 1 and not self.files else None

    def result(self, path: str) -> Path:
        """The one file found. Raises ImageError if there is none, or are several."""
        names = [self.wanted] if self.wanted in self.files else sorted({*self.files, *self.links})
        if not names:
            raise invalid_image(f"the image has no file {path}")
        if len(names) > 1:
            listed = ", ".join("/" + name for name in names[:5])
            raise invalid_image(f"the image has {len(names)} files under {path} ({listed}); name the one that is meant")
        found = self.files.pop(names[0])
        self.discard()
        return found

    def discard(self) -> None:
        """Remove what was written but is not the result."""
        for temporary in self.files.values():
            temporary.unlink(missing_ok=True)
        self.files.clear()


def _lineage(name: str) -> Iterator[str]:
    """The names by which a path can be hidden: itself, its ancestors, and `dir/*` of opaque ancestors."""
    yield name
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name
        yield f"{name}/*"
    yield "/*"


def _target(name: str, member: tarfile.TarInfo) -> str:
    """Where a link leads inside the image; a hard link names a path, a symbolic one starts beside itself."""
    if member.islnk():
        return clean_name(member.linkname)
    parts = [] if member.linkname.startswith("/") else name.split("/")[:-1]
    for part in member.linkname.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _write_sparse(content: Readable, size: int, target: Path) -> Path:
    """Write a file with holes where it is zero."""
    written = 0
    with target.open("xb") as file:
        try:
            for chunk in chunks_of(content):
                write_sparse(file, chunk)
                written += len(chunk)
            if written != size:
                raise invalid_image(f"a file ends after {written} of its {size} bytes")
            file.truncate(size)
            file.flush()
            os.fsync(file.fileno())  # it is never checked again: after a power cut it must be whole, or not be
        except BaseException:
            target.unlink(missing_ok=True)
            raise
    return target
