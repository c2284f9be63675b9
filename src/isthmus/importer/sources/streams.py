"""How bytes come: files that can be read anywhere, streams that go forward only, and the layers put on streams.

A file of a package may be a window of an archive, cut into chunks, compressed; hashing sits below all that, because a
manifest lists digests of what is stored.
"""

import os
import stat
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from isal import igzip_lib, isal_zlib

from isthmus.codec.malformed import MalformedError
from isthmus.importer.sources.digests import Midstate

CHUNK = 1 << 20
INFLATE_ERROR = cast("type[Exception]", igzip_lib.IsalError)  # its stub declares an instance


class Stream(Protocol):
    """Forward only. Errors are OSError, MalformedError or SourceError."""

    def read(self, size: int) -> bytes:
        """1 to `size` bytes, or b"" at the end."""

    def close(self) -> None:
        """Give back what it holds."""


class RandomFile(Protocol):
    """A file that can be read anywhere, as often as wanted."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def ranges(self) -> bool:
        """Whether `read_at` and `stream` really work: a server may refuse. `whole` always does, but maybe only once."""

    @property
    def identity(self) -> str:
        """Another one if the file was changed meanwhile; "" if that cannot be told."""

    def whole(self) -> Stream:
        """All of it."""

    def read_at(self, offset: int, size: int) -> bytes:
        """`size` bytes, fewer only at the end of the file."""

    def stream(self, offset: int = 0, size: int | None = None) -> Stream:
        """From `offset` on, at most `size` bytes."""

    def close(self) -> None:
        """Give back what it holds."""


class LocalFile:
    """A file by its path, never opened for writing. The path's last component may be no symlink if `nofollow`."""

    def __init__(self, path: Path, *, nofollow: bool = False) -> None:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (os.O_NOFOLLOW if nofollow else 0)
        self._fd = os.open(path, flags)
        self._closed = weakref.finalize(self, os.close, self._fd)  # a disk may be in a thousand files
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            self.close()
            raise OSError(f"{path.name} is no plain file")
        info = os.fstat(self._fd)
        self.size = info.st_size
        self.identity = f"{info.st_size} bytes of {info.st_mtime_ns}"
        self.ranges = True

    def whole(self) -> Stream:
        """See RandomFile."""
        return self.stream()

    def read_at(self, offset: int, size: int) -> bytes:
        """See RandomFile."""
        data = os.pread(self._fd, size, offset)
        if len(data) == size or not data:
            return data
        return data + self.read_at(offset + len(data), size - len(data))

    def stream(self, offset: int = 0, size: int | None = None) -> Stream:
        """See RandomFile."""
        return _Forward(self, offset, self.size - offset if size is None else size)

    def close(self) -> None:
        """Close the descriptor, which is done anyway when the file goes out of use."""
        self._closed()


@dataclass(frozen=True, slots=True)
class Window:
    """A member of an archive as a file of its own."""

    archive: RandomFile
    offset: int
    size: int
    ranges: bool = True

    @property
    def identity(self) -> str:
        """See RandomFile."""
        return f"{self.size} from {self.offset} of {self.archive.identity}" if self.archive.identity else ""

    def whole(self) -> Stream:
        """See RandomFile."""
        return self.stream()

    def read_at(self, offset: int, size: int) -> bytes:
        """See RandomFile."""
        return self.archive.read_at(self.offset + offset, max(0, min(size, self.size - offset)))

    def stream(self, offset: int = 0, size: int | None = None) -> Stream:
        """See RandomFile."""
        left = self.size - offset
        return self.archive.stream(self.offset + offset, left if size is None else min(size, left))

    def close(self) -> None:
        """The archive is not ours."""


class _Forward:
    """A stream over a file that can be read anywhere."""

    def __init__(self, file: RandomFile, offset: int, size: int) -> None:
        self._file = file
        self._offset = offset
        self._end = offset + size

    def read(self, size: int) -> bytes:
        data = self._file.read_at(self._offset, min(size, self._end - self._offset))
        self._offset += len(data)
        return data

    def close(self) -> None:
        """The file is not ours."""


