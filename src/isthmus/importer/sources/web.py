"""A file behind http(s): read anywhere if the server serves ranges, else forward only, once.

Blocking, on http.client: it runs in a worker whose other work is in threads. A connection lost in mid-stream is taken
up again where it was, if the server serves ranges and the file is still the same (If-Range).
"""

import http.client
import os
import re
import ssl
import time
from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from isthmus.importer.sources.errors import SourceError
from isthmus.importer.sources.streams import Stream

TIMEOUT = 60.0
MOST_REDIRECTS = 5
MOST_RETRIES = 5

_CONTENT_RANGE = re.compile(r"^bytes (\d{1,18})-(\d{1,18})/(\d{1,18})$")
_BROKEN = (http.client.HTTPException, OSError)


class NotFoundError(SourceError):
    """404: there is no such file."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a file is. `shown` has no password; `headers` carry credentials and go only to the URL's own host."""

    url: SplitResult
    headers: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def shown(self) -> str:
        """For messages."""
        return self.url.geturl()

    @property
    def name(self) -> str:
        """The file's name."""
        return unquote(self.url.path.rpartition("/")[2]) or self.url.netloc

    def sibling(self, name: str) -> "Address":
        """The file `name` in the same folder."""
        path = self.url.path.rpartition("/")[0] + "/" + quote(name)
        return Address(self.url._replace(path=path), self.headers)


def parse_address(text: str) -> Address:
    """An http or https URL. User and password in it, or in the environment, are for Basic authorization.

    Raises SourceError.
    """
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError as error:
        raise SourceError(f"this is no URL: {error}", source=text.rpartition("@")[2]) from error
    if url.scheme not in ("http", "https") or not host:
        raise SourceError("only http and https URLs can be read", source=text.rpartition("@")[2])
    headers = {}
    user, password = unquote(url.username or ""), unquote(url.password or "")
    if not user:
        user, password = os.environ.get("ISTHMUS_SOURCE_USER", ""), os.environ.get("ISTHMUS_SOURCE_PASSWORD", "")
    if user:
        pair = f"{user}:{password}"
        headers["Authorization"] = "Basic " + b64encode(pair.encode()).decode()
    bare = f"[{host}]" if ":" in host else host
    return Address(url._replace(netloc=f"{bare}:{port}" if port else bare, fragment=""), headers)


class WebFile:
    """A file by its URL. `ranges` tells whether it can be read anywhere; `size` is None if the server does not say."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._first: http.client.HTTPResponse | None = None
        response = self._get(0, None)
        match = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
        self.ranges = response.status == 206 and match is not None and match[1] == "0"
        self._validator = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        if self._validator.startswith("W/"):
            self._validator = response.headers.get("Last-Modified") or ""
        length = response.headers.get("Content-Length", "")
        self.known_size = int(match[3]) if self.ranges and match else int(length) if length.isdigit() else None
        self._first = response

    @property
    def size(self) -> int:
        """Bytes; 0 if the server does not say."""
        return self.known_size or 0

    @property
    def identity(self) -> str:
        """See RandomFile. By what the server says that it changes with the file."""
        return f"{self.known_size} bytes of {self._validator}" if self._validator and self.ranges else ""

    def whole(self) -> Stream:
        """The file from its beginning, once only if the server serves no ranges."""
        return _WebStream(self, 0, self.known_size)

    def stream(self, offset: int = 0, size: int | None = None) -> Stream:
        """See RandomFile."""
        return _WebStream(self, offset, self.size - offset if size is None else size)

    def read_at(self, offset: int, size: int) -> bytes:
        """See RandomFile."""
        stream = self.stream(offset, max(0, min(size, self.size - offset)))
        parts = []
        while data := stream.read(size):
            parts.append(data)
        stream.close()
        return b"".join(parts)

    def close(self) -> None:
        """Drop the first response if nobody read it."""
        if self._first is not None:
            self._first.close()
            self._first = None

    def open_at(self, offset: int, size: int | None) -> http.client.HTTPResponse:
        """The body from `offset` on. Raises SourceError."""
        first, self._first = self._first, None
        if first is not None and offset == 0 and (size is None or size == self.known_size):
            return first
        if first is not None:
            first.close()
        if offset and not self.ranges:
            raise SourceError(
                "the connection broke, and the server serves no ranges to go on", source=self.address.shown
            )
        return self._get(offset, size)

    def _get(self, offset: int, size: int | None) -> http.client.HTTPResponse:
        headers = {"Range": f"bytes={offset}-{'' if size is None else offset + size - 1}", **self.address.headers}
        headers["Accept-Encoding"] = "identity"
        if offset and self._validator:
            headers["If-Range"] = self._validator
        try:
            response = _request(self.address, headers)
        except _BROKEN as error:
            raise SourceError(f"cannot be reached: {error}", source=self.address.shown) from error
        if response.status not in (200, 206) or (response.status == 200 and offset):
            changed = "the file changed meanwhile" if response.status == 200 else f"{response.status} {response.reason}"
            response.close()
            kind = NotFoundError if response.status == 404 else SourceError
            raise kind(f"the server answered: {changed}", source=self.address.shown)
        return response


class _WebStream:
    """A body, taken up again after a lost connection."""

    def __init__(self, file: WebFile, offset: int, size: int | None) -> None:
        self._file = file
        self._offset = offset
        self._left = size
        self._response: http.client.HTTPResponse | None = None
        self._retries = 0

    def read(self, size: int) -> bytes:
        while self._left != 0:
            wanted = size if self._left is None else min(size, self._left)
            try:
                if self._response is None:
                    self._response = self._file.open_at(self._offset, self._left)
                data = self._response.read(wanted)
            except _BROKEN as error:
                self._retry(str(error) or type(error).__name__)
                continue
            if not data:
                if self._left is None:
                    break
                self._retry("the connection was closed")
                continue
            self._offset += len(data)
            self._left = None if self._left is None else self._left - len(data)
            return data
        return b""

    def _retry(self, reason: str) -> None:
        self.close()
        self._retries += 1
        if self._retries > MOST_RETRIES or not self._file.ranges:
            raise SourceError(f"the download broke: {reason}", source=self._file.address.shown, offset=self._offset)
        time.sleep(min(0.2 * 2**self._retries, 5))

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None


def may_have_credentials(url: SplitResult, first: SplitResult) -> bool:
    """Whether credentials for `first` may go to `url`: its own host, and not in the clear if they were not meant so."""
    return url.netloc == first.netloc and url.scheme in (first.scheme, "https")


def _request(address: Address, headers: dict[str, str]) -> http.client.HTTPResponse:
    """GET, following redirects; credentials stay with the host that they are for."""
    url = address.url
    for _ in range(MOST_REDIRECTS + 1):
        if url.scheme == "https":
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                url.netloc, timeout=TIMEOUT, context=ssl.create_default_context()
            )
        elif url.scheme == "http":
            connection = http.client.HTTPConnection(url.netloc, timeout=TIMEOUT)
        else:
            raise http.client.HTTPException(f"redirected to a {url.scheme or 'nameless'} URL")
        trusted = may_have_credentials(url, address.url)
        sent = headers if trusted else {k: v for k, v in headers.items() if k != "Authorization"}
        connection.request("GET", (url.path or "/") + (f"?{url.query}" if url.query else ""), headers=sent)
        response = connection.getresponse()
        location = response.headers.get("Location", "")
        if response.status not in (301, 302, 303, 307, 308) or not location:
            return response
        response.close()
        url = urlsplit(urljoin(url.geturl(), location))
    raise http.client.HTTPException(f"more than {MOST_REDIRECTS} redirects")
