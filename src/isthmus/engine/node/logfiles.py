"""Log files as `kubectl logs` asks for them: the last lines, or following until the writer is gone."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from isthmus.lib import clock

CHUNK = 64 << 10
LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Wanted:
    """The query of pods/log. `tail` and `limit` are None when everything is wanted."""

    follow: bool = False
    tail: int | None = None
    limit: int | None = None
    timestamps: bool = False


def find_tail(path: Path, lines: int) -> int:
    """The offset at which the last `lines` lines of a file begin."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        if not lines:
            return end
        at, left = end - 1, lines  # the newline that ends the file begins no further line
        while at > 0:
            start = max(0, at - CHUNK)
            file.seek(start)
            block = file.read(at - start)
            inside = block.count(b"\n")
            if inside < left:
                at, left = start, left - inside
                continue
            index = len(block)
            for _ in range(left):
                index = block.rfind(b"\n", 0, index)
            return start + index + 1
    return 0


def _sizes(paths: Sequence[Path]) -> list[Path]:
    return [path for path in paths if path.exists()]


async def read(paths: Sequence[Path], wanted: Wanted, is_live: Callable[[], bool]) -> AsyncIterator[bytes]:
    """The log, older files first; only the last one is followed and counted for `tail`. `is_live` ends a following."""
    left = wanted.limit if wanted.limit is not None else 1 << 62
    stamper = _Stamper() if wanted.timestamps else None
    *older, current = paths
    if wanted.tail is None:
        for path in _sizes(older):
            async for chunk in _read_file(path, 0, lambda: False):
                yield _cut(stamper, chunk, left)
                left -= len(chunk)
                if left <= 0:
                    return
    offset = find_tail(current, wanted.tail) if wanted.tail is not None and current.exists() else 0
    async for chunk in _read_file(current, offset, is_live if wanted.follow else lambda: False):
        yield _cut(stamper, chunk, left)
        left -= len(chunk)
        if left <= 0:
            return


def _cut(stamper: "_Stamper | None", chunk: bytes, left: int) -> bytes:
    part = chunk[:left]
    return stamper.stamp(part) if stamper else part


async def _read_file(path: Path, offset: int, is_live: Callable[[], bool]) -> AsyncIterator[bytes]:
    while True:
        live = is_live()  # asked before reading, so that what was written last is not missed
        try:
            with path.open("rb") as file:
                if file.seek(0, os.SEEK_END) < offset:
                    offset = 0  # it was cut under us
                file.seek(offset)
                while chunk := file.read(CHUNK):
                    offset += len(chunk)
                    yield chunk
        except FileNotFoundError:
            pass
        if not live:
            return
        await asyncio.sleep(LOOK_SECONDS)


class _Stamper:
    """Puts the time of reading before each line: the files keep none, so for old lines it is an upper bound."""

    def __init__(self) -> None:
        self._at_start = True

    def stamp(self, chunk: bytes) -> bytes:
        """`chunk` with a time before every line that begins in it."""
        now = clock.micro_timestamp().encode() + b" "
        out = b""
        for line in chunk.splitlines(keepends=True):
            out += (now if self._at_start else b"") + line
            self._at_start = line.endswith(b"\n")
        return out
