"""HTTP/1.1 as clients of all kinds speak it, well and badly."""

import asyncio
import gc
import weakref

import pytest

from isthmus.engine.server import deadline, reader
from isthmus.engine.server.message import Response
from isthmus.engine.server.protocol import Connection


@pytest.fixture
async def port():
    """A server that says what it was asked; /slow waits, /take takes the connection over, /big answers much."""
    connections: set[Connection] = set()

    async def handler(request):
        if request.path == "/slow":
            await asyncio.sleep(0.05)
        if request.path == "/take":
            transport = request.connection.transport
            request.connection.take_over(lambda data: transport.write(b"<" + data + b">") if data else None)
            transport.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
            await request.connection.closed.wait()
            return None
        if request.path == "/stream":
            stream = request.connection.start_stream("text/plain", keep_alive=request.keep_alive)
            stream.write_frames(b"2\r\nhi\r\n")
            stream.close()
            return None
        if request.path == "/big":
            return Response(b"x" * 8_000_000)
        return Response(f"{request.method} {request.path} {request.body.decode()}".encode(), 200, "text/plain")

    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: Connection(handler, connections), "127.0.0.1", 0)
    yield listener.sockets[0].getsockname()[1]
    listener.close()
    for connection in tuple(connections):
        connection.transport.abort()


async def talk(port: int, *pieces: bytes, wait: float = 0.3) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(0.01)
    out = b""
    try:
        while chunk := await asyncio.wait_for(reader.read(1 << 20), wait):
            out += chunk
    except (TimeoutError, ConnectionError):
        pass
    writer.close()
    return out


async def test_pipelined_requests_are_answered_in_order_each_with_its_own_keep_alive(port) -> None:
    out = await talk(
        port, b"GET /slow HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\nConnection: close\r\n\r\n"
    )
    assert out.index(b"/slow") < out.index(b"/b") < out.index(b"/c")
    assert out.count(b"connection: close") == 1


async def test_head_has_a_length_and_no_body(port) -> None:
    out = await talk(port, b"HEAD /x HTTP/1.1\r\n\r\n")
    assert b"content-length: 8\r\n" in out and out.endswith(b"\r\n\r\n")


async def test_expect_continue_is_answered_before_the_body(port) -> None:
    out = await talk(port, b"POST /x HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n", b"hi")
    assert out.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200") and out.endswith(b"POST /x hi")


@pytest.mark.parametrize(
    "request_", [b"NONSENSE\r\n\r\n", b"GET /x HTTP/1.1\r\nbad header\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01"]
)
async def test_what_is_no_http_is_refused_once_and_the_connection_ends(port, request_) -> None:
    out = await talk(port, request_)
    assert out.count(b"HTTP/1.1 400") == 1 and b"connection: close" in out


async def test_a_refusal_waits_for_the_answers_before_it(port) -> None:
    out = await talk(port, b"GET /slow HTTP/1.1\r\n\r\nNONSENSE\r\n\r\n")
    assert out.index(b"HTTP/1.1 200") < out.index(b"HTTP/1.1 400")


async def test_a_head_without_end_is_refused_once(port) -> None:
    out = await talk(port, b"GET /x HTTP/1.1\r\n" + b"".join(b"x%d: y\r\n" % i for i in range(300)))
    assert out.count(b"HTTP/1.1") == 1 and b"431" in out


async def test_the_same_header_again_and_again_is_counted_too(port) -> None:
    out = await talk(port, b"GET /x HTTP/1.1\r\n" + b"a: y\r\n" * 300)
    assert out.count(b"HTTP/1.1") == 1 and b"431" in out


async def test_a_body_that_is_too_large_is_refused_once(port) -> None:
    size = reader.MAX_BODY_BYTES + 1
    out = await talk(port, b"POST /x HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
    assert out.count(b"HTTP/1.1") == 1 and b"413" in out


async def test_an_upgrade_that_nobody_takes_is_an_ordinary_request(port) -> None:
    upgrade = b"GET /a HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    out = await talk(port, upgrade + b"GET /b HTTP/1.1\r\n\r\n", b"GET /c HTTP/1.1\r\n\r\n")
    assert [out.count(p) for p in (b"GET /a", b"GET /b", b"GET /c")] == [1, 1, 1]


async def test_a_taken_connection_gets_the_bytes_that_came_too_early(port) -> None:
    out = await talk(port, b"GET /take HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nearly", b"late")
    assert b"<early>" in out and b"<late>" in out


async def test_a_stream_leaves_the_connection_for_the_next_request_unless_it_is_to_close(port) -> None:
    out = await talk(port, b"GET /stream HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n")
    assert b"2\r\nhi\r\n0\r\n\r\nHTTP/1.1 200" in out
    closing = await talk(port, b"GET /stream HTTP/1.1\r\nConnection: close\r\n\r\nGET /b HTTP/1.1\r\n\r\n")
    assert b"connection: close" in closing and b"GET /b" not in closing


async def test_a_client_that_reads_nothing_is_answered_no_further(port) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(b"GET /big HTTP/1.1\r\n\r\n" * 50)
    await asyncio.sleep(0.3)
    writer.transport.abort()  # 400 MB would have been made and kept otherwise
    assert reader is not None


async def test_a_connection_past_its_deadline_is_closed(port) -> None:
    connection_made: list[Connection] = []

    async def handler(_request):
        return Response(b"")

    loop = asyncio.get_running_loop()

    def make() -> Connection:
        connection_made.append(Connection(handler, set()))
        return connection_made[-1]

    listener = await loop.create_server(make, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.sockets[0].getsockname()[1])
    writer.write(b"GET / HTTP/1.1\r\nSlow: ")
    await asyncio.sleep(0.05)
    connection_made[0].expire(loop.time() + deadline.REQUEST_SECONDS + 1)
    assert await asyncio.wait_for(reader.read(), 1) == b""
    writer.close()
    listener.close()


async def test_a_connection_that_is_gone_is_freed_at_once_and_not_by_a_collection() -> None:
    """Clients like kubectl open one a command: with uvloop's TLS each holds a quarter of a megabyte."""
    made: list[weakref.ref[Connection]] = []

    async def handler(_request):
        return Response(b"x" * 100_000)

    def connect() -> Connection:
        connection = Connection(handler, set())
        made.append(weakref.ref(connection))
        return connection

    listener = await asyncio.get_running_loop().create_server(connect, "127.0.0.1", 0)
    gc.disable()
    try:
        port = listener.sockets[0].getsockname()[1]
        assert await talk(port, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert await talk(port, b"GET / HTTP/1.1\r\n\r\n")
        assert await talk(port, b"GET / HTTP/1.1\r\n\r\nnonsense\r\n\r\n")
        await asyncio.sleep(0.1)
        assert [ref() for ref in made] == [None] * 3
    finally:
        gc.enable()
        listener.close()
