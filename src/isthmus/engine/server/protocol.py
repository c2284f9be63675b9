"""HTTP/1.1 on one connection: bytes to `Request`, `Response` to bytes. Knows nothing of Kubernetes.

Parsing is httptools'. Kept apart from any framework because one place needs client certificates, raw upgrades
(WebSocket, SPDY) and endless streams at once, at the speed of the bare event loop (docs/decisions/0003-http.md).
"""

import asyncio
import http
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast
from urllib.parse import parse_qsl, unquote

import httptools

log = logging.getLogger(__name__)
MAX_HEADER_BYTES = 64 * 1024
MAX_HEADERS = 200
MAX_BODY_BYTES = 3 * 1024 * 1024  # etcd's and kube-apiserver's limit
HEADER_SECONDS = 30.0  # to send a request's head, or to stay silent between requests for four times as long
STREAM_BUFFER = 4 * 1024 * 1024  # a watcher that lets more than this pile up is dropped
REASONS = {s.value: s.phrase.encode() for s in http.HTTPStatus}
KEEP, CLOSE = b"", b"connection: close\r\n"


class Response:
    """An answer that is all there."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(
        self,
        body: bytes,
        status: int = 200,
        content_type: str = "application/json",
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.body = body
        self.status = status
        self.content_type = content_type
        self.headers = headers


class Request:
    """One request. `body` is whole, except for streamed uploads, where `chunks` yields it."""

    __slots__ = (
        "_query",
        "body",
        "certificate",
        "connection",
        "content_length",
        "headers",
        "method",
        "path",
        "raw_query",
    )

    def __init__(self, method: str, target: bytes, headers: dict[str, str], connection: "Connection") -> None:
        path, _, query = target.partition(b"?")
        text = path.decode("latin-1")
        self.method = method
        self.path = unquote(text) if "%" in text else text
        self.raw_query = query.decode("latin-1")
        self.headers = headers
        self.connection = connection
        self.certificate: dict[str, Any] | None = connection.certificate
        self.body = b""
        self.content_length = int(headers.get("content-length") or -1)
        self._query: dict[str, str] | None = None

    @property
    def query(self) -> dict[str, str]:
        """Query parameters; of a repeated one, the first (as Kubernetes reads them)."""
        if self._query is None:
            pairs = parse_qsl(self.raw_query, keep_blank_values=True, max_num_fields=1000) if self.raw_query else []
            self._query = dict(reversed(pairs))
        return self._query

    @property
    def wants_upgrade(self) -> str:
        """The protocol that the client wants to change to, in lower case; "" if none."""
        return (
            self.headers.get("upgrade", "").lower() if "upgrade" in self.headers.get("connection", "").lower() else ""
        )


Handler = Callable[[Request], Awaitable[Response | None]]  # None: the handler answered by itself (stream, upgrade)


class Connection(asyncio.Protocol):
    """One client. Requests are answered one after the other; pipelined ones wait."""

    def __init__(self, handler: Handler, connections: set["Connection"]) -> None:
        self._handler = handler
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: dict[str, str] = {}
        self._header_bytes = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._waiting: list[Request] = []
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._keep_alive = True
        self._drained = asyncio.Event()
        self._drained.set()
        self._request: Request | None = None
        self._raw: Callable[[bytes], None] | None = None  # after an upgrade, where the client's bytes go
        self._raw_early = b""
        self.closed = asyncio.Event()
        self.certificate: dict[str, Any] | None = None
        self.transport: asyncio.Transport

    # -- asyncio.Protocol ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there (after the TLS handshake)."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's TLS transport is one in all but name
        self.transport.set_write_buffer_limits(high=STREAM_BUFFER // 4)
        tls = transport.get_extra_info("ssl_object")
        self.certificate = tls.getpeercert() if tls else None
        self._connections.add(self)
        self._arm(HEADER_SECONDS)

    def connection_lost(self, _exc: Exception | None) -> None:
        """The client is gone: whoever works for it stops."""
        self._connections.discard(self)
        self.closed.set()
        self._drained.set()
        self._disarm()
        if self._task:
            self._task.cancel()
        if self._raw:
            self._raw(b"")

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._raw:
            self._raw(data)
            return
        if self._request and self._request.wants_upgrade and self._task:
            self._raw_early += data
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._raw_early += data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            if not self.closed.is_set():
                self._refuse(400, f"malformed HTTP request: {error}")

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        self._drained.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._drained.set()

    # -- httptools ----------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        self._target, self._headers, self._header_bytes = b"", {}, 0
        self._body, self._body_bytes = [], 0

    def on_url(self, url: bytes) -> None:
        """(A part of) the target."""
        self._target += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; repeated ones are joined."""
        self._count(len(name) + len(value))
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        known = self._headers.get(key)
        self._headers[key] = text if known is None else f"{known}, {text}"

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES or len(self._headers) > MAX_HEADERS:
            self._refuse(431, "the request's head is too large")
            raise ValueError("head too large")

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._disarm()
        method = self._parser.get_method().decode()
        self._request = Request(method, self._target, self._headers, self)
        self._keep_alive = self._parser.should_keep_alive()
        if self._headers.get("expect", "").lower() == "100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._body_bytes += len(body)
        if self._body_bytes > MAX_BODY_BYTES:
            self._refuse(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
            raise ValueError("body too large")
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        request = self._request
        assert request
        request.body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        if self._task:
            self._waiting.append(request)
            self.transport.pause_reading()
        else:
            self._task = asyncio.get_running_loop().create_task(self._answer(request, self._keep_alive))

    # -- answering ----------------------------------------------------------------------------------------------------

    async def _answer(self, request: Request, keep_alive: bool) -> None:
        try:
            response = await self._handler(request)
            if response is not None:
                self._send(response, request.method == "HEAD", keep_alive)
        except asyncio.CancelledError:
            self.transport.abort()
            raise
        finally:
            self._task = None
        if self._raw or self.transport.is_closing():
            return
        if self._waiting:
            self._task = asyncio.get_running_loop().create_task(self._answer(self._waiting.pop(0), keep_alive))
            if not self._waiting:
                self.transport.resume_reading()
        else:
            self._arm(HEADER_SECONDS * 4)

    def _send(self, response: Response, head_only: bool, keep_alive: bool) -> None:
        head = b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n%b%b\r\n" % (
            response.status,
            REASONS.get(response.status, b""),
            response.content_type.encode("latin-1"),
            len(response.body),
            _header_bytes(response.headers) if response.headers else b"",
            KEEP if keep_alive else CLOSE,
        )
        if len(response.body) < 65536 or head_only:
            self.transport.write(head if head_only else head + response.body)
        else:
            self.transport.writelines([head, response.body])
        if not keep_alive:
            self.transport.close()

    def _refuse(self, status: int, message: str) -> None:
        self._send(Response(message.encode(), status, "text/plain; charset=utf-8"), False, False)

    def start_stream(self, content_type: str, headers: tuple[tuple[str, str], ...] = ()) -> "Stream":
        """Begin an answer of unknown length (a watch, a log). The handler returns None afterwards."""
        head = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n%b\r\n"
        self.transport.write(head % (content_type.encode("latin-1"), _header_bytes(headers)))
        return Stream(self)

    def take_over(self, receive: Callable[[bytes], None]) -> asyncio.Transport:
        """After this the connection is the caller's: the client's bytes go to `receive`, b"" once it is gone."""
        self._raw = receive
        self._disarm()
        if self._raw_early:
            early, self._raw_early = self._raw_early, b""
            receive(early)
        return self.transport

    async def drained(self) -> None:
        """Wait until the client has read most of what was written."""
        await self._drained.wait()

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.transport.close)

    def _disarm(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None


class Stream:
    """The body of a chunked answer."""

    __slots__ = ("_connection", "_transport")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._transport = connection.transport

    @property
    def overrun(self) -> bool:
        """The client reads so slowly that it should be dropped."""
        return self._transport.get_write_buffer_size() > STREAM_BUFFER

    def write(self, data: bytes) -> None:
        """Send one chunk."""
        if data and not self._transport.is_closing():
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def write_chunks(self, framed: bytes) -> None:
        """Send chunks that are framed already (a watch event is framed once for all its watchers)."""
        if not self._transport.is_closing():
            self._transport.write(framed)

    def close(self) -> None:
        """End the answer; the connection can take the next request."""
        if not self._transport.is_closing():
            self._transport.write(b"0\r\n\r\n")

    def abort(self) -> None:
        """Break the connection, so that the client sees an answer cut short."""
        self._transport.abort()

    async def drained(self) -> None:
        """Wait until the client has caught up."""
        await self._connection.drained()


def _header_bytes(headers: tuple[tuple[str, str], ...]) -> bytes:
    lines = [f"{k}: {v}\r\n".encode("latin-1", "replace") for k, v in headers if "\r" not in v and "\n" not in v]
    return b"".join(lines)
