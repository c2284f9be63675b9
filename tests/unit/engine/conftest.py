"""A whole API server in the test's own process, reached over loopback without TLS."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from isthmus.engine.registry.customresources import CustomResources
from isthmus.engine.server import bootstrap
from isthmus.engine.server.__main__ import build
from isthmus.engine.server.app import App
from isthmus.engine.server.context import Server
from isthmus.engine.server.protocol import Connection
from isthmus.lib.home import Home

MERGE = "application/merge-patch+json"


class Api:
    """Requests as the administrator, as somebody else (`user`), or as nobody."""

    def __init__(self, server: Server, port: int, session: aiohttp.ClientSession) -> None:
        self.server, self.port, self.session = server, port, session
        self.token = ""

    async def __call__(
        self, method: str, path: str, body: Any = None, *, user: str = "", code: int | None = None, **headers: str
    ) -> Any:
        """The answer as JSON (or text); `code` is what it must be, else (status, answer) comes back."""
        sent = {"content-type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
        if self.token and "authorization" not in sent:
            sent["authorization"] = f"Bearer {self.token}"
        if user:
            sent["impersonate-user"] = user
        data = body if isinstance(body, bytes) or body is None else orjson.dumps(body)
        async with self.session.request(method, path, data=data, headers=sent) as answer:
            text = await answer.text()
            value = orjson.loads(text) if "json" in answer.content_type and text else text
            self.headers = answer.headers
            if code is None:
                return answer.status, value
            assert answer.status == code, f"{method} {path}: {answer.status} {text}"
            return value

    async def raw(self, data: bytes, *, wait: float = 0.2) -> bytes:
        """What comes back for these bytes until the server closes or falls silent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        out = b""
        try:
            while chunk := await asyncio.wait_for(reader.read(65536), wait):
                out += chunk
        except TimeoutError:
            pass
        writer.close()
        return out


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    server = build(Home(tmp_path), "127.0.0.1:0")
    CustomResources(server.store, server.registry, server.storage).start()
    await bootstrap.write(server)
    server.ready = True
    connections: set[Connection] = set()
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: Connection(App(server), connections), "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        api = Api(server, port, session)
        await _become_administrator(api)
        yield api
    listener.close()
    for connection in tuple(connections):
        connection.transport.abort()
    await server.store.close()


@pytest.fixture
def mount_tmpfs(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A file system of a size ("2m"), mounted while the test runs. Needs root."""
    mounted: list[Path] = []

    def mount(size: str) -> Path:
        place = tmp_path / f"tmpfs{len(mounted)}"
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True)
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


async def _become_administrator(api: Api) -> None:
    from isthmus.engine.registry.write import WriteContext

    context = WriteContext("test", ("system:masters",))
    registry, storage = api.server.registry, api.server.storage
    account = {"metadata": {"name": "root", "namespace": "default"}}
    value = await storage.create(registry.by_resource("serviceaccounts"), account, context)
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    subject = {"kind": "ServiceAccount", "namespace": "default", "name": "root"}
    binding = {"metadata": {"name": "root"}, "roleRef": reference, "subjects": [subject]}
    await storage.create(registry.by_resource("clusterrolebindings.rbac.authorization.k8s.io"), binding, context)
    api.token = api.server.tokens.issue(orjson.loads(value), 3600, [])["token"]
