"""Throw mutated HTTP at one connection of the API server: `python tests/fuzz/fuzz_protocol.py [seconds] [seed]`.

A finding is an exception out of the protocol, a request that is neither answered nor refused nor waited for, or memory
that grows beyond what one connection may hold.
"""

import asyncio
import random
import sys
import time

from isthmus.engine.server import reader
from isthmus.engine.server.message import Request, Response
from isthmus.engine.server.protocol import Connection

SEEDS = (
    b"GET /api/v1/pods?limit=5&watch=0 HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n",
    b"POST /x HTTP/1.1\r\nContent-Length: 5\r\nContent-Type: a/b\r\n\r\nhelloGET /y HTTP/1.1\r\n\r\n",
    b"PUT /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nTrailer: t\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n\x81\x05hello",
    b"POST /e HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
    b"HEAD /h HTTP/1.0\r\n\r\nDELETE /d HTTP/1.1\r\nX: \xff\xfe\r\n\r\n",
)
PIECES = (
    b"\r\n",
    b"\r\n\r\n",
    b":",
    b" ",
    b"\x00",
    b"\xff",
    b"HTTP/1.1",
    b"Content-Length: 99999999999\r\n",
    b"A" * 70_000,
)
HELD = reader.MAX_BODY_BYTES + 4 * reader.MAX_HEADER_BYTES  # bytes that a connection may hold for a client


class Transport(asyncio.Transport):
    """Takes what the connection writes."""

    def __init__(self) -> None:
        super().__init__()
        self.closing = False
        self.written = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += len(data)

    def writelines(self, list_of_data) -> None:
        for data in list_of_data:
            self.write(data)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = close

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def mutate(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, put in, taken out or repeated."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 5)):
        at = rng.randrange(len(changed) + 1)
        new = rng.choice(PIECES) if rng.random() < 0.3 else bytes(rng.choices(range(256), k=rng.randrange(3)))
        changed[at : at + rng.randrange(4)] = new
    return bytes(changed) * (1 if rng.random() < 0.9 else 20)


async def _handle(request: Request) -> Response:
    str(request.path), str(request.headers)
    return Response(request.body[:100], 200)


def held(connection: Connection) -> int:
    """Bytes of the client that a connection holds on to."""
    waiting = sum(len(item.body) for item in connection._waiting)
    return waiting + len(connection._early) + connection._reader.held


async def problem(data: bytes, rng: random.Random) -> str | None:
    """What is wrong about what the connection does with `data`, which comes in pieces."""
    transport, connections = Transport(), set[Connection]()
    connection = Connection(_handle, connections)
    connection.connection_made(transport)
    try:
        while data and not transport.closing:
            size = rng.choice((1, 7, 100, 5000, 1 << 20))
            piece, data = data[:size], data[size:]
            connection.data_received(piece)
            if rng.random() < 0.3:
                await asyncio.sleep(0)
            if held(connection) > HELD:
                return f"{held(connection)} bytes are held"
        for _ in range(200):
            if connection.idle:
                break
            await asyncio.sleep(0)
        else:
            return "a request is not answered"
        connection.connection_lost(None)
    except Exception as error:  # noqa: BLE001 - every exception is a finding
        return repr(error)
    return "the connection is not forgotten" if connections else None


async def run(seconds: float, seed: int = 0) -> tuple[int, str]:
    """How many inputs were tried, and the finding or ""."""
    rng, end, count = random.Random(seed), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        data = mutate(rng.choice(SEEDS), rng)
        count += 1
        started = time.monotonic()
        if (found := await problem(data, rng)) is not None:
            return count, f"{found} for {data[:400]!r}"
        if time.monotonic() - started > 5:
            return count, f"too slow for {data[:400]!r}"
    return count, ""


def main(seconds: float = 10, seed: int = 0) -> int:
    """The number of findings (0 or 1)."""
    count, found = asyncio.run(run(seconds, seed))
    print(found or f"{count} inputs, no finding")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(*map(float, sys.argv[1:2]), *map(int, sys.argv[2:3])))
