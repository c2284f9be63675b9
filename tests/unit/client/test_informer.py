"""The informer against a real server that lists, streams, forgets and dies."""

import asyncio
import json

import pytest
from aiohttp import web

from isthmus.client.cached import CachedClient
from isthmus.client.controller import Controller
from isthmus.client.informer import Informer
from isthmus.client.resources import PODS
from isthmus.machinery.errors import StatusError, conflict


def pod(name, revision, **labels):
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": "ns", "resourceVersion": str(revision), "labels": labels, "uid": name},
    }


class Log:
    """A resource served as a revision log: what a list shows, and the lines that watches send."""

    def __init__(self, peer):
        self.items = {}
        self.revision = 10
        self.events = []
        self.watches = asyncio.Queue()
        self.oldest = 0
        peer.routes["GET /api/v1/pods"] = self.serve

    def put(self, obj, event="MODIFIED"):
        self.revision = int(obj["metadata"]["resourceVersion"])
        self.items[obj["metadata"]["name"]] = obj
        self.events.append((self.revision, event, obj))

    def remove(self, name, revision):
        last = self.items.pop(name)
        last = last | {"metadata": last["metadata"] | {"resourceVersion": str(revision)}}
        self.revision = revision
        self.events.append((revision, "DELETED", last))

    async def serve(self, request):
        if "watch" not in request.query:
            items = [{k: v for k, v in item.items() if k not in {"kind", "apiVersion"}} for item in self.items.values()]
            return web.json_response(
                {"kind": "PodList", "metadata": {"resourceVersion": str(self.revision)}, "items": items}
            )
        seen = int(request.query["resourceVersion"])
        self.watches.put_nowait(seen)
        response = web.StreamResponse()
        await response.prepare(request)
        if seen < self.oldest:
            gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
            await response.write(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
            return response
        while True:
            for revision, kind, obj in list(self.events):
                if kind == "BREAK":
                    self.events.remove((revision, kind, obj))
                    request.transport.abort()
                    return response
                if revision > seen:
                    await response.write(json.dumps({"type": kind, "object": obj}).encode() + b"\n")
                    seen = revision
            await asyncio.sleep(0.005)


@pytest.fixture
async def log(peer):
    return Log(peer)


@pytest.fixture
async def informer(log, client):
    informer = Informer(client, PODS, indexers={"app": lambda o: [o["metadata"].get("labels", {}).get("app", "")]})
    yield informer
    await informer.stop()


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


def names(informer):
    return sorted(o["metadata"]["name"] for o in informer.list())


async def test_it_lists_then_follows_and_tells_old_and_new(log, informer):
    log.put(pod("a", 11, app="x"))
    told = []
    informer.on_change(
        lambda old, new: told.append(
            (old and old["metadata"]["resourceVersion"], new and new["metadata"]["resourceVersion"])
        )
    )
    informer.start()
    await informer.wait_synced()
    assert informer.get("ns", "a")["kind"] == "Pod"
    log.put(pod("a", 12, app="y"))
    log.put(pod("b", 13), "ADDED")
    await until(lambda: informer.get("ns", "b"))
    log.remove("a", 14)
    await until(lambda: not informer.get("ns", "a"))
    assert told == [(None, "11"), ("11", "12"), (None, "13"), ("14", None)]
    assert names(informer) == ["b"]


async def test_indexes_follow_the_objects(log, informer):
    log.put(pod("a", 11, app="x"))
    informer.start()
    await informer.wait_synced()
    assert [o["metadata"]["name"] for o in informer.index("app", "x")] == ["a"]
    log.put(pod("a", 12, app="y"))
    await until(lambda: informer.index("app", "y"))
    assert informer.index("app", "x") == []


async def test_a_broken_stream_is_resumed_where_it_broke_without_a_new_list(log, informer, peer):
    informer.start()
    await informer.wait_synced()
    log.put(pod("a", 11), "ADDED")
    log.events.append((12, "BREAK", None))
    await until(lambda: informer.get("ns", "a"))
    log.put(pod("b", 13), "ADDED")
    await until(lambda: informer.get("ns", "b"))
    assert sum("watch" not in query for _, _, query in peer.requests) == 1
    assert log.watches.get_nowait() == 10
    assert log.watches.get_nowait() == 11


async def test_a_forgotten_revision_is_listed_anew_and_what_vanished_is_told(log, informer):
    log.put(pod("a", 11), "ADDED")
    informer.start()
    await informer.wait_synced()
    gone = []
    informer.on_change(lambda old, new: gone.append(old["metadata"]["name"]) if new is None else None)
    log.events.append((12, "BREAK", None))
    log.items.clear()
    log.events = [(12, "BREAK", None)]
    log.oldest, log.revision = 40, 50
    log.items["b"] = pod("b", 45)
    await until(lambda: names(informer) == ["b"])
    assert gone == ["a"]


async def test_a_write_of_our_own_is_read_at_once_but_never_brings_back_the_deleted(log, informer):
    informer.start()
    await informer.wait_synced()
    informer.observe(pod("mine", 11))
    assert names(informer) == ["mine"]
    log.put(pod("mine", 11), "ADDED")
    log.remove("mine", 12)
    await until(lambda: names(informer) == [])
    informer.observe(pod("mine", 11))
    assert names(informer) == []


async def test_a_failing_handler_does_not_stop_the_others(log, informer):
    told = []
    informer.on_change(lambda old, new: 1 / 0)
    informer.on_change(lambda old, new: told.append(new))
    log.put(pod("a", 11))
    informer.start()
    await informer.wait_synced()
    assert len(told) == 1


async def test_a_controller_retries_a_conflict_and_looks_again_when_asked(log, client):
    cached = CachedClient(client, "test")
    calls = []

    async def reconcile(key):
        calls.append(key)
        if len(calls) == 1:
            raise conflict("", "pods", "a", "stale")
        if len(calls) == 2:
            raise StatusError(500, "InternalError", "no")
        return 0.01 if len(calls) == 3 else None

    controller = Controller("test", reconcile)
    controller.watch(cached.informer(PODS))
    log.put(pod("a", 11))
    cached.start()
    task = asyncio.create_task(controller.run())
    await until(lambda: len(calls) == 4)
    assert set(calls) == {("ns", "a")}
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await cached.stop()
