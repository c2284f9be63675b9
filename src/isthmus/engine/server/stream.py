"""Answers of unknown length, a watch's: events go out as they come, in chunks or (`websocketframing`) as messages."""

import asyncio
from typing import TYPE_CHECKING, Protocol

from isthmus.engine.server.message import Headers, encode_headers

if TYPE_CHECKING:
    from isthmus.engine.server.protocol import Connection

BUFFER = 4 * 1024 * 1024  # bytes that may pile up for a client that reads slowly before it is dropped


class Framing(Protocol):
    """What makes an event of bytes on the wire."""

    name: str  # framings of one name frame alike

    def frame(self, data: bytes) -> bytes:
        """An event as it goes over the wire."""

    def end(self) -> None:
        """End the stream well."""


def is_overrun(transport: asyncio.Transport) -> bool:
    """Whether a client reads so slowly that it should be dropped."""
    return transport.get_write_buffer_size() > BUFFER


class EventStream:
    """Where a watcher's events go."""

    __slots__ = ("_connection", "_transport", "framing")

    def __init__(self, connection: "Connection", framing: Framing) -> None:
        self._connection = connection
        self._transport = connection.transport
        self.framing = framing

    @property
    def overrun(self) -> bool:
        """See `is_overrun`."""
        return is_overrun(self._transport)

    def write_frames(self, framed: bytes) -> None:
        """Send what `framing.frame` made (a watch event is framed once for all its watchers)."""
        if framed and not self._transport.is_closing():
            self._transport.write(framed)

    def close(self) -> None:
        """End the stream well."""
        if not self._transport.is_closing():
            self.framing.end()

    def abort(self) -> None:
        """Break the connection, so that the client sees an answer cut short."""
        self._transport.abort()

    async def drained(self) -> None:
        """Wait until the client has caught up; one that does not read at all is dropped."""
        await self._connection.drained_in_time()


class Chunked:
    """An HTTP answer in chunks (RFC 9112, section 7.1). Its connection can take the next request afterwards."""

    __slots__ = ("_transport",)
    name = "chunked"

    def __init__(
        self, transport: asyncio.Transport, content_type: str, headers: Headers = (), *, keep_alive: bool = True
    ) -> None:
        """The head of the answer goes out."""
        self._transport = transport
        transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n%b%b\r\n"
            % (
                content_type.encode("latin-1"),
                encode_headers(headers),
                b"" if keep_alive else b"connection: close\r\n",
            )
        )

    def frame(self, data: bytes) -> bytes:
        """Data as one chunk."""
        return b"%x\r\n%b\r\n" % (len(data), data)

    def end(self) -> None:
        """The last chunk."""
        self._transport.write(b"0\r\n\r\n")
