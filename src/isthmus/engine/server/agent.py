"""The way to a node's agent: an HTTP request over its socket, or a connection spliced byte for byte.

Consoles, VNC, exec and port-forward are WebSockets that the agent itself speaks; this server has authenticated and
authorised the client, writes the agent's path anew from names that it has checked, and then only carries bytes.
"""

import asyncio
from pathlib import Path
from urllib.parse import quote

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
        kept = [p.strip() for p in offered.split(",") if not p.strip().startswith("base64url.bearer.")]
        headers["sec-websocket-protocol"] = ", ".join(kept)
    head = f"{request.method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items())
    return head.encode("latin-1") + b"\r\n"


async def _splice(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes both ways until either side is done. The agent's answer goes out as it comes, head included."""
    connection = request.connection
    transport = connection.transport
    resuming: set[asyncio.Task[None]] = set()

    async def resume() -> None:
        """Read from the client again once the agent has taken what came."""
        try:
            await writer.drain()
        except OSError:
            return
        if not transport.is_closing():
            transport.resume_reading()

    def from_client(data: bytes) -> None:
        if not data:
            writer.close()
        elif not writer.is_closing():
            writer.write(data)
            if writer.transport.get_write_buffer_size() > LIMIT and not resuming:
                transport.pause_reading()
                task = asyncio.get_running_loop().create_task(resume())
                resuming.add(task)
                task.add_done_callback(resuming.discard)

    connection.take_over(from_client)
    try:
        while data := await reader.read(LIMIT):
            transport.write(data)
            await connection.drained()
    except OSError:
        pass  # the agent is gone: the client sees its connection end
    finally:
        writer.close()
        transport.close()
