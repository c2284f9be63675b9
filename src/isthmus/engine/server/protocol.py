"""HTTP/1.1 on one connection: its requests go to the handler one after the other, its answers back in that order.

Pipelined requests wait, and reading stops while they do. What cannot be read (`reader`) is refused in its turn and ends
the connection. Kept apart from any framework because one place needs client certificates, raw upgrades (WebSocket,
SPDY) and endless streams at once, at the speed of the bare event loop (docs/decisions/0003-http.md). Knows nothing of
Kubernetes.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, cast

from isthmus.engine.server.deadline import IDLE_SECONDS, REQUEST_SECONDS, Deadline
from isthmus.engine.server.message import TEXT, Handler, Headers, Request, Response
from isthmus.engine.server.reader import MAX_HEADER_BYTES, RefusedError, RequestReader
from isthmus.engine.server.stream import BUFFER, Chunked, EventStream

LARGE = 65536  # bodies from here on are not copied behind their head


class Incoming(Enum):
    """What the bytes are that come from the client."""

    REQUESTS = auto()  # read
    EARLY = auto()  # behind a request for an upgrade, which the handler has not decided yet: kept
    RAW = auto()  # the handler's, which has taken the connection over
    IGNORED = auto()  # behind something that was refused


# What they may be next: an upgrade is asked for, granted or not; a handler takes over; a request is refused.
NEXT = {
    Incoming.REQUESTS: (Incoming.EARLY, Incoming.RAW, Incoming.IGNORED),
    Incoming.EARLY: (Incoming.RAW, Incoming.REQUESTS),
    Incoming.IGNORED: (Incoming.RAW,),  # by the handler of a request that came before
    Incoming.RAW: (),
}


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, handler: Handler, connections: set["Connection"]) -> None:
        self._handler = handler
        self._connections = connections
        self._reader = RequestReader(self)
        self._incoming = Incoming.REQUESTS
        self._early = b""
        self._raw: Callable[[bytes], None] | None = None  # where RAW bytes go
        self._waiting: deque[Request | Response] = deque()  # pipelined requests; a Response refuses what came after
        self._task: asyncio.Task[None] | None = None  # answers a request
        self._deadline = Deadline()
        self._drained = asyncio.Event()
        self._drained.set()
        self.answered = False  # whether the current request's answer has begun
        self.closed = asyncio.Event()
        self.certificate: dict[str, Any] | None = None
        self.user: Any = None  # who the certificate names, once somebody asked; lives as long as the connection
        self.transport: asyncio.Transport

    # -- asyncio.Protocol ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there (after the TLS handshake)."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's TLS transport is one in all but name
        self.transport.set_write_buffer_limits(high=BUFFER // 4)
        tls = transport.get_extra_info("ssl_object")
        self.certificate = tls.getpeercert() if tls else None
        self._connections.add(self)
        self._deadline.set(REQUEST_SECONDS)

    def connection_lost(self, _exc: Exception | None) -> None:
        """The client is gone: whoever works for it stops."""
        self._connections.discard(self)
        self._reader.release()
        self.closed.set()
        self._drained.set()
        if self._task:
            self._task.cancel()
        if self._raw:
            self._raw(b"")

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._incoming is Incoming.REQUESTS:
            self._read(data)
        elif self._raw:
            self._raw(data)
        elif self._incoming is Incoming.EARLY:
            self._keep_early(data)

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        self._drained.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._drained.set()

    # -- what comes in ------------------------------------------------------------------------------------------------

    def _become(self, incoming: Incoming) -> None:
        assert incoming in NEXT[self._incoming], f"{self._incoming} -> {incoming}"
        self._incoming = incoming

    def _read(self, data: bytes) -> None:
        try:
            early = self._reader.feed(data)
        except RefusedError as error:  # the client is told so after the answers that it still waits for
            self._become(Incoming.IGNORED)
            self._next(Response(str(error).encode(), error.status, TEXT))
        else:
            if early is not None:
                self._become(Incoming.EARLY)
                self._keep_early(early)

    def _keep_early(self, data: bytes) -> None:
        """What a client sends before it knows whether the upgrade was granted: little, or it is no client of ours."""
        self._early += data
        if len(self._early) > MAX_HEADER_BYTES:
            self.transport.abort()

    def begun(self) -> None:
        """The first byte of a request is there (called by the reader, as the next two)."""
        if self._task is None:
            self._deadline.set(REQUEST_SECONDS)

    def headed(self, request: Request) -> None:
        """Its head is there."""
        if "expect" in request.headers and self._task is None:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def taken(self, request: Request) -> None:
        """It can be answered."""
        self._next(request)

    # -- answering ----------------------------------------------------------------------------------------------------

    def _next(self, item: Request | Response) -> None:
        if self._task:
            self._waiting.append(item)
            self.transport.pause_reading()
        elif isinstance(item, Response):
            self._send(item, head_only=False, keep_alive=False)
        else:
            self._deadline.clear()
            self._task = asyncio.get_running_loop().create_task(self._answer(item))

    async def _answer(self, request: Request) -> None:
        try:
            self.answered = False
            response = await self._handler(request)
            if response is not None:
                self._send(response, head_only=request.method == "HEAD", keep_alive=request.keep_alive)
            elif not self._raw and not request.keep_alive:
                self.transport.close()
            await self.drained_in_time()  # a client that reads nothing gets nothing more
        except asyncio.CancelledError:
            self.transport.abort()
            raise
        finally:
            self._task = None
        if not (self._raw or self.transport.is_closing()):
            self._continue()

    def _continue(self) -> None:
        """Take up the next request: one that waits, or what came behind an upgrade that was not granted."""
        if self._waiting:
            self._next(self._waiting.popleft())
            if not self._waiting and not self.transport.is_closing():
                self.transport.resume_reading()
        elif self._incoming is Incoming.EARLY:
            self._become(Incoming.REQUESTS)
            early, self._early = self._early, b""
            self._reader = RequestReader(self)
            self._read(early)
        if self._task is None:
            self._deadline.set(IDLE_SECONDS)

    def _send(self, response: Response, *, head_only: bool, keep_alive: bool) -> None:
        self.answered = True
        head = response.head(keep_alive=keep_alive)
        if head_only:
            self.transport.write(head)
        elif len(response.body) < LARGE:
            self.transport.write(head + response.body)
        else:
            self.transport.writelines([head, response.body])
        if not keep_alive:
            self.transport.close()

    # -- for handlers -------------------------------------------------------------------------------------------------

    def start_stream(self, content_type: str, headers: Headers = (), *, keep_alive: bool = True) -> EventStream:
        """Begin an answer of unknown length (a watch). The handler returns None afterwards."""
        self.answered = True
        return EventStream(self, Chunked(self.transport, content_type, headers, keep_alive=keep_alive))

    def take_over(self, receive: Callable[[bytes], None]) -> asyncio.Transport:
        """After this the connection is the caller's: the client's bytes go to `receive`, b"" once it is gone."""
        self.answered = True
        self._become(Incoming.RAW)
        self._raw = receive
        if self._early:
            early, self._early = self._early, b""
            receive(early)
        return self.transport

    async def drained(self) -> None:
        """Wait until the client has read most of what was written."""
        await self._drained.wait()

    async def drained_in_time(self) -> None:
        """`drained`, by a client that reads on: one that reads nothing for IDLE_SECONDS is dropped."""
        if not self._drained.is_set():
            self._deadline.set(IDLE_SECONDS)
            await self._drained.wait()
            self._deadline.clear()

    # -- for the server -----------------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether no request is being answered."""
        return self._task is None

    def expire(self, now: float) -> None:
        """End the connection if the client's time is over."""
        self._deadline.expire(now, self.transport)
