"""The way to a node's agent: an HTTP request over its socket, or a connection spliced byte for byte.

Consoles, VNC, exec and port-forward are WebSockets that the agent itself speaks; this server has authenticated and
authorised the client, writes the agent's path anew from names that it has checked, and then only carries bytes.
"""

import asyncio
import contextlib
from pathlib import Path
from urllib.parse import quote

from isthmus.engine.server import bearerprotocol
from isthmus.engine.server.message import Request, Response
from isthmus.lib.home import Home
from isthmus.machinery import errors, names

LIMIT = 256 * 1024  # bytes in flight towards whoever reads slowly
FORWARDED = ("sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol", "upgrade", "connection")
OPEN_SECONDS = 5.0  # more than an agent takes to start
AGAIN_SECONDS = 0.05


def socket_path(home: Home, node: str) -> Path:
    """Where the agent of `node` listens. The name comes from an object's status: it must not lead elsewhere."""
    if names.dns1123_subdomain(node):
        raise errors.bad_request(f"{node[:80]!r} is no name of a node")
    return home.run / f"agent-{node}.sock"


def path_of(*segments: str, query: str = "") -> str:
    """A path whose segments stay segments, whatever is in them. `query` is the client's, as it was sent."""
    path = "".join("/" + quote(s, safe="") for s in segments)
    return f"{path}?{quote(query, safe='%&=+,:;/@!$*~-._')}" if query else path


async def open_connection(home: Home, node: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the agent of `node`, which may just be starting. Raises StatusError 503."""
    path = socket_path(home, node)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + OPEN_SECONDS
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.open_unix_connection(path)
        except OSError as error:  # TimeoutError is one
            if loop.time() + AGAIN_SECONDS > deadline:
                why = error.strerror or "timeout"
                message = f"the agent of node {node} does not answer ({why}); see `isthmus status`"
                raise errors.unavailable(message) from error
        await asyncio.sleep(AGAIN_SECONDS)


async def forward(home: Home, node: str, request: Request, path: str) -> Response | None:
    """Hand a request to the agent under `path` (made by `path_of`) and carry its answer, or its WebSocket, back."""
    reader, writer = await open_connection(home, node)
    writer.write(_head(request, path) + request.body)
    await _splice(request, reader, writer)
    return None


def _head(request: Request, path: str) -> bytes:
    headers = {"host": "agent", "content-length": str(len(request.body)), "connection": "close"}
    if request.wants_upgrade:
        headers |= {k: request.headers[k] for k in FORWARDED if k in request.headers}
    if "content-type" in request.headers:
        headers["content-type"] = request.headers["content-type"]
    if offered := headers.get("sec-websocket-protocol"):
        headers["sec-websocket-protocol"] = ", ".join(bearerprotocol.others(offered.split(",")))
    head = f"{request.method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items())
    return head.encode("latin-1") + b"\r\n"


class _ToAgent:
    """The client's bytes on their way to the agent, no faster than it takes them."""

    def __init__(self, transport: asyncio.Transport, writer: asyncio.StreamWriter) -> None:
        self._transport, self._writer = transport, writer
        self._resuming: asyncio.Task[None] | None = None

    def __call__(self, data: bytes) -> None:
        """Pass some on; b"" is the end."""
        if not data:
            self._writer.close()
        elif not self._writer.is_closing():
            self._writer.write(data)
            if self._writer.transport.get_write_buffer_size() > LIMIT and self._resuming is None:
                self._transport.pause_reading()
                self._resuming = asyncio.get_running_loop().create_task(self._resume())

    async def _resume(self) -> None:
        """Read from the client again once the agent has taken what came."""
        with contextlib.suppress(OSError):
            await self._writer.drain()
            if not self._transport.is_closing():
                self._transport.resume_reading()
        self._resuming = None


async def _splice(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes both ways until either side is done. The agent's answer goes out as it comes, head included."""
    connection = request.connection
    transport = connection.take_over(_ToAgent(connection.transport, writer))
    try:
        while data := await reader.read(LIMIT):
            transport.write(data)
            await connection.drained()
    except OSError:
        pass  # the agent is gone: the client sees its connection end
    finally:
        writer.close()
        transport.close()
