"""Digests whose work can be interrupted: the chaining value in the middle of a file (FIPS 180-4, 6), told and taken up.

hashlib keeps that to itself, OpenSSL's older interface does not, so a transfer that begins again in the middle of a
disk can still say what the whole file hashes to. Where libcrypto cannot be had, or is laid out differently (it is tried
against hashlib first), digests come from hashlib and no transfer is resumed.
"""

import ctypes
import functools
import hashlib
from dataclasses import dataclass
from typing import NamedTuple, Protocol

LIBRARY = "libcrypto.so.3"


class Midstate(NamedTuple):
    """A digest after `size` bytes of its file, a whole number of blocks: `chain` is the chaining value in hex."""

    algorithm: str
    size: int
    chain: str


class Digest(Protocol):
    """What hashlib's objects and ours have in common."""

    def update(self, data: bytes, /) -> None:
        """The next bytes."""

    def hexdigest(self) -> str:
        """Of all bytes so far."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """SHA_CTX, SHA256_CTX, SHA512_CTX: chaining value, length in bits (two words), 16 words of data, counters."""

    function: str
    words: int
    word: type[ctypes.c_uint32] | type[ctypes.c_uint64]

    @property
    def bits(self) -> int:
        """Of a word."""
        return ctypes.sizeof(self.word) * 8

    @property
    def block(self) -> int:
        """Bytes."""
        return 16 * ctypes.sizeof(self.word)


_LAYOUTS = {
    "sha1": _Layout("SHA1", 5, ctypes.c_uint32),
    "sha256": _Layout("SHA256", 8, ctypes.c_uint32),
    "sha512": _Layout("SHA512", 8, ctypes.c_uint64),
}


class Resumable:
    """A digest by libcrypto, which lets go of the interpreter's lock like hashlib."""

    def __init__(self, library: ctypes.CDLL, algorithm: str, midstate: Midstate | None = None) -> None:
        self._layout = layout = _LAYOUTS[algorithm]
        self._algorithm = algorithm
        self._size = 0
        self._context = (layout.word * (layout.words + 2 + 16 + 4))()
        self._update = getattr(library, f"{layout.function}_Update")
        self._final = getattr(library, f"{layout.function}_Final")
        self._update.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t)
        self._final.argtypes = (ctypes.c_char_p, ctypes.c_void_p)
        getattr(library, f"{layout.function}_Init")(self._context)
        if midstate:
            self._take_up(midstate)

    def update(self, data: bytes, /) -> None:
        """See Digest."""
        self._update(self._context, data, len(data))
        self._size += len(data)

    def hexdigest(self) -> str:
        """See Digest."""
        context = type(self._context).from_buffer_copy(self._context)
        out = ctypes.create_string_buffer(64)
        self._final(out, context)
        return out.raw[: hashlib.new(self._algorithm, usedforsecurity=False).digest_size].hex()

    def midstate(self) -> Midstate | None:
        """Where it stands; None within a block."""
        layout = self._layout
        if self._size % layout.block:
            return None
        words = self._context[: layout.words]
        return Midstate(self._algorithm, self._size, "".join(f"{word:0{layout.bits // 4}x}" for word in words))

    def _take_up(self, midstate: Midstate) -> None:
        layout, digits = self._layout, self._layout.bits // 4
        if midstate.size % layout.block or len(midstate.chain) != layout.words * digits:
            raise ValueError(f"no {self._algorithm} stands like this after {midstate.size} bytes")
        for number in range(layout.words):
            self._context[number] = int(midstate.chain[number * digits : (number + 1) * digits], 16)
        length = midstate.size * 8
        self._context[layout.words] = length & ((1 << layout.bits) - 1)
        self._context[layout.words + 1] = length >> layout.bits
        self._size = midstate.size


def new(algorithm: str, midstate: Midstate | None = None) -> Digest:
    """A digest that goes on where `midstate` is. Raises ValueError if that cannot be."""
    library = _library()
    if library is not None and algorithm in _LAYOUTS:
        return Resumable(library, algorithm, midstate)
    if midstate:
        raise ValueError(f"{algorithm} cannot be taken up here")
    return hashlib.new(algorithm, usedforsecurity=False)


@functools.cache
def _library() -> ctypes.CDLL | None:
    """libcrypto, if its contexts are what we think they are."""
    try:
        library = ctypes.CDLL(LIBRARY)
        sound = all(_is_sound(library, algorithm) for algorithm in _LAYOUTS)
    except (OSError, AttributeError, ValueError):
        return None
    return library if sound else None


def _is_sound(library: ctypes.CDLL, algorithm: str) -> bool:
    first, second = bytes(range(256)) * 3, b"rest"
    digest = Resumable(library, algorithm)
    digest.update(first)
    again = Resumable(library, algorithm, digest.midstate())
    again.update(second)
    return again.hexdigest() == hashlib.new(algorithm, first + second, usedforsecurity=False).hexdigest()
