"""Bytes to requests, within limits. The parsing is httptools'; the sockets and the answers are `protocol`'s.

What cannot be read is refused once, with the status that says why, and nothing is read after it.
"""

from typing import TYPE_CHECKING

import httptools

from isthmus.engine.server.bodystream import BodyStream, is_streamed
from isthmus.engine.server.message import Request

if TYPE_CHECKING:
    from isthmus.engine.server.protocol import Connection

MAX_HEADER_BYTES = 64 * 1024
MAX_HEADERS = 200
MAX_BODY_BYTES = 3 * 1024 * 1024  # etcd's and kube-apiserver's limit


class RefusedError(Exception):
    """The client sends what is no request, or too much of one. `status` is what it is told."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class RequestReader:
    """Feeds a connection with requests: `begun` with the first byte, `headed` with the head, `taken` once complete."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: dict[str, str] = {}
        self._header_bytes = self._header_count = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._request: Request | None = None  # the one whose body is being read

    def feed(self, data: bytes) -> bytes | None:
        """Read on; give what came behind a request that asks for an upgrade, None without one. Raises RefusedError."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return data[upgrade.args[0] :]
        except httptools.HttpParserCallbackError as error:
            raise error.__context__ or error from None
        except httptools.HttpParserError as error:
            raise RefusedError(400, f"malformed HTTP request: {error}") from error
        return None

    def release(self) -> None:
        """The connection is gone. Nothing leads back to it, so that it goes at once and not with the next collection:
        a TLS connection holds a quarter of a megabyte (uvloop's buffer).
        """
        del self._connection, self._parser

    @property
    def held(self) -> int:
        """Bytes of a request that is not complete."""
        return len(self._target) + self._header_bytes + sum(map(len, self._body))

    # -- httptools' callbacks -----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        self._target, self._headers = b"", {}
        self._header_bytes = self._header_count = 0
        self._body, self._body_bytes = [], 0
        self._connection.begun()

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
            raise RefusedError(431, "the request's head is too large")

    def on_headers_complete(self) -> None:
        """The head is whole."""
        method, connection = self._parser.get_method().decode(), self._connection
        keep_alive = self._parser.should_keep_alive()
        request = self._request = Request(method, self._target, self._headers, connection, keep_alive=keep_alive)
        connection.headed(request)
        if is_streamed(request):  # answered while its body comes; the connection takes no other request
            request.keep_alive = False
            request.stream = BodyStream(connection.transport)
            connection.taken(request)

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._request and self._request.stream:
            self._request.stream.feed(body)
            return
        self._body_bytes += len(body)
        if self._body_bytes > MAX_BODY_BYTES:
            raise RefusedError(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
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
        self._connection.taken(request)
