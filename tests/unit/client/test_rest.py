"""The client against a real HTTPS server."""

import asyncio
import json

import pytest
from aiohttp import WSMsgType, web

from isthmus.client import kubeconfig
from isthmus.client.connect import open_client
from isthmus.client.resources import CONFIGMAPS, PODS, VMS
from isthmus.machinery.errors import StatusError

CM = "/api/v1/namespaces/ns/configmaps"


async def answer(request: web.Request) -> web.Response:
    body = await request.text()
    seen = {"type": request.content_type, "query": dict(request.query), "body": json.loads(body) if body else None}
    return web.json_response(seen)


async def test_the_server_sees_the_client_certificate_of_the_kubeconfig(peer, client):
    async def who(request):
        subject = request.transport.get_extra_info("peercert")["subject"]
        return web.json_response({"name": subject[0][0][1], "agent": request.headers["User-Agent"]})

    peer.routes[f"GET {CM}/x"] = who
    assert await client.get(CONFIGMAPS, "x", "ns") == {"name": "system:admin", "agent": "tester/1.0"}


async def test_a_token_file_is_sent_as_bearer_and_read_again_when_old(peer, access, tmp_path, monkeypatch):
    token = tmp_path / "token"
    token.write_text("first\n")

    async def who(request):
        return web.json_response({"auth": request.headers["Authorization"]})

    peer.routes[f"GET {CM}/x"] = who
    monkeypatch.setattr("isthmus.client.credentials.TOKEN_FILE_SECONDS", 0)
    path = tmp_path / "config"
    path.write_text(
        json.dumps(kubeconfig.render(access) | {"users": [{"name": "admin", "user": {"tokenFile": "token"}}]})
    )
    client = open_client(path, "t")
    assert await client.get(CONFIGMAPS, "x", "ns") == {"auth": "Bearer first"}
    token.write_text("second")
    assert await client.get(CONFIGMAPS, "x", "ns") == {"auth": "Bearer second"}
    await client.close()


async def test_a_credential_plugin_is_run_for_a_token(peer, access, tmp_path):
    credential = {"kind": "ExecCredential", "status": {"token": "from-plugin"}}
    plugin = {"command": "echo", "args": [json.dumps(credential)], "apiVersion": "client.authentication.k8s.io/v1"}

    async def who(request):
        return web.json_response({"auth": request.headers["Authorization"]})

    peer.routes[f"GET {CM}/x"] = who
    path = tmp_path / "config"
    path.write_text(json.dumps(kubeconfig.render(access) | {"users": [{"name": "admin", "user": {"exec": plugin}}]}))
    client = open_client(path, "t")
    assert await client.get(CONFIGMAPS, "x", "ns") == {"auth": "Bearer from-plugin"}
    await client.close()


async def test_an_untrusted_server_is_an_error_that_says_so(peer, access, tmp_path, authority):
    path = tmp_path / "config"
    config = kubeconfig.render(access)
    del config["clusters"][0]["cluster"]["certificate-authority-data"]
    path.write_text(json.dumps(config))
    client = open_client(path, "t")
    with pytest.raises(StatusError, match="certificate verify failed") as caught:
        await client.get(CONFIGMAPS, "x", "ns")
    assert caught.value.code == 503
    await client.close()


async def test_a_server_that_is_not_there_is_503_after_a_few_attempts(access, tmp_path, peer):
    path = tmp_path / "config"
    config = kubeconfig.render(access)
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    path.write_text(json.dumps(config))
    client = open_client(path, "t")
    with pytest.raises(StatusError, match=r"https://127.0.0.1:1 cannot be reached") as caught:
        await client.create(CONFIGMAPS, {"metadata": {"name": "x", "namespace": "ns"}})
    assert caught.value.code == 503
    await client.close()


async def test_a_status_becomes_the_same_error_here(peer, client, status):
    async def refuse(request):
        return status(409, "AlreadyExists", 'configmaps "x" already exists')

    peer.routes[f"POST {CM}"] = refuse
    with pytest.raises(StatusError, match="already exists") as caught:
        await client.create(CONFIGMAPS, {"metadata": {"name": "x", "namespace": "ns"}})
    assert (caught.value.code, caught.value.reason) == (409, "AlreadyExists")


