"""The work that any Kubernetes API server is given, and the clock. Every answer is checked (counts, contents, the order
of watch events), so that a server cannot look fast by doing less.
"""

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson

NAMESPACE = "apibench"
BASE = f"/apis/kubevirt.io/v1/namespaces/{NAMESPACE}/virtualmachines"
JSON = {"Content-Type": "application/json"}
MERGE = {"Content-Type": "application/merge-patch+json"}
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
CONNECTIONS = 16
WATCHED = 200  # updates that the watchers follow
PATCHED = 2000


class WrongAnswerError(Exception):
    """The server answered something else than the work demands."""


def machine(index: int) -> dict[str, Any]:
    """A VirtualMachine of usual size (1.4 kB as stored)."""
    labels = {"app": f"app-{index % 50}", "tier": "db" if index % 3 else "web"}
    user_data = "#cloud-config\nhostname: x\n" + "# pad\n" * 20
    spec = {
        "domain": {
            "cpu": {"cores": 2},
            "memory": {"guest": "2Gi"},
            "devices": {
                "disks": [{"name": n, "disk": {"bus": "virtio"}} for n in ("root", "ci")],
                "interfaces": [{"name": "default", "masquerade": {}}],
            },
        },
        "networks": [{"name": "default", "pod": {}}],
        "volumes": [
            {"name": "root", "persistentVolumeClaim": {"claimName": f"root-{index}"}},
            {"name": "ci", "cloudInitNoCloud": {"userData": user_data}},
        ],
    }
    template = {"metadata": {"labels": {"kubevirt.io/domain": f"vm-{index}"}}, "spec": spec}
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": name_of(index), "namespace": NAMESPACE, "labels": labels},
        "spec": {"runStrategy": "Halted", "template": template},
    }


def name_of(index: int) -> str:
    return f"vm-{index:05d}"


def keeps(stored: Any, written: Any) -> bool:
    """Whether all that was written is there. A server may fill in defaults beside it, as KubeVirt's webhooks do."""
    if isinstance(written, dict):
        return isinstance(stored, dict) and all(keeps(stored.get(key), value) for key, value in written.items())
    if isinstance(written, list):
        same = isinstance(stored, list) and len(stored) == len(written)
        return same and all(map(keeps, stored, written))
    return bool(stored == written)


@dataclass
class Figures:
    """What was measured, by phase: seconds, latencies, and CPU seconds of client and server."""

    rates: dict[str, float] = field(default_factory=dict)
    milliseconds: dict[str, float] = field(default_factory=dict)
    client_cpu: dict[str, float] = field(default_factory=dict)
    server_cpu: dict[str, float] = field(default_factory=dict)
    rss_mib: dict[str, float] = field(default_factory=dict)


