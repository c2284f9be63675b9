"""kill -9 of the real API server in the middle of concurrent writes, again and again.

Afterwards every acknowledged write is there, no object is half there, revisions never went back, and a watcher that
resumed from the last revision it had seen has seen every change, once, in order.
"""

import asyncio
import hashlib
import random
import ssl
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import orjson
import pytest
from tests.kubectl.conftest import free_port

from isthmus.lib.home import Home
from isthmus.operations import lifecycle

WRITERS, WATCHERS, OBJECTS = 12, 3, 40
BASE = "/api/v1/namespaces/default/configmaps"
GONE = (aiohttp.ClientError, ConnectionError, asyncio.TimeoutError)


class Crashing:
    """One home whose API server is killed and started again."""

    def __init__(self, root: Path) -> None:
        self.home, self.port = Home(root), free_port()
        lifecycle.prepare(self.home, self.port, ["n1"])
        self.log = (root / "server.log").open("ab")
        self.process: subprocess.Popen[bytes] | None = None
        context = ssl.create_default_context(cafile=str(self.home.pki / "ca.crt"))
        context.load_cert_chain(self.home.pki / "admin.crt", self.home.pki / "admin.key")
        self.tls, self.url = context, f"https://127.0.0.1:{self.port}"

    def start(self) -> None:
        argv = [sys.executable, "-m", "isthmus.engine.server", "--home", str(self.home.root), "--port", str(self.port)]
        self.process = subprocess.Popen(argv, stdout=self.log, stderr=self.log)

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(ssl=self.tls, limit=0)
        return aiohttp.ClientSession(self.url, connector=connector, timeout=aiohttp.ClientTimeout(total=10))

    async def ready(self, session: aiohttp.ClientSession) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                async with session.get("/readyz") as answer:
                    if answer.status == 200:
                        return
            except GONE:
                pass
            await asyncio.sleep(0.02)
        raise AssertionError(Path(self.log.name).read_text()[-3000:])


def body(name: str, writer: int, number: int) -> dict:
    """An object that says of itself whether it is whole."""
    text = random.Random(f"{writer}/{number}").randbytes(random.randrange(10, 3000)).hex()
    digest = hashlib.sha256(text.encode()).hexdigest()
    data = {"text": text, "digest": digest, "writer": str(writer), "number": str(number)}
    return {"metadata": {"name": name, "labels": {"writer": str(writer)}}, "data": data}


class Run:
    """The writers' and watchers' memory of one test."""

    def __init__(self, crashing: Crashing) -> None:
        self.crashing = crashing
        self.stop = False
        self.acknowledged: dict[str, tuple[int, int | None]] = {}  # name -> (revision, number; None: deleted)
        self.unsure: dict[str, set[int | None]] = {}  # what was sent after it and never answered
        self.writes = 0

    async def write(self, writer: int) -> None:
        """Create, replace and delete objects of its own until told to stop."""
        number = 0
        async with self.crashing.session() as session:
            while not self.stop:
                number += 1
                name = f"w{writer}-{random.randrange(OBJECTS)}"
                known = self.acknowledged.get(name)
                there = known is not None and known[1] is not None
                deleting = there and random.random() < 0.2
                wanted = None if deleting else number
                self.unsure.setdefault(name, set()).add(wanted)
                try:
                    revision = await self._send(session, name, writer, number, deleting)
                except GONE:
                    await self.crashing.ready(session)
                    continue
                if revision is not None:
                    before = known[0] if known else 0
                    assert deleting or revision > before, "a revision went back"
                    revision = max(revision, before)  # a Status names no revision of its deletion
                    self.acknowledged[name], self.unsure[name] = (revision, wanted), set()
                    self.writes += 1

    async def _send(self, session, name: str, writer: int, number: int, deleting: bool) -> int | None:
        """The revision of the acknowledged write, 0 of a deletion; None if it was refused (the unsure happened)."""
        if deleting:
            async with session.delete(f"{BASE}/{name}") as answer:
                return None if answer.status == 404 else 0
        obj = body(name, writer, number)
        async with session.post(BASE, json=obj) as answer:
            if answer.status == 201:
                return int((await answer.json())["metadata"]["resourceVersion"])
            assert answer.status == 409, await answer.text()
        async with session.put(f"{BASE}/{name}", json=obj) as answer:
            if answer.status == 404:
                return None
            assert answer.status == 200, await answer.text()
            return int((await answer.json())["metadata"]["resourceVersion"])

    async def watch(self, seen: list[tuple[int, str, str, dict]]) -> None:
        """Follow all changes, resuming from the last revision seen."""
        since = 1
        async with self.crashing.session() as session:
            while not self.stop:
                query = {"watch": "1", "resourceVersion": str(since)}
                try:
                    timeout = aiohttp.ClientTimeout(total=None, sock_read=2)
                    async with session.get(BASE, params=query, timeout=timeout) as answer:
                        assert answer.status == 200, await answer.text()
                        async for line in answer.content:
                            event = orjson.loads(line)
                            assert event["type"] != "ERROR", event
                            obj = event["object"]
                            since = int(obj["metadata"]["resourceVersion"])
                            seen.append((since, event["type"], obj["metadata"]["name"], obj.get("data") or {}))
                except (*GONE, ValueError):
                    await asyncio.sleep(0.02)


