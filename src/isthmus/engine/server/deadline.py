"""How long a connection waits for its client. One sweep looks at all of them, so that a request costs no timer.

Set by `protocol`; the sweep is a chore of `__main__`.
"""

import asyncio
from collections.abc import Collection
from typing import Protocol

REQUEST_SECONDS = 30.0  # to send a request, from its first byte to its last
IDLE_SECONDS = 120.0  # between requests; also how long a client may read nothing of its answer
SWEEP_SECONDS = 5.0  # how exactly these times are kept
FOREVER = float("inf")


class Deadline:
    """When one client's time is over, on the loop's clock."""

    __slots__ = ("_at", "_unread")

    def __init__(self) -> None:
        self._at = FOREVER
        self._unread = 0  # bytes of answers that the client had not taken when its time was last over

    def set(self, seconds: float) -> None:
        """So long from now."""
        self._unread, self._at = 0, asyncio.get_running_loop().time() + seconds

    def clear(self) -> None:
        """It is our turn: the client need do nothing."""
        self._at = FOREVER

    def expire(self, now: float, transport: asyncio.Transport) -> None:
        """End the connection if its time is over. A client that still reads its answer, however slowly, gets more."""
        if now < self._at:
            return
        unread = transport.get_write_buffer_size()
        if not unread:
            transport.close()
        elif self._unread and unread >= self._unread:
            transport.abort()
        else:
            self._unread = unread
            self._at = now + IDLE_SECONDS


class Expiring(Protocol):
    """A connection, as the sweep sees it."""

    def expire(self, now: float) -> None:
        """End if its time is over."""


async def sweep(connections: Collection[Expiring]) -> None:
    """Keep every connection's deadline, for as long as the server runs."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        now = loop.time()
        for connection in tuple(connections):
            connection.expire(now)