async def test_an_answer_that_is_no_status_keeps_its_code_and_text(peer, client):
    async def proxy(request):
        return web.Response(status=502, text="upstream is down")

    peer.routes[f"GET {CM}/x"] = proxy
    with pytest.raises(StatusError, match="upstream is down") as caught:
        await client.get(CONFIGMAPS, "x", "ns")
    assert (caught.value.code, caught.value.reason) == (502, "BadGateway")


async def test_too_many_requests_is_repeated_when_the_server_says_when(peer, client, status):
    async def busy(request):
        if len(peer.requests) < 3:
            return status(429, "TooManyRequests", "slow down", Retry_After="0")
        return web.json_response({"ok": True})

    peer.routes[f"POST {CM}"] = busy
    assert await client.create(CONFIGMAPS, {"metadata": {"name": "x", "namespace": "ns"}}) == {"ok": True}
    assert len(peer.requests) == 3


async def test_too_many_requests_without_a_time_is_the_callers_affair(peer, client, status):
    async def evict(request):
        return status(429, "TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget.")

    peer.routes["POST /api/v1/namespaces/ns/pods/p/eviction"] = evict
    with pytest.raises(StatusError) as caught:
        await client.call("POST", "/api/v1/namespaces/ns/pods/p/eviction", body={})
    assert caught.value.code == 429
    assert len(peer.requests) == 1


async def test_a_connection_lost_under_way_is_repeated_for_reads_only(peer, client):
    async def drop(request):
        request.transport.abort()
        return web.Response()

    peer.routes[f"GET {CM}/x"] = peer.routes[f"POST {CM}"] = drop
    with pytest.raises(StatusError):
        await client.create(CONFIGMAPS, {"metadata": {"name": "x", "namespace": "ns"}})
    assert len(peer.requests) == 1
    with pytest.raises(StatusError):
        await client.get(CONFIGMAPS, "x", "ns")
    assert len(peer.requests) >= 6


async def test_pages_are_joined(peer, client):
    async def page(request):
        start = int(request.query.get("continue", 0))
        more = {"continue": str(start + 2)} if start < 4 else {}
        items = [{"metadata": {"name": f"p{n}"}} for n in range(start, start + 2)]
        return web.json_response({"kind": "PodList", "metadata": {"resourceVersion": "9"} | more, "items": items})

    peer.routes["GET /api/v1/pods"] = page
    answer = await client.list(PODS, labels="a=b")
    assert [item["metadata"]["name"] for item in answer["items"]] == ["p0", "p1", "p2", "p3", "p4", "p5"]
    assert all(query["labelSelector"] == "a=b" for _, _, query in peer.requests)


async def test_a_snapshot_that_expires_between_pages_is_read_again_whole(peer, client, status):
    async def page(request):
        if "continue" in request.query:
            return status(410, "Expired", "the continue token is too old")
        names = ["a"] if "limit" in request.query else ["a", "b", "c"]
        metadata = {"continue": "x"} if "limit" in request.query else {"resourceVersion": "7"}
        return web.json_response({"metadata": metadata, "items": [{"metadata": {"name": n}} for n in names]})

    peer.routes["GET /api/v1/pods"] = page
    answer = await client.list(PODS)
    assert [item["metadata"]["name"] for item in answer["items"]] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("kind", "media"),
    [
        ("merge", "application/merge-patch+json"),
        ("json", "application/json-patch+json"),
        ("strategic", "application/strategic-merge-patch+json"),
        ("apply", "application/apply-patch+yaml"),
    ],
)
async def test_each_patch_has_its_media_type_and_our_field_manager(peer, client, kind, media):
    peer.routes["PATCH /apis/kubevirt.io/v1/namespaces/ns/virtualmachines/vm/status"] = answer
    seen = await client.patch(VMS, "vm", {"a": 1}, "ns", patch_type=kind, subresource="status", force=True)
    assert seen["type"] == media
    assert seen["query"] == {"fieldManager": "tester"} | ({"force": "true"} if kind == "apply" else {})


