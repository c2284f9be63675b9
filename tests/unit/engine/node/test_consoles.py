"""A machine's console and its log: one client at a time, none that outlives its request, and only those who may."""

import asyncio
import contextlib
from types import SimpleNamespace

import aiohttp
import pytest

from isthmus.engine.node.api import Api
from isthmus.engine.node.vm.machine import Sockets

CONSOLE = "http://agent/vmis/default/web/console"


def get(resource, namespace, name):
    """A VMI with the uid `uid`, and a Pod in each namespace that says it is the VMI's."""
    labels = {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": "uid", "vm.kubevirt.io/name": "web"}
    metadata = {"uid": "uid", "namespace": namespace, "name": name, "labels": labels}
    return {"metadata": metadata, "spec": {"containers": [{"name": "guest-console-log"}]}, "status": {}}


class Console:
    """What QEMU's chardev does: serves one client, the others wait until it has gone."""

    def __init__(self):
        self.clients = 0
        self.free = asyncio.Semaphore(1)

    async def serve(self, reader, writer):
        async with self.free:
            self.clients += 1
            with contextlib.suppress(ConnectionError):
                writer.write(b"login:")
                while await reader.read(100):
                    pass
            self.clients -= 1
        writer.close()


@pytest.fixture
async def console(tmp_path):
    found = Console()
    server = await asyncio.start_unix_server(found.serve, tmp_path / "serial.sock")
    yield found
    server.close()


@pytest.fixture
async def session(tmp_path, console):
    running = SimpleNamespace(uid="uid", sockets=Sockets(tmp_path))
    records = SimpleNamespace(owner=lambda _: ("default", "web"))
    machines = SimpleNamespace(find=lambda _: running, records=records, sockets=lambda _: running.sockets)
    api, path = Api(SimpleNamespace(get=get, client=None), machines, None), tmp_path / "agent.sock"
    connector = aiohttp.UnixConnector(str(path))
    async with api.serve(path), aiohttp.ClientSession(connector=connector) as client:
        yield client


async def until(look):
    async with asyncio.timeout(5):
        while not look():
            await asyncio.sleep(0.01)


async def test_a_request_that_is_no_upgrade_leaves_the_console_to_the_next(session, console):
    async with session.get(CONSOLE) as answer:
        assert answer.status == 400
    await until(lambda: console.clients == 0)
    async with session.ws_connect(CONSOLE) as client:
        assert await client.receive_bytes(timeout=5) == b"login:"


async def test_of_clients_that_come_at_once_the_last_has_the_console(session, console):
    first = await session.ws_connect(CONSOLE)
    assert await first.receive_bytes(timeout=5) == b"login:"
    others = await asyncio.gather(*(session.ws_connect(CONSOLE) for _ in range(3)))
    last = [await client.receive(timeout=5) for client in (first, *others)]
    assert sum(message.type is aiohttp.WSMsgType.BINARY for message in last) >= 1
    await until(lambda: console.clients == 1)
    left = [client for client in others if not client.closed]
    assert len(left) == 1
    for client in left:
        await client.close()


@pytest.mark.parametrize(("namespace", "status"), [("default", 200), ("elsewhere", 400)])
async def test_labels_do_not_open_the_log_of_another_namespaces_machine(session, tmp_path, namespace, status):
    (tmp_path / "serial.log").write_text("the key is 42")
    async with session.get(f"http://agent/pods/{namespace}/virt-launcher-x/log") as answer:
        assert answer.status == status
        assert ("42" in await answer.text()) is (status == 200)


async def test_the_agents_socket_is_its_users_alone(session, tmp_path):
    assert (tmp_path / "agent.sock").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("port", ["0", "65536", "-1", "ssh", "²"])
async def test_what_is_no_port_is_a_bad_request(session, port):
    async with session.get(f"http://agent/vmis/default/web/portforward/{port}") as answer:
        assert (answer.status, (await answer.json())["kind"]) == (400, "Status")


@pytest.mark.parametrize("body", ["{", "[]", '"on"'])
async def test_the_options_of_an_act_are_an_object(session, body):
    async with session.put("http://agent/vmis/default/web/pause", data=body) as answer:
        assert answer.status == 400
