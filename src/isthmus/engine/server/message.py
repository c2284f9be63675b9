"""What travels on a connection: a `Request` as it was read, a `Response` as it will be written.

Made by `protocol`, passed through `app` to the handlers. Knows nothing of Kubernetes but its media types' defaults.
"""

import http
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from isthmus.machinery import errors

if TYPE_CHECKING:
    from isthmus.engine.server.bodystream import BodyStream
    from isthmus.engine.server.protocol import Connection

MAX_QUERY_FIELDS = 1000
REASONS = {s.value: s.phrase.encode() for s in http.HTTPStatus}
Headers = tuple[tuple[str, str], ...]
TEXT = "text/plain; charset=utf-8"


class Response:
    """An answer that is all there."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(
        self, body: bytes, status: int = 200, content_type: str = "application/json", headers: Headers = ()
    ) -> None:
        self.body = body
        self.status = status
        self.content_type = content_type
        self.headers = headers

    def head(self, *, keep_alive: bool) -> bytes:
        """The status line and headers, the empty line included."""
        return b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n%b%b\r\n" % (
            self.status,
            REASONS.get(self.status, b""),
            self.content_type.encode("latin-1"),
            len(self.body),
            encode_headers(self.headers) if self.headers else b"",
            b"" if keep_alive else b"connection: close\r\n",
        )


def encode_headers(headers: Headers) -> bytes:
    """Header lines. A value that would end its line early is left out: nothing may add headers of its own."""
    lines = [f"{k}: {v}\r\n".encode("latin-1", "replace") for k, v in headers if "\r" not in v and "\n" not in v]
    return b"".join(lines)


class Request:
    """One request, its body whole, or (`stream`) still to come."""

    __slots__ = (
        "_query", "body", "certificate", "connection", "headers", "keep_alive", "method", "path", "raw_query", "stream",
    )  # fmt: skip

    def __init__(
        self, method: str, target: bytes, headers: dict[str, str], connection: "Connection", *, keep_alive: bool = True
    ) -> None:
        path, _, query = target.partition(b"?")
        text = path.decode("latin-1")
        self.method = method
        self.path = unquote(text) if "%" in text else text
        self.raw_query = query.decode("latin-1")
        self.headers = headers
        self.connection = connection
        self.keep_alive = keep_alive
        self.certificate: dict[str, Any] | None = connection.certificate
        self.body = b""
        self.stream: BodyStream | None = None
        self._query: dict[str, str] | None = None

    @property
    def query(self) -> dict[str, str]:
        """Query parameters; of a repeated one, the first (as Kubernetes reads them). Raises StatusError 400."""
        if self._query is None:
            pairs: list[tuple[str, str]] = []
            if self.raw_query:
                try:
                    pairs = parse_qsl(self.raw_query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
                except ValueError as error:
                    raise errors.bad_request(f"more than {MAX_QUERY_FIELDS} query parameters") from error
            self._query = dict(reversed(pairs))
        return self._query

    def all(self, name: str) -> list[str]:
        """Every value of a query parameter that may be repeated."""
        return [value for key, value in parse_qsl(self.raw_query, max_num_fields=MAX_QUERY_FIELDS) if key == name]

    def flag(self, name: str) -> bool:
        """A boolean query parameter, as Go reads it; absent is false. Raises StatusError 400."""
        value = self.query.get(name)
        if value is None or value in ("0", "f", "F", "false", "False", "FALSE"):
            return False
        if value in ("", "1", "t", "T", "true", "True", "TRUE"):
            return True
        raise errors.bad_request(f'{name}: Invalid value: "{value}": must be true or false')

    def number(self, name: str) -> int:
        """A query parameter that counts something; absent is 0. Raises StatusError 400."""
        text = self.query.get(name) or "0"
        if not (text.isascii() and text.isdecimal() and len(text) < 19):
            raise errors.bad_request(f'{name}: Invalid value: "{text[:40]}": must be a number, 0 or greater')
        return int(text)

    @property
    def wants_upgrade(self) -> str:
        """The protocol that the client wants to change to, in lower case; "" if none."""
        if "upgrade" not in self.headers or "upgrade" not in self.headers.get("connection", "").lower():
            return ""
        return self.headers["upgrade"].lower()


Handler = Callable[[Request], Awaitable[Response | None]]  # None: the handler answered by itself (stream, upgrade)
