"""Answers of unknown length: a watch. Written in chunks while they come, over a connection of `protocol`."""

from typing import TYPE_CHECKING, Protocol

from isthmus.engine.server.message import Headers, encode_headers

if TYPE_CHECKING:
    from isthmus.engine.server.protocol import Connection

BUFFER = 4 * 1024 * 1024  # bytes that may pile up for a client that reads slowly before it is dropped


class EventStream(Protocol):
    """Where a watcher's events go: `Stream` or `WebSocketStream`."""

    framing: str  # streams of one framing frame alike

    @staticmethod
    def frame(data: bytes) -> bytes:
        """An event as it goes over the wire."""

    @property
    def overrun(self) -> bool:
        """The client reads so slowly that it should be dropped."""

    def write_frames(self, framed: bytes) -> None:
        """Send what `frame` made."""

    def close(self) -> None:
        """End the stream well."""

    def abort(self) -> None:
        """Break it, so that the client sees that it was cut short."""

    async def drained(self) -> None:
        """Wait until the client has caught up."""


class Stream:
    """The body of a chunked answer."""

    __slots__ = ("_connection", "_transport")
    framing = "chunked"

    def __init__(self, connection: "Connection", content_type: str, headers: Headers, *, keep_alive: bool) -> None:
        self._connection = connection
        self._transport = connection.transport
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n%b%b\r\n"
            % (
                content_type.encode("latin-1"),
                encode_headers(headers),
                b"" if keep_alive else b"connection: close\r\n",
            )
        )

    @staticmethod
    def frame(data: bytes) -> bytes:
        """Data as one chunk of the chunked transfer coding (RFC 9112, section 7.1)."""
        return b"%x\r\n%b\r\n" % (len(data), data)

    @property
    def overrun(self) -> bool:
        """The client reads so slowly that it should be dropped."""
        return self._transport.get_write_buffer_size() > BUFFER

    def write_frames(self, framed: bytes) -> None:
        """Send chunks made by `frame` (a watch event is framed once for all its watchers)."""
        if framed and not self._transport.is_closing():
            self._transport.write(framed)

    def close(self) -> None:
        """End the answer; the connection can take the next request."""
        if not self._transport.is_closing():
            self._transport.write(b"0\r\n\r\n")

    def abort(self) -> None:
        """Break the connection, so that the client sees an answer cut short."""
        self._transport.abort()

    async def drained(self) -> None:
        """Wait until the client has caught up; one that does not read at all is dropped."""
        await self._connection.drained_in_time()