class Work:
    """One run against one server. `pids` are the server's processes, if they are on this machine."""

    def __init__(self, session: aiohttp.ClientSession, count: int, watchers: int, pids: list[int]) -> None:
        self.session, self.count, self.watchers, self.pids = session, count, watchers, pids
        self.figures = Figures()

    async def run(self) -> Figures:
        """All phases, in order."""
        await self._prepare()
        self._memory("idle")
        bodies = [orjson.dumps(machine(i)) for i in range(self.count)]
        await self._rate("create", self.count, lambda i: self._call("POST", BASE, 201, bodies[i], JSON))
        await self._rate("get", self.count, self._get)
        revision = await self._lists()
        await self._watch(revision)
        await self._rate("patch", min(self.count, PATCHED), self._patch)
        self._memory("loaded")
        await self._rate("delete", self.count, lambda i: self._call("DELETE", f"{BASE}/{name_of(i)}", 200))
        if orjson.loads(await self._call("GET", BASE, 200))["items"]:
            raise WrongAnswerError("objects are left after they were deleted")
        self._memory("after")
        return self.figures

    # -- requests -----------------------------------------------------------------------------------------------------

    async def _call(
        self, method: str, path: str, code: int, data: bytes | None = None, headers: dict[str, str] | None = None
    ) -> bytes:
        async with self.session.request(method, path, data=data, headers=headers) as answer:
            content = await answer.read()
            if answer.status != code:
                raise WrongAnswerError(f"{method} {path}: {answer.status} {content[:300]!r}")
            return content

    async def _prepare(self) -> None:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        async with self.session.post("/api/v1/namespaces", data=orjson.dumps(namespace), headers=JSON) as answer:
            if answer.status not in (201, 409):
                raise WrongAnswerError(f"the namespace cannot be made: {await answer.text()}")
        if orjson.loads(await self._call("GET", BASE, 200))["items"]:
            raise WrongAnswerError(f"{BASE} is not empty: a run over left-over objects is other work")
        # The first of a kind compiles its schema.
        await self._call("POST", BASE, 201, orjson.dumps(machine(99999)), JSON)
        await self._call("DELETE", f"{BASE}/{name_of(99999)}", 200)

    async def _get(self, index: int) -> None:
        content = await self._call("GET", f"{BASE}/{name_of(index)}", 200)
        if index % 100 == 0 and not keeps(orjson.loads(content)["spec"], machine(index)["spec"]):
            raise WrongAnswerError(f"the spec of {name_of(index)} is not what was written")

    async def _patch(self, index: int) -> None:
        value = str(time.time())
        content = await self._annotate(index, "x", value)
        if index % 100 == 0 and orjson.loads(content)["metadata"]["annotations"].get("x") != value:
            raise WrongAnswerError(f"the patch of {name_of(index)} was not applied")

    async def _annotate(self, index: int, key: str, value: str) -> bytes:
        patch = orjson.dumps({"metadata": {"annotations": {key: value}}})
        return await self._call("PATCH", f"{BASE}/{name_of(index)}", 200, patch, MERGE)

    async def _lists(self) -> str:
        """Every form of a list. Gives the revision of the first."""
        count, spec = self.count, machine(0)["spec"]
        whole = lambda o: len(o["items"]) == count and keeps(o["items"][0]["spec"], spec)  # noqa: E731
        first = await self._read("list", 5, BASE, whole)
        await self._read("list_gzip", 3, BASE, whole, {"Accept-Encoding": "gzip"})
        await self._read("table", 3, BASE, lambda o: o["kind"] == "Table" and len(o["rows"]) == count, TABLE)
        wanted = sum(i % 50 == 7 for i in range(count))
        selected = f"{BASE}?labelSelector=app%3Dapp-7"
        await self._read("selector", 5, selected, lambda o: len(o["items"]) == wanted)
        with self._phase("paged"):
            times = [await self._pages() for _ in range(3)]
        self.figures.milliseconds["paged"] = round(statistics.median(times), 1)
        return str(first["metadata"]["resourceVersion"])

    async def _pages(self) -> float:
        started, token, seen = time.perf_counter(), "", 0
        while True:
            suffix = f"&continue={token}" if token else ""
            page = orjson.loads(await self._call("GET", f"{BASE}?limit=500{suffix}", 200))
            seen += len(page["items"])
            token = page["metadata"].get("continue", "")
            if not token:
                break
        if seen != self.count:
            raise WrongAnswerError(f"the pages hold {seen} objects, not {self.count}")
        return (time.perf_counter() - started) * 1e3

    async def _read(
        self, name: str, times: int, path: str, right: Callable[[Any], bool], headers: dict[str, str] | None = None
    ) -> Any:
        taken, content = [], b""
        with self._phase(name):
            for _ in range(times):
                started = time.perf_counter()
                content = await self._call("GET", path, 200, None, headers)
                taken.append((time.perf_counter() - started) * 1e3)
        self.figures.milliseconds[name] = round(statistics.median(taken), 1)
        value = orjson.loads(content)
        if not right(value):
            raise WrongAnswerError(f"{name}: {content[:300]!r}")
        return value

    # -- watching -----------------------------------------------------------------------------------------------------

    async def _watch(self, revision: str) -> None:
        """Updates one after the other, followed by all watchers: from the patch's start to the event in hand."""
        updates = min(WATCHED, self.count)
        sent: dict[str, float] = {}
        taken: list[float] = []
        ready = asyncio.Semaphore(0)

        async def follow() -> None:
            expected = 0
            query = f"{BASE}?watch=1&resourceVersion={revision}&timeoutSeconds=300"
            async with self.session.get(query) as answer:
                ready.release()
                async for line in answer.content:
                    now, event = time.perf_counter(), orjson.loads(line)
                    value = (event["object"]["metadata"].get("annotations") or {}).get("w")
                    if value is None:
                        continue
                    if event["type"] != "MODIFIED" or value != str(expected):
                        raise WrongAnswerError(f"watch: expected event {expected}: {line[:300]!r}")
                    taken.append((now - sent[value]) * 1e3)
                    expected += 1
                    if expected == updates:
                        return

        tasks = [asyncio.create_task(follow()) for _ in range(self.watchers)]
        for _ in tasks:
            await asyncio.wait_for(ready.acquire(), 60)
        await asyncio.sleep(0.5)
        with self._phase("watch") as elapsed:
            for index in range(updates):
                sent[str(index)] = time.perf_counter()
                await self._annotate(index, "w", str(index))
            await asyncio.wait_for(asyncio.gather(*tasks), 120)
        taken.sort()
        self.figures.rates["watch events"] = round(len(taken) / elapsed())
        self.figures.milliseconds["watch p50"] = round(taken[len(taken) // 2], 2)
        self.figures.milliseconds["watch p99"] = round(taken[int(len(taken) * 0.99)], 2)

    # -- measuring ----------------------------------------------------------------------------------------------------

    async def _rate(self, name: str, count: int, call: Callable[[int], Awaitable[Any]]) -> None:
        indexes = iter(range(count))
        taken: list[float] = []

        async def client() -> None:
            for index in indexes:
                started = time.perf_counter()
                await call(index)
                taken.append((time.perf_counter() - started) * 1e3)

        with self._phase(name) as elapsed:
            await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
        taken.sort()
        self.figures.rates[name] = round(count / elapsed())
        self.figures.milliseconds[f"{name} p99"] = round(taken[int(len(taken) * 0.99)], 2)

    @contextmanager
    def _phase(self, name: str) -> Iterator[Callable[[], float]]:
        """Times a phase; the function that it gives says how long it has lasted (or did last)."""
        started, client, server = time.perf_counter(), time.process_time(), self._server_cpu()
        ended: list[float] = []
        yield lambda: (ended[0] if ended else time.perf_counter()) - started
        ended.append(time.perf_counter())
        self.figures.client_cpu[name] = round(time.process_time() - client, 3)
        self.figures.server_cpu[name] = round(self._server_cpu() - server, 3)

    def _server_cpu(self) -> float:
        ticks = 0
        for pid in self.pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def _memory(self, moment: str) -> None:
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids)
        self.figures.rss_mib[moment] = round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)
