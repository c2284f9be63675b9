"""The body of a request that is too large to be held: pieces as they come, no faster than they are taken.

Made by `protocol` for the requests that `is_streamed` names, read by `upload`.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from isthmus.engine.server.message import Request
from isthmus.machinery import errors

HIGH_WATER = 1 << 20  # bytes that wait before the client is held back
STALL_SECONDS = 60.0
PREFIXES = ("/v1beta1/upload", "/v1alpha1/upload")


def is_streamed(request: Request) -> bool:
    """Whether a request's body is streamed: disk images, by CDI's paths."""
    return request.method == "POST" and request.path.startswith(PREFIXES)


class BodyStream:
    """Iterate to read. The end of the body is b""; a connection that is lost raises, as a client that stalls does."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._pieces: deque[bytes] = deque()
        self._waiting = 0
        self._ended = False
        self._arrived = asyncio.Event()

    def feed(self, data: bytes) -> None:
        """Take a piece from the connection; b"" is the end."""
        if data:
            self._pieces.append(data)
            self._waiting += len(data)
            if self._waiting > HIGH_WATER:
                self._transport.pause_reading()
        else:
            self._ended = True
        self._arrived.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Raises StatusError 408 when nothing comes for a minute."""
        while self._pieces or not self._ended:
            if not self._pieces:
                self._arrived.clear()
                try:
                    await asyncio.wait_for(self._arrived.wait(), STALL_SECONDS)
                except TimeoutError as error:
                    raise errors.StatusError(408, "Timeout", f"no data for {STALL_SECONDS:g} s") from error
                continue
            piece = self._pieces.popleft()
            self._waiting -= len(piece)
            if self._waiting <= HIGH_WATER // 2 and not self._transport.is_closing():
                self._transport.resume_reading()
            yield piece
