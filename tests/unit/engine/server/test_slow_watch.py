"""Watchers that do not read: they cost the server little and not for long."""

import asyncio
import base64
import os
import socket
from collections.abc import AsyncIterator

import pytest

from isthmus.engine.server import deadline
from isthmus.engine.server.handlers import watch

CM = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
async def stalled(api) -> AsyncIterator[socket.socket]:
    """A client that asked for a watch of more than its connection holds, and reads none of it."""
    noise = base64.b64encode(os.urandom(600_000)).decode()
    for number in range(10):
        await api("POST", CM, {"metadata": {"name": f"big-{number}"}, "data": {"noise": noise}}, code=201)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", api.port))
    client.sendall(f"GET {CM}?watch=1 HTTP/1.1\r\nAuthorization: Bearer {api.token}\r\n\r\n".encode())
    client.setblocking(False)
    assert await until(lambda: watchers(api))
    yield client
    client.close()


def watchers(api) -> list:
    return list(api.server.store.hub._sinks.get("configmaps") or ())


async def until(wanted) -> bool:
    for _ in range(200):
        if wanted():
            return True
        await asyncio.sleep(0.01)
    return False


async def test_what_is_held_back_for_a_watcher_is_bounded(api, stalled, monkeypatch) -> None:
    monkeypatch.setattr(watch, "HELD_BYTES", 10_000)
    await api("POST", CM, {"metadata": {"name": "small"}, "data": {"a": "x" * 8000}}, code=201)
    await asyncio.sleep(0.05)
    assert watchers(api)
    await api("POST", CM, {"metadata": {"name": "more"}, "data": {"a": "x" * 8000}}, code=201)
    assert await until(lambda: not watchers(api))


async def test_a_watcher_that_reads_nothing_for_long_is_dropped(api, stalled) -> None:
    (sink,) = watchers(api)
    connection = sink.__self__._stream._connection
    now = asyncio.get_running_loop().time()
    for minutes in range(1, 4):
        connection.expire(now + minutes * (deadline.IDLE_SECONDS + 1))
    assert await until(lambda: not watchers(api))


async def test_a_watcher_that_reads_slowly_stays_and_is_then_as_patient_as_any(api, stalled) -> None:
    (sink,) = watchers(api)
    connection = sink.__self__._stream._connection
    now = asyncio.get_running_loop().time()
    connection.expire(now + deadline.IDLE_SECONDS + 1)
    loop, seen = asyncio.get_running_loop(), bytearray()
    while b'"big-9"' not in seen:
        seen += await asyncio.wait_for(loop.sock_recv(stalled, 1 << 20), 5)
    assert len(seen) > 5_000_000
    await asyncio.sleep(0.05)
    connection.expire(now + 100 * deadline.IDLE_SECONDS)
    assert watchers(api) and not connection.transport.is_closing()