async def test_an_update_goes_to_the_objects_own_path(peer, client):
    peer.routes[f"PUT {CM}/x"] = answer
    body = {"metadata": {"name": "x", "namespace": "ns", "resourceVersion": "3"}}
    assert (await client.update(CONFIGMAPS, body))["body"] == body


async def test_a_watch_yields_events_of_any_size_and_ends_with_the_stream(peer, client):
    async def stream(request):
        response = web.StreamResponse()
        await response.prepare(request)
        line = json.dumps({"type": "ADDED", "object": {"metadata": {"name": "big"}, "data": "x" * 3_000_000}}).encode()
        for start in range(0, len(line), 700_001):
            await response.write(line[start : start + 700_001])
        await response.write(b'\n{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"12"}}}\n')
        return response

    peer.routes["GET /api/v1/pods"] = stream
    events = [event async for event in client.watch(PODS, resource_version="5", timeout=7)]
    assert [event.type for event in events] == ["ADDED", "BOOKMARK"]
    assert len(events[0].object["data"]) == 3_000_000
    query = peer.requests[0][2]
    assert query == {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": "7", "resourceVersion": "5"}


async def test_an_error_event_is_raised(peer, client):
    async def stream(request):
        gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
        return web.Response(text=json.dumps({"type": "ERROR", "object": gone}) + "\n")

    peer.routes["GET /api/v1/pods"] = stream
    with pytest.raises(StatusError, match="too old") as caught:
        _ = [event async for event in client.watch(PODS, resource_version="1")]
    assert caught.value.code == 410


async def test_a_cancelled_watch_closes_its_connection(peer, client):
    gone = asyncio.Event()

    async def stream(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"type":"ADDED","object":{"metadata":{"name":"a"}}}\n')
        try:
            while True:
                await asyncio.sleep(0.01)
                await response.write(b"\n")
        finally:
            gone.set()

    peer.routes["GET /api/v1/pods"] = stream
    seen = asyncio.Event()

    async def follow():
        async for _ in client.watch(PODS):
            seen.set()

    task = asyncio.create_task(follow())
    await asyncio.wait_for(seen.wait(), 5)
    task.cancel()
    await asyncio.wait_for(gone.wait(), 5)


async def test_an_upload_streams_its_chunks_and_a_stream_gives_them_back(peer, client):
    kept = bytearray()

    async def store(request):
        async for chunk in request.content.iter_any():
            kept.extend(chunk)
        return web.Response(text=request.headers.get("Content-Length", "chunked"))

    async def give(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(bytes(kept))
        return response

    async def chunks():
        for number in range(100):
            yield bytes([number]) * 10_000

    peer.routes["POST /upload"], peer.routes["GET /disk"] = store, give
    assert await client.upload("/upload", chunks(), length=1_000_000) == b"1000000"
    assert b"".join([chunk async for chunk in client.stream("/disk")]) == bytes(kept)
    assert await client.upload("/upload", chunks()) == b"chunked"


async def test_a_websocket_carries_binary_messages_under_the_chosen_protocol(peer, client):
    async def echo(request):
        socket = web.WebSocketResponse(protocols=["plain.kubevirt.io"])
        await socket.prepare(request)
        async for message in socket:
            if message.type == WSMsgType.BINARY:
                await socket.send_bytes(message.data[::-1])
                await socket.close()
        return socket

    peer.routes["GET /console"] = echo
    socket = await client.websocket("/console", ["plain.kubevirt.io"])
    assert socket.subprotocol == "plain.kubevirt.io"
    await socket.send(b"abc")
    assert [message async for message in socket] == [b"cba"]
    await socket.close()


async def test_a_refused_upgrade_carries_the_servers_words(peer, client, status):
    async def refuse(request):
        return status(409, "Conflict", "VMI is not running")

    peer.routes["GET /console"] = refuse
    with pytest.raises(StatusError, match="VMI is not running") as caught:
        await client.websocket("/console", ["plain.kubevirt.io"])
    assert caught.value.code == 409