def replay(seen: list[tuple[int, str, str, dict]]) -> dict[str, dict]:
    """The objects that a watcher knows of."""
    there: dict[str, dict] = {}
    for _, change, name, data in seen:
        if change == "ADDED":
            assert name not in there, f"{name} was added twice: an event is missing"
        if change == "MODIFIED":
            assert name in there, f"{name} was modified before it was added: an event is missing"
        if change == "DELETED":
            assert there.pop(name, None) is not None, f"{name} was deleted before it was added"
        else:
            there[name] = data
    return there


async def crash(tmp_path: Path, kills: int) -> None:
    crashing = Crashing(tmp_path)
    crashing.start()
    run = Run(crashing)
    seen: list[list[tuple[int, str, str, dict]]] = [[] for _ in range(WATCHERS)]
    async with crashing.session() as session:
        await crashing.ready(session)
        writers = [asyncio.create_task(run.write(i)) for i in range(WRITERS)]
        watchers = [asyncio.create_task(run.watch(s)) for s in seen]
        try:
            for _ in range(kills):
                before = run.writes
                await asyncio.sleep(random.uniform(0.3, 1.5))
                deadline = time.monotonic() + 20
                while run.writes < before + 30 and time.monotonic() < deadline:
                    await asyncio.sleep(0.01)
                crashing.kill()
                crashing.start()
                await crashing.ready(session)
            await asyncio.sleep(0.5)
            run.stop = True
            await asyncio.wait_for(asyncio.gather(*writers), 30)
            async with session.get(BASE) as answer:
                listed = await answer.json()
            await asyncio.sleep(2.5)
            await asyncio.wait_for(asyncio.gather(*watchers), 30)
        finally:
            for task in (*writers, *watchers):
                task.cancel()
            crashing.kill()
    check(run, listed, seen)


def check(run: Run, listed: dict, seen: list[list[tuple[int, str, str, dict]]]) -> None:
    stored = {o["metadata"]["name"]: o["data"] for o in listed["items"] if o["metadata"]["name"].startswith("w")}
    for name, data in stored.items():
        assert hashlib.sha256(data["text"].encode()).hexdigest() == data["digest"], f"{name} is half there"
    for name, (_, number) in run.acknowledged.items():
        now = int(stored[name]["number"]) if name in stored else None
        assert now in {number} | run.unsure.get(name, set()), f"{name}: {now} is stored, {number} was acknowledged"
    assert run.writes > 100
    for events in seen:
        revisions = [r for r, *_ in events]
        assert revisions == sorted(set(revisions)), "a watcher saw a revision twice or out of order"
        known = {name: data for name, data in replay(events).items() if name.startswith("w")}
        assert known == stored


@pytest.mark.e2e
@pytest.mark.timeout(120)
async def test_five_kills_lose_nothing(tmp_path: Path) -> None:
    await crash(tmp_path, 5)


@pytest.mark.e2e
@pytest.mark.long
@pytest.mark.timeout(1200)
async def test_a_hundred_kills_lose_nothing(tmp_path: Path) -> None:
    await crash(tmp_path, 100)
