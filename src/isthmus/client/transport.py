"""HTTPS to one API server: connections, identity, retries, and errors as `StatusError`. Used by `rest` only.

What is retried (client-go's rule): an answer 429 or 503 that carries Retry-After, since the server then did nothing;
a connection that could not be made, since nothing was sent; a connection lost under way only if the method is safe.
A body that comes from an iterator can be sent once only.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlencode

import aiohttp
import orjson
from websockets import exceptions as websocket_errors
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket
from websockets.typing import Subprotocol

from isthmus.client.credentials import Credentials, tls_context
from isthmus.client.kubeconfig import Access
from isthmus.lib.tasks import Backoff
from isthmus.machinery import errors

log = logging.getLogger(__name__)

ATTEMPTS = 5
LONGEST_RETRY_AFTER = 10.0
CONNECT_SECONDS = 10.0
REQUEST_SECONDS = 60.0
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
RETRIABLE = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `timeout` in seconds bounds all of it; None lets a stream last."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | AsyncIterable[bytes] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = REQUEST_SECONDS

    @property
    def replayable(self) -> bool:
        """Whether the body can be sent again."""
        return self.body is None or isinstance(self.body, bytes)

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path


class Transport:
    """The connections to the server of one `Access`, opened at first use."""

    def __init__(self, access: Access, user_agent: str) -> None:
        self.access = access
        self.user_agent = user_agent
        self._credentials = Credentials(access)
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None

    @asynccontextmanager
    async def send(self, request: Request) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, if it is a success; its body is still to be read. Raises StatusError."""
        response = await self._send(request)
        try:
            yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unreachable(self.access.server, error) from error
        finally:
            if request.timeout is None:
                response.close()  # a stream that was left early has no end worth waiting for
            else:
                response.release()

    async def websocket(self, path: str, protocols: Sequence[str], query: Mapping[str, str]) -> ClientConnection:
        """Upgrade `path`. Raises StatusError with the server's own message when it refuses."""
        url = self.access.server.replace("http", "ws", 1) + Request("GET", path, query).target
        try:
            return await connect_websocket(
                url,
                ssl=await self._context() if url.startswith("wss") else None,
                server_hostname=self.access.server_name or None,
                subprotocols=[Subprotocol(p) for p in protocols] or None,
                additional_headers=await self._credentials.headers(),
                user_agent_header=self.user_agent,
                proxy=None,
                compression=None,
                max_size=None,
                open_timeout=REQUEST_SECONDS,
            )
        except websocket_errors.InvalidStatus as error:
            response = error.response
            raise _status_error(response.status_code, bytes(response.body or b""), {}) from error
        except (websocket_errors.WebSocketException, OSError, TimeoutError) as error:
            raise _unreachable(self.access.server, error) from error

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def _send(self, request: Request) -> aiohttp.ClientResponse:
        backoff = Backoff(base=0.1, cap=2.0)
        while True:
            last = backoff.attempts + 1 >= ATTEMPTS or not request.replayable
            try:
                response = await self._once(request)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if last or not _may_repeat(request.method, error):
                    raise _unreachable(self.access.server, error) from error
                await asyncio.sleep(backoff.next())
                continue
            if response.status < 400:
                return response
            async with response:
                failure = _status_error(response.status, await _body(response), response.headers)
            if last or response.status not in RETRIABLE or failure.retry_after is None:
                raise failure
            await asyncio.sleep(max(backoff.next(), min(failure.retry_after, LONGEST_RETRY_AFTER)))

    async def _once(self, request: Request) -> aiohttp.ClientResponse:
        session = await self._opened()
        response = await session.request(
            request.method,
            self.access.server + request.path,
            params=request.query,
            data=request.body,
            headers={**request.headers, **await self._credentials.headers()},
            timeout=aiohttp.ClientTimeout(total=request.timeout, sock_connect=CONNECT_SECONDS),
            server_hostname=self.access.server_name or None,
            allow_redirects=False,
        )
        for warning in response.headers.getall("Warning", ()):
            log.debug("server warns: %s", warning)
        return response

    async def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = tls_context(await self._credentials.resolved())
        return self._tls

    async def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            context = await self._context()
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context, limit=0, keepalive_timeout=60),
                headers={"User-Agent": self.user_agent, "Accept": "application/json"},
                auto_decompress=True,
            )
        return self._session


def _may_repeat(method: str, error: Exception) -> bool:
    if isinstance(error, aiohttp.ClientSSLError):
        return False  # waiting mends no certificate
    return isinstance(error, aiohttp.ClientConnectorError) or method in SAFE


async def _body(response: aiohttp.ClientResponse) -> bytes:
    try:
        return await response.read()
    except (aiohttp.ClientError, TimeoutError, OSError):
        return b""  # the status line already tells the failure


def _unreachable(server: str, error: Exception) -> errors.StatusError:
    return errors.unavailable(f"{server} cannot be reached: {str(error) or type(error).__name__}")


def _status_error(code: int, body: bytes, headers: Mapping[str, str]) -> errors.StatusError:
    """The server's Status, or one made from an answer that is none (a proxy's page)."""
    try:
        status = orjson.loads(body)
    except orjson.JSONDecodeError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        failure = errors.StatusError.from_status({"code": code} | status)
    else:
        phrase = HTTPStatus(code).phrase if code in HTTPStatus._value2member_map_ else "Unknown"
        text = body[:500].decode(errors="replace").strip()
        failure = errors.StatusError(code, phrase.replace(" ", ""), text or f"the server answered {code} {phrase}")
    if (after := headers.get("Retry-After", "")).isdigit():
        failure.retry_after = int(after)
    return failure