class Pipe:
    """A descriptor that only goes forward: standard input."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read(self, size: int) -> bytes:
        """See Stream."""
        return os.read(self._fd, size)

    def close(self) -> None:
        """The descriptor is not ours."""


class Stretch:
    """The next `size` bytes of a stream. Raises MalformedError where the stream ends within it."""

    def __init__(self, stream: Stream, size: int) -> None:
        self._stream = stream
        self._size = self._left = size

    def read(self, size: int) -> bytes:
        """See Stream."""
        if not self._left:
            return b""
        data = self._stream.read(min(size, self._left))
        if not data:
            raise MalformedError(
                f"the archive is cut off: {self._left} bytes are missing here", self._size - self._left
            )
        self._left -= len(data)
        return data

    def skip(self) -> None:
        """Leave the stream behind the stretch."""
        while self.read(CHUNK):
            pass

    def close(self) -> None:
        """The stream is not ours."""


class Sink(Protocol):
    """What sees every byte that passes, e.g. `hashing.Hasher`."""

    def update(self, data: bytes) -> None:
        """The next bytes."""

    def finish(self) -> dict[str, str]:
        """There are no more: what became of them."""

    def midstate(self) -> Midstate | None:
        """What is known of them so far, to go on from in another process; None if it cannot be told."""


class Hashed:
    """Passes bytes on and shows them to `sink`, but for the first `skip`; `done` gets its result at the end."""

    def __init__(self, stream: Stream, sink: Sink, done: Callable[[dict[str, str]], None], skip: int = 0) -> None:
        self._stream = stream
        self._sink = sink
        self._done = done
        self._skip = skip
        self._finished = False

    def read(self, size: int) -> bytes:
        """See Stream."""
        data = self._stream.read(size)
        if self._skip:
            known = min(self._skip, len(data))
            self._skip -= known
            if known < len(data):
                self._sink.update(data[known:])
        elif data:
            self._sink.update(data)
        if not data and not self._finished:
            self._finished = True
            self._done(self._sink.finish())
        return data

    def midstate(self) -> Midstate | None:
        """See Sink."""
        return None if self._skip or self._finished else self._sink.midstate()

    def close(self) -> None:
        """Close what is below; an unfinished digest is dropped."""
        self._stream.close()
        if not self._finished:
            self._finished = True
            self._sink.finish()


class Prefixed:
    """A stream of which the beginning was already read, to see what it is."""

    def __init__(self, data: bytes, stream: Stream) -> None:
        self._data = data
        self._stream = stream

    def read(self, size: int) -> bytes:
        """See Stream."""
        if not self._data:
            return self._stream.read(size)
        data, self._data = self._data[:size], self._data[size:]
        return data

    def close(self) -> None:
        """Close what is below."""
        self._stream.close()


class Joined:
    """Streams one after the other, each opened when its turn comes."""

    def __init__(self, parts: Iterator[Stream]) -> None:
        self._parts = parts
        self._current: Stream | None = None

    def read(self, size: int) -> bytes:
        """See Stream."""
        while True:
            if self._current is None:
                self._current = next(self._parts, None)
            if self._current is None:
                return b""
            if data := self._current.read(size):
                return data
            self.close()

    def close(self) -> None:
        """Close the current part."""
        if self._current is not None:
            self._current.close()
        self._current = None


class Gunzipped:
    """Inflates gzip (RFC 1952), members joined. Gives at most CHUNK bytes at once whatever the ratio."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._inflater = isal_zlib.decompressobj(31)
        self._input = b""
        self._offset = 0
        self._begun = False

    def read(self, size: int) -> bytes:
        """See Stream. Raises MalformedError."""
        while True:
            if not self._input:
                self._input = self._stream.read(min(size, CHUNK))
                self._offset += len(self._input)
            if not self._input:
                return self._end()
            if self._inflater.eof:
                self._inflater = isal_zlib.decompressobj(31)
            if data := self._inflate(min(size, CHUNK)):
                return data

    def _inflate(self, size: int) -> bytes:
        self._begun = True
        try:
            data: bytes = self._inflater.decompress(self._input, size)
        except INFLATE_ERROR as error:
            raise MalformedError(f"the gzip data is damaged ({error})", self._offset - len(self._input)) from error
        self._input = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
        if self._inflater.eof and not self._input.strip(b"\0"):
            self._input = b""  # padding
        return data

    def _end(self) -> bytes:
        if not self._begun or not self._inflater.eof:
            raise MalformedError("the gzip data is cut off", self._offset)
        return b""

    def close(self) -> None:
        """Close what is below."""
        self._stream.close()


def read_exactly(stream: Stream, size: int) -> bytes:
    """`size` bytes of a stream, fewer only at its end."""
    parts: list[bytes] = []
    while size and (data := stream.read(size)):
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


def read_all(stream: Stream, most: int, what: str) -> bytes:
    """All of a stream, which is then closed. Raises MalformedError if that is more than `most` bytes."""
    parts: list[bytes] = []
    size = 0
    while data := stream.read(CHUNK):
        size += len(data)
        if size > most:
            raise MalformedError(f"{what} is larger than the {most} bytes allowed", most)
        parts.append(data)
    stream.close()
    return b"".join(parts)
