"""WebSockets as KubeVirt speaks them: a plain byte stream in binary messages, joined to a socket.

Pings keep idle consoles alive through proxies and show a client that has gone.
"""

import asyncio
import contextlib
from pathlib import Path

from aiohttp import WSMsgType, web

from isthmus.engine.node import sockets
from isthmus.lib.tasks import cancel_and_wait
from isthmus.machinery import errors

PROTOCOL = "plain.kubevirt.io"
BUFFER = 10 << 10
HEARTBEAT = 20.0
MESSAGE_LIMIT = 4 << 20


async def accept(request: web.Request) -> web.WebSocketResponse:
    """Answer the upgrade."""
    response = web.WebSocketResponse(protocols=(PROTOCOL,), heartbeat=HEARTBEAT, max_msg_size=MESSAGE_LIMIT)
    await response.prepare(request)
    return response


async def open_socket(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to one of a machine's sockets. Raises StatusError."""
    try:
        with sockets.short_path(path) as name:
            return await asyncio.open_unix_connection(name)
    except OSError as error:
        raise errors.internal(f"{path.name} of the machine does not answer ({error.strerror})") from error


async def splice(socket: web.WebSocketResponse, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes both ways until either side ends; then both are closed."""
    outward = asyncio.create_task(_outward(socket, reader))
    inward = asyncio.create_task(_inward(socket, writer))
    try:
        await asyncio.wait({outward, inward}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel_and_wait([outward, inward])
        writer.close()
        with contextlib.suppress(OSError, ConnectionError):
            await socket.close()


async def _outward(socket: web.WebSocketResponse, reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(BUFFER):
            await socket.send_bytes(data)


async def _inward(socket: web.WebSocketResponse, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                writer.write(message.data)
                await writer.drain()


class Datagrams(asyncio.DatagramProtocol):
    """UDP: each datagram is one message."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[bytes] = asyncio.Queue(1024)

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:  # noqa: ARG002
        """Kept for the client; dropped, as a network would, when it reads too slowly."""
        with contextlib.suppress(asyncio.QueueFull):
            self.received.put_nowait(data)


async def splice_datagrams(socket: web.WebSocketResponse, host: str, port: int) -> None:
    """Carry datagrams both ways until the client ends."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(Datagrams, remote_addr=(host, port))

    async def outward() -> None:
        while True:
            await socket.send_bytes(await protocol.received.get())

    task = asyncio.create_task(outward())
    try:
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                transport.sendto(message.data)
    finally:
        await cancel_and_wait([task])
        transport.close()
