"""Watches over WebSockets, by a client that knows nothing of us."""

import asyncio
import base64
import socket

import aiohttp
import orjson
import pytest

CM = "/api/v1/namespaces/default/configmaps"


async def events(socket, number: int):
    return [orjson.loads((await asyncio.wait_for(socket.receive(), 5)).data) for _ in range(number)]


def opened(api, query: str = "", **more):
    headers = {"authorization": f"Bearer {api.token}"} if "protocols" not in more else {}
    return api.session.ws_connect(f"{CM}?watch=true&{query}", headers=headers, **more)


async def test_events_come_as_text_messages_and_the_end_is_a_close(api) -> None:
    await api("POST", CM, {"metadata": {"name": "first"}}, code=201)
    async with opened(api, "timeoutSeconds=1&fieldSelector=metadata.name!=kube-root-ca.crt") as socket:
        await api("POST", CM, {"metadata": {"name": "second"}}, code=201)
        await api("DELETE", f"{CM}/first", code=200)
        seen = [(e["type"], e["object"]["metadata"]["name"]) for e in await events(socket, 3)]
        assert seen == [("ADDED", "first"), ("ADDED", "second"), ("DELETED", "first")]
        end = await asyncio.wait_for(socket.receive(), 5)
        assert end.type == aiohttp.WSMsgType.CLOSE and end.data == 1000


async def test_a_browser_shows_its_token_as_a_protocol(api) -> None:
    token = base64.urlsafe_b64encode(api.token.encode()).decode().rstrip("=")
    offered = (f"base64url.bearer.authorization.k8s.io.{token}", "json")
    async with opened(api, "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true", protocols=offered) as socket:  # fmt: skip  # noqa: E501
        assert socket.protocol == "json"
        (bookmark,) = await events(socket, 1)
        assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_ping_is_answered_and_a_client_that_closes_is_forgotten(api) -> None:
    async with opened(api) as socket:
        await socket.ping(b"there?")
        await api("POST", CM, {"metadata": {"name": "x"}}, code=201)
        assert (await events(socket, 1))[0]["type"] == "ADDED"
        await asyncio.wait_for(socket.close(), 5)
    for _ in range(100):
        if not api.server.store.hub._sinks.get("configmaps"):
            return
        await asyncio.sleep(0.02)
    pytest.fail("the watcher is still there")


async def test_chunked_and_websocket_watchers_of_one_event_do_not_mix_their_frames(api) -> None:
    headers = {"authorization": f"Bearer {api.token}"}
    async with opened(api) as socket, api.session.get(f"{CM}?watch=1", headers=headers) as chunked:
        await api("POST", CM, {"metadata": {"name": "both"}}, code=201)
        (one,) = await events(socket, 1)
        other = orjson.loads(await asyncio.wait_for(chunked.content.readline(), 5))
        assert one == other


async def test_what_is_refused_is_refused_before_the_upgrade(api) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await opened(api, "labelSelector=((")
    assert refused.value.status == 400
    head = f"GET {CM}?watch=1 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {api.token}\r\n"
    answer = await api.raw(f"{head}connection: upgrade\r\nupgrade: websocket\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 400")


async def test_a_client_that_only_pings_and_never_reads_is_dropped(api) -> None:
    loop, client = asyncio.get_running_loop(), socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", api.port))
    client.setblocking(False)
    key = base64.b64encode(b"x" * 16).decode()
    head = f"GET {CM}?watch=1 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {api.token}\r\nconnection: upgrade\r\n"
    head += f"upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n\r\n"
    await loop.sock_sendall(client, head.encode())
    assert b"101" in await loop.sock_recv(client, 1000)
    ping = b"\x89\xfd\0\0\0\0" + b"p" * 125  # masked by zeros, as long as a ping may be
    with pytest.raises(ConnectionError):
        for _ in range(200):
            await asyncio.wait_for(loop.sock_sendall(client, ping * 1000), 5)
    client.close()
