"""HTTP/1.1 on one connection: bytes to `Request`, `Response` to bytes. Knows nothing of Kubernetes.

Parsing is httptools'. Kept apart from any framework because one place needs client certificates, raw upgrades
(WebSocket, SPDY) and endless streams at once, at the speed of the bare event loop (docs/decisions/0003-http.md).

Requests of one connection are answered one after the other; pipelined ones wait, and reading stops while they do. What
cannot be parsed is refused in its turn and ends the connection.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import httptools

from isthmus.engine.server.bodystream import BodyStream, is_streamed
from isthmus.engine.server.message import TEXT, Handler, Headers, Request, Response
from isthmus.engine.server.stream import BUFFER, Stream

log = logging.getLogger(__name__)
MAX_HEADER_BYTES = 64 * 1024
MAX_HEADERS = 200
MAX_BODY_BYTES = 3 * 1024 * 1024  # etcd's and kube-apiserver's limit
REQUEST_SECONDS = 30.0  # to send a request, from its first byte to its last
IDLE_SECONDS = 120.0  # between requests; also how long a client may read nothing of its answer
LARGE = 65536  # bodies from here on are not copied behind their head
SWEEP_SECONDS = 5.0  # how exactly these times are kept
FOREVER = float("inf")


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, handler: Handler, connections: set["Connection"]) -> None:
        self._handler = handler
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: dict[str, str] = {}
        self._header_bytes = self._header_count = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._request: Request | None = None  # the one whose body is being read
        self._waiting: deque[Request | Response] = deque()  # pipelined requests; a Response refuses what came after
        self._refused = False
        self._task: asyncio.Task[None] | None = None
        self._deadline = FOREVER  # on the loop's clock; `sweep` looks at it, so that a request costs no timer
        self._unread = 0  # bytes of answers that the client had not taken when the deadline was last passed
        self._drained = asyncio.Event()
        self._drained.set()
        self._upgrading = False  # the client's bytes belong to no request until the handler has decided
        self._raw: Callable[[bytes], None] | None = None  # after an upgrade, where the client's bytes go
        self._early = b""
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
        self._deadline = asyncio.get_running_loop().time() + REQUEST_SECONDS

    def connection_lost(self, _exc: Exception | None) -> None:
        """The client is gone: whoever works for it stops."""
        self._connections.discard(self)
        self.closed.set()
        self._drained.set()
        if self._task:
            self._task.cancel()
        if self._raw:
            self._raw(b"")

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._raw:
            self._raw(data)
        elif self._upgrading:
            self._keep_early(data)
        elif not self._refused:
            self._feed(data)

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        self._drained.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._drained.set()

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._keep_early(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError:
            if not self._refused:
                raise
        except httptools.HttpParserError as error:
            self._refuse(400, f"malformed HTTP request: {error}")

    def _keep_early(self, data: bytes) -> None:
        """What a client sends before it knows whether the upgrade was granted: little, or it is no client of ours."""
        self._upgrading = True
        self._early += data
        if len(self._early) > MAX_HEADER_BYTES:
            self.transport.abort()

    # -- httptools ----------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        self._target, self._headers = b"", {}
        self._header_bytes = self._header_count = 0
        self._body, self._body_bytes = [], 0
        if self._task is None:
            self._deadline = asyncio.get_running_loop().time() + REQUEST_SECONDS

    def on_url(self, url: bytes) -> None:
        """(A part of) the target."""
        self._target += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; repeated ones are joined."""
        self._header_count += 1
        self._count(len(name) + len(value))
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        known = self._headers.get(key)
        self._headers[key] = text if known is None else f"{known}, {text}"

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES or self._header_count > MAX_HEADERS:
            self._refuse(431, "the request's head is too large")
            raise ValueError("head too large")

    def on_headers_complete(self) -> None:
        """The head is whole."""
        method = self._parser.get_method().decode()
        self._request = Request(method, self._target, self._headers, self, keep_alive=self._parser.should_keep_alive())
        if "expect" in self._headers and self._task is None:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if is_streamed(self._request):  # answered while its body comes; the connection takes no other request
            self._request.keep_alive = False
            self._request.stream = BodyStream(self.transport)
            self._next(self._request)

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._request and self._request.stream:
            self._request.stream.feed(body)
            return
        self._body_bytes += len(body)
        if self._body_bytes > MAX_BODY_BYTES:
            self._refuse(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
            raise ValueError("body too large")
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        request, self._request = self._request, None
        assert request
        if request.stream:
            request.stream.feed(b"")
            return
        request.body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body = []
        self._next(request)

    # -- answering ----------------------------------------------------------------------------------------------------

    def _refuse(self, status: int, message: str) -> None:
        """Nothing more can be read from this client; it is told so after the answers that it still waits for."""
        self._refused = True
        self._next(Response(message.encode(), status, TEXT))

    def _next(self, item: Request | Response) -> None:
        if self._task:
            self._waiting.append(item)
            self.transport.pause_reading()
        elif isinstance(item, Response):
            self._send(item, head_only=False, keep_alive=False)
        else:
            self._deadline = FOREVER
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
        elif self._upgrading:
            self._upgrading, early, self._early = False, self._early, b""
            self._parser = httptools.HttpRequestParser(self)
            self._feed(early)
        if self._task is None:
            self._deadline = asyncio.get_running_loop().time() + IDLE_SECONDS

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

    def start_stream(self, content_type: str, headers: Headers = (), *, keep_alive: bool = True) -> Stream:
        """Begin an answer of unknown length (a watch). The handler returns None afterwards."""
        self.answered = True
        return Stream(self, content_type, headers, keep_alive=keep_alive)

    def take_over(self, receive: Callable[[bytes], None]) -> asyncio.Transport:
        """After this the connection is the caller's: the client's bytes go to `receive`, b"" once it is gone."""
        self.answered = True
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
            self._unread, self._deadline = 0, asyncio.get_running_loop().time() + IDLE_SECONDS
            await self._drained.wait()
            self._deadline = FOREVER

    @property
    def idle(self) -> bool:
        """Whether no request is being answered."""
        return self._task is None

    # -- time ---------------------------------------------------------------------------------------------------------

    def expire(self, now: float) -> None:
        """End the connection if its time is over. A client that still reads its answer, however slowly, gets more."""
        if now < self._deadline:
            return
        unread = self.transport.get_write_buffer_size()
        if not unread:
            self.transport.close()
        elif self._unread and unread >= self._unread:
            self.transport.abort()
        else:
            self._unread = unread
            self._deadline = now + IDLE_SECONDS


async def sweep(connections: set[Connection]) -> None:
    """Keep every connection's deadlines, for as long as the server runs."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        now = loop.time()
        for connection in tuple(connections):
            connection.expire(now)
