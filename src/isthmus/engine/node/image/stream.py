"""Read tar streams that nobody vouches for: decompression by content, every size bounded. Blocking; run it in a thread.

`tarfile` by itself reads extended headers of any size into memory and remembers every member; `read_tar` bounds both.
"""

import bz2
import hashlib
import io
import lzma
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from isal import igzip, igzip_lib

from isthmus.engine.node.image.blobs import Readable, damaged
from isthmus.engine.node.image.errors import ImageError, invalid_image
from isthmus.lib import run

_DAMAGE: tuple[type[Exception], ...] = (
    tarfile.TarError,
    EOFError,
    OSError,
    lzma.LZMAError,
    cast(type[Exception], igzip_lib.IsalError),  # its stub calls the class an instance
    ValueError,
    OverflowError,
)
_MAX_READ = 8 * 1024 * 1024
"""`tarfile` asks for more at once only for a header that is absurd."""


_OPENERS: dict[bytes, Callable[[Any], Readable]] = {
    b"\x1f\x8b": lambda file: igzip.IGzipFile(fileobj=file, mode="rb"),  # type: ignore[no-untyped-call]
    b"\xfd7zXZ\0": lzma.LZMAFile,
    b"BZh": bz2.BZ2File,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one archive or layer may cost. `total` counts bytes after decompression, `members` the entries of a tar."""

    total: int = 512 * 1024**3
    members: int = 1_000_000


class Forward(io.RawIOBase):
    """A stream that only goes forward, as a file that `tarfile` can seek: counts, bounds, and reads no absurd sizes."""

    def __init__(self, source: Readable, limit: int) -> None:
        super().__init__()
        self._source = source
        self._limit = limit
        self._position = 0

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; less only at the end. Raises ImageError past the limit."""
        if not 0 <= size <= _MAX_READ:
            raise invalid_image(f"a tar header of {size} bytes: this archive is damaged or hostile")
        parts: list[bytes] = []
        while size and (part := _read(self._source, size)):
            parts.append(part)
            size -= len(part)
            self._position += len(part)
            if self._position > self._limit:
                raise invalid_image(f"it unpacks to more than {self._limit} bytes")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def tell(self) -> int:
        """The offset in the unpacked stream."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Skip ahead."""
        if whence != os.SEEK_SET or offset < self._position:
            raise invalid_image("this archive needs to be read backwards")
        while self._position < offset and self.read(min(offset - self._position, 1024 * 1024)):
            pass
        return self._position

    def drain(self) -> None:
        """Read to the end, so that a digest covers all bytes."""
        while self.read(1024 * 1024):
            pass


@contextmanager
def decompressed(path: Path, digest: str = "") -> Iterator[Readable]:
    """The file unpacked, by its first bytes: gzip, xz, bzip2, zstd or none of them.

    With `digest`, reading to the end raises ImageError if the file's own bytes do not have it.
    """
    with path.open("rb") as raw:
        magic = raw.read(6)
        raw.seek(0)
        source = _Checked(raw, digest) if digest else raw
        if magic[:4] == b"\x28\xb5\x2f\xfd":
            while digest and source.read(1024 * 1024):
                pass  # the program reads the file for itself
            yield from _zstd(path)
            return
        opener = next((opener for prefix, opener in _OPENERS.items() if magic.startswith(prefix)), None)
        yield opener(source) if opener else source


class _Checked(io.RawIOBase):
    """A file that knows at its end whether it had the right bytes."""

    def __init__(self, file: IO[bytes], digest: str) -> None:
        super().__init__()
        self._file = file
        self._digest = digest
        self._hash = hashlib.sha256()

    def readable(self) -> bool:
        """Yes."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """As the file's. Raises ImageError at the end if the digest is another."""
        data = self._file.read(size)
        self._hash.update(data)
        if not data and size != 0 and f"sha256:{self._hash.hexdigest()}" != self._digest:
            raise damaged(self._digest)
        return data

    def readinto(self, buffer: Any, /) -> int:
        """As `read`."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _zstd(path: Path) -> Iterator[Readable]:
    """Python has zstd from 3.14 on; until then the program does it."""
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as unpacked:
        try:
            process = run.start(["zstd", "-dcq", "--", path], log=write_end)
        except run.CommandError as error:
            raise invalid_image(f"it is compressed with zstd, and {error}") from error
        finally:
            os.close(write_end)
        try:
            yield unpacked
        finally:
            unpacked.close()
            if process.wait() > 0:
                raise invalid_image(f"zstd could not unpack {path.name}")


def read_tar(source: Readable, limits: Limits) -> Iterator[tuple[tarfile.TarInfo, Readable | None]]:
    """The members of a tar with the content of regular files, to be read before the next member is asked for.

    Raises ImageError for a damaged archive, here and when content is read.
    """
    stream = source if isinstance(source, Forward) else Forward(source, limits.total)
    count = 0
    try:
        with tarfile.TarFile(fileobj=stream, mode="r", errorlevel=1) as tar:
            while (member := tar.next()) is not None:
                count += 1
                if count > limits.members:
                    raise invalid_image(f"it has more than {limits.members} entries")
                if member.size > limits.total:
                    raise invalid_image(f"{member.name[:80]!r} claims {member.size} bytes")
                content = tar.extractfile(member) if member.isreg() else None
                yield member, _Content(content) if content else None
                tar.members.clear()  # type: ignore[attr-defined]
    except _DAMAGE as error:
        raise _unsound(error) from error


class _Content:
    """A regular file of a tar."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1, /) -> bytes:
        """As the file's. Raises ImageError where the archive is damaged."""
        return _read(self._file, size)


def _read(source: Readable, size: int) -> bytes:
    try:
        return source.read(size)
    except _DAMAGE as error:
        raise _unsound(error) from error


def _unsound(error: Exception) -> ImageError:
    return invalid_image(f"it is no sound archive: {error}")


def clean_name(name: str) -> str:
    """A member's path without a leading slash or `./`; empty for the root and for one that climbs out (`..`)."""
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", ".")]
    return "" if ".." in parts else "/".join(parts)
