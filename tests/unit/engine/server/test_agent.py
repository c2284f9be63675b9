"""The way to a node's agent: what travels, what does not, and how fast."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from isthmus.engine.server import agent
from isthmus.engine.server.message import Response
from isthmus.engine.server.protocol import Connection
from isthmus.lib.home import Home
from isthmus.machinery.errors import StatusError

UPGRADE = b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
OFFERED = b"Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.c2VjcmV0, plain.kubevirt.io\r\n"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]


@pytest.fixture
async def start() -> AsyncIterator[Callable[[Serve], object]]:
    """Start an agent that serves so, and a server that forwards everything to it; gives the server's port."""
    with tempfile.TemporaryDirectory(prefix="is-") as root:  # a short path: it holds a socket
        home, servers, connections = Home(Path(root)), [], set[Connection]()
        home.run.mkdir(parents=True)

        async def forward(request):
            try:
                return await agent.forward(home, "n1", request, agent.path_of("a b", query="x=1"))
            except StatusError as error:
                return Response(error.message.encode(), error.code)

        async def starter(serve: Serve | None) -> int:
            if serve:
                servers.append(await asyncio.start_unix_server(serve, agent.socket_path(home, "n1")))
            loop = asyncio.get_running_loop()
            servers.append(await loop.create_server(lambda: Connection(forward, connections), "127.0.0.1", 0))
            return servers[-1].sockets[0].getsockname()[1]

        yield starter
        for server in servers:
            server.close()
        for connection in tuple(connections):
            connection.transport.abort()


async def test_the_agent_gets_the_request_without_the_clients_token_and_the_client_its_answer_whole(start) -> None:
    heads = []

    async def serve(reader, writer):
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 418 Teapot\r\n\r\nshort and stout")
        writer.close()

    reader, writer = await asyncio.open_connection("127.0.0.1", await start(serve))
    writer.write(UPGRADE + OFFERED + b"Authorization: Bearer secret\r\nCookie: c\r\n\r\n")
    assert await asyncio.wait_for(reader.read(), 5) == b"HTTP/1.1 418 Teapot\r\n\r\nshort and stout"
    assert heads[0].startswith(b"GET /a%20b?x=1 HTTP/1.1\r\n")
    assert b"sec-websocket-protocol: plain.kubevirt.io\r\n" in heads[0]
    assert b"c2VjcmV0" not in heads[0] and b"secret" not in heads[0] and b"cookie" not in heads[0].lower()


async def test_a_client_that_sends_faster_than_the_agent_takes_is_held_back_and_loses_nothing(start) -> None:
    size, taken, go = 20_000_000, asyncio.get_running_loop().create_future(), asyncio.Event()

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        await go.wait()
        taken.set_result(await reader.readexactly(size))

    reader, writer = await asyncio.open_connection("127.0.0.1", await start(serve))
    writer.write(UPGRADE + b"\r\n")
    await reader.readuntil(b"\r\n\r\n")
    data = bytes(range(250)) * (size // 250)
    writer.write(data)
    await asyncio.sleep(0.3)
    assert writer.transport.get_write_buffer_size() > size // 2  # the rest waits with the client
    go.set()
    assert await asyncio.wait_for(taken, 20) == data


async def test_the_end_of_either_side_ends_the_other(start) -> None:
    ended = asyncio.Event()

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        await reader.read()
        ended.set()

    _, writer = await asyncio.open_connection("127.0.0.1", await start(serve))
    writer.write(UPGRADE + b"\r\n")
    await asyncio.sleep(0.05)
    writer.close()
    await asyncio.wait_for(ended.wait(), 5)


async def test_an_agent_that_is_not_there_is_503_and_a_node_that_leads_elsewhere_400(
    start, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(agent, "OPEN_SECONDS", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", await start(None))
    writer.write(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert b"503" in await asyncio.wait_for(reader.readline(), 5)
    with pytest.raises(StatusError) as refused:
        agent.socket_path(Home(tmp_path), "../../etc/passwd")
    assert refused.value.code == 400


async def test_an_agent_that_is_still_starting_is_waited_for(tmp_path) -> None:
    async def hello(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"here")
        writer.close()

    home = Home(tmp_path)
    home.run.mkdir()
    opening = asyncio.create_task(agent.open_connection(home, "n1"))
    await asyncio.sleep(0.1)
    assert not opening.done()
    async with await asyncio.start_unix_server(hello, agent.socket_path(home, "n1")):
        reader, writer = await opening
        assert await reader.read() == b"here"
        writer.close()
