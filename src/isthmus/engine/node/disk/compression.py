"""Decompress a stream whose kind is told by its first bytes: gzip, xz, or plain. Bounded in what it holds.

Both formats allow several streams one after the other (pigz and pixz make such files): they are read as one.
"""

import lzma
import zlib
from collections.abc import Iterator
from typing import Protocol

PIECE = 1 << 20
XZ_MEMORY = 256 << 20
GZIP, XZ = b"\x1f\x8b", b"\xfd7zXZ\0"


class CompressionError(Exception):
    """The stream is broken or ends too early."""


class Decoder(Protocol):
    """`feed` gives what a piece of the stream decompresses to, `close` checks that it was whole."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """In pieces of PIECE bytes at most: a small input may inflate to a thousand times its size."""

    def close(self) -> None:
        """Raises CompressionError."""


def find_decoder(start: bytes) -> Decoder:
    """The decoder for a stream that starts with `start` (at least 6 bytes, if it has so many)."""
    if start.startswith(GZIP):
        return _Gzip()
    return _Xz() if start.startswith(XZ) else _Plain()


class _Plain:
    def feed(self, data: bytes) -> Iterator[bytes]:
        yield data

    def close(self) -> None:
        return


class _Gzip:
    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=31)
        self._used = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            while data:
                if self._stream.eof:
                    data = data.lstrip(b"\0")  # padding between members
                    if not data:
                        return
                    self._stream = zlib.decompressobj(wbits=31)
                self._used = True
                yield self._stream.decompress(data, PIECE)
                data = self._stream.unconsumed_tail or self._stream.unused_data
        except zlib.error as error:
            raise CompressionError(f"the gzip stream is broken: {error}") from error

    def close(self) -> None:
        if self._used and not self._stream.eof:
            raise CompressionError("the gzip stream ends too early")


class _Xz:
    def __init__(self) -> None:
        self._stream = self._new()

    @staticmethod
    def _new() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            while data or not (self._stream.needs_input or self._stream.eof):
                if self._stream.eof:
                    data = data.lstrip(b"\0")
                    if not data:
                        return
                    self._stream = self._new()
                yield self._stream.decompress(data, PIECE)
                data = self._stream.unused_data if self._stream.eof else b""
        except lzma.LZMAError as error:
            raise CompressionError(f"the xz stream is broken: {error}") from error

    def close(self) -> None:
        if not self._stream.eof:
            raise CompressionError("the xz stream ends too early")
