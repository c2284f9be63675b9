"""The way to a node's agent: an HTTP request over its socket, or a connection spliced byte for byte.

Consoles, VNC, exec and port-forward are WebSockets that the agent itself speaks; this server has authenticated and
authorised the client, rewrites the request's path, and then only carries bytes.
"""

import asyncio
from pathlib import Path

from isthmus.engine.server.message import Request, Response
from isthmus.lib.home import Home
from isthmus.machinery import errors

LIMIT = 256 * 1024  # bytes in flight towards a client that reads slowly
FORWARDED = ("sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol", "upgrade", "connection")


def socket_path(home: Home, node: str) -> Path:
    """Where the agent of `node` listens."""
    return home.run / f"agent-{node}.sock"


async def _open(home: Home, node: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        return await asyncio.open_unix_connection(socket_path(home, node))
    except OSError as error:
        message = f"the agent of node {node} does not answer ({error.strerror}); see `isthmus status`"
        raise errors.unavailable(message) from error


async def forward(home: Home, node: str, request: Request, path: str) -> Response | None:
    """Hand a request to the agent under `path` (with query) and carry its answer, or its WebSocket, to the client."""
    reader, writer = await _open(home, node)
    upgrading = bool(request.wants_upgrade)
    headers = {"host": "agent", "content-length": str(len(request.body))}
    headers |= {k: request.headers[k] for k in FORWARDED if upgrading and k in request.headers}
    if not upgrading:
        headers["connection"] = "close"
    if "content-type" in request.headers:
        headers["content-type"] = request.headers["content-type"]
    if offered := headers.get("sec-websocket-protocol"):
        kept = [p.strip() for p in offered.split(",") if not p.strip().startswith("base64url.bearer.")]
        headers["sec-websocket-protocol"] = ", ".join(kept)
    head = f"{request.method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items())
    writer.write(head.encode("latin-1") + b"\r\n" + request.body)
    await _splice(request, reader, writer)
    return None


async def _splice(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes both ways until either side is done. The agent's answer goes out as it comes, head included."""
    connection = request.connection

    def from_client(data: bytes) -> None:
        if not writer.is_closing():
            if data:
                writer.write(data)
            else:
                writer.close()

    transport = connection.take_over(from_client)
    try:
        while data := await reader.read(LIMIT):
            transport.write(data)
            await connection.drained()
    finally:
        writer.close()
        transport.close()
