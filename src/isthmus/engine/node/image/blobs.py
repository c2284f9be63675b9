"""Bytes by digest: `<root>/sha256/<hex>`, the layout that skopeo's shared blob directory has too.

A blob appears whole or not at all, and only if its bytes have the digest that they are kept under.
"""

import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Protocol

from isthmus.engine.node.image.errors import ImageError, invalid_image

_CHUNK = 1024 * 1024
_BLOCK = 64 * 1024
_ZERO = bytes(_BLOCK)
MAX_JSON = 4 * 1024 * 1024
"""Manifests, indexes and configurations beyond this are refused (registries' own limit)."""


class Readable(Protocol):
    """A file, a tar member, a decompressor."""

    def read(self, size: int = ..., /) -> bytes:
        """At most `size` bytes; none at the end."""


class Blobs:
    """The blobs below `root`; `scratch` is on the same filesystem and holds what is not finished."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root = root
        self.scratch = scratch

    def path(self, digest: str) -> Path:
        """Where `digest` is or would be. Raises ImageError if it is no sha256 digest."""
        algorithm, _, value = digest.partition(":")
        if algorithm != "sha256" or len(value) != 64 or not set(value) <= set("0123456789abcdef"):
            raise invalid_image(f"{digest[:80]!r} is no sha256 digest")
        return self.root / "sha256" / value

    def add(self, chunks: Iterable[bytes]) -> tuple[str, int]:
        """Keep the bytes and give their digest and size; whatever fails leaves nothing."""
        temporary = self.temporary()
        hasher, size = hashlib.sha256(), 0
        try:
            with temporary.open("xb") as file:
                for chunk in chunks:
                    hasher.update(chunk)
                    write_sparse(file, chunk)
                    size += len(chunk)
                file.truncate(size)
            digest = f"sha256:{hasher.hexdigest()}"
            target = self.path(digest)
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        return digest, size

    def sync(self, digest: str) -> None:
        """Have it on the disk, whatever wrote it. Raises OSError."""
        descriptor = os.open(self.path(digest), os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def temporary(self) -> Path:
        """A name in `scratch` that nobody has."""
        self.scratch.mkdir(parents=True, exist_ok=True)
        return self.scratch / f"{os.getpid()}-{secrets.token_hex(8)}"

    def read_json(self, digest: str) -> bytes:
        """A small blob, checked against its digest. Raises ImageError if it is absent, too large or not what it was."""
        try:
            with self.path(digest).open("rb") as file:
                data = file.read(MAX_JSON + 1)
        except OSError as error:
            raise invalid_image(f"blob {digest} cannot be read: {error.strerror}") from error
        if len(data) > MAX_JSON:
            raise invalid_image(f"blob {digest} is larger than {MAX_JSON} bytes, too large for a manifest")
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            raise damaged(digest)
        return data

    def digests(self) -> Iterator[str]:
        """All that are here."""
        folder = self.root / "sha256"
        if folder.is_dir():
            yield from (f"sha256:{entry.name}" for entry in folder.iterdir() if len(entry.name) == 64)

    def remove(self, digest: str) -> int:
        """Remove one; gives its size, 0 if it was not there."""
        path = self.path(digest)
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return 0
        return size


def damaged(digest: str) -> ImageError:
    """The bytes on disk are not those of the digest."""
    return invalid_image(f"blob {digest} is damaged on disk; remove the image and fetch it again")


def write_sparse(file: IO[bytes], chunk: bytes) -> None:
    """Write `chunk` with holes where it is zero; the file must be truncated to its size at the end."""
    for start in range(0, len(chunk), _BLOCK):
        block = chunk[start : start + _BLOCK]
        if block == _ZERO[: len(block)]:
            file.seek(len(block), os.SEEK_CUR)
        else:
            file.write(block)


def chunks_of(file: Readable) -> Iterator[bytes]:
    """A stream in pieces of 1 MiB."""
    while chunk := file.read(_CHUNK):
        yield chunk
