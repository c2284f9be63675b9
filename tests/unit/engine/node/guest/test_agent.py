"""The other end of the channel is a guest: it may say anything, or nothing."""

import asyncio
import json

import pytest

from isthmus.engine.node.guest import agent
from isthmus.engine.node.guest.agent import GuestAgent, GuestAgentError


class Guest:
    """An agent in a guest of ours: answers `sync`, then whatever `answers` says for a command."""

    def __init__(self, answers, before=b""):
        self.answers, self.before, self.seen = answers, before, []

    async def serve(self, reader, writer):
        writer.write(self.before)
        while line := (await reader.readline()).lstrip(b"\xff"):
            request = json.loads(line)
            self.seen.append(request["execute"])
            if request["execute"] == "guest-sync-delimited":
                writer.write(b"\xff" + json.dumps({"return": request["arguments"]["id"]}).encode() + b"\n")
            elif (answer := self.answers.get(request["execute"])) is not None:
                writer.write(answer if isinstance(answer, bytes) else json.dumps({"return": answer}).encode() + b"\n")
        writer.close()


@pytest.fixture
async def connect(tmp_path):
    servers = []

    async def start(answers, before=b""):
        guest = Guest(answers, before)
        path = tmp_path / f"{len(servers)}.sock"
        servers.append(await asyncio.start_unix_server(guest.serve, path))
        return GuestAgent(path), guest

    yield start
    for server in servers:
        server.close()


async def test_osinfo_is_told_in_kubevirts_words(connect):
    client, _ = await connect(
        {"guest-get-osinfo": {"id": "debian", "pretty-name": "Debian 12", "kernel-release": "6.1"}}
    )
    assert await client.osinfo() == {"id": "debian", "prettyName": "Debian 12", "kernelRelease": "6.1"}


async def test_what_an_earlier_client_left_in_the_channel_is_passed_over(connect):
    client, _ = await connect(
        {"guest-get-host-name": {"host-name": "web"}}, before=b'{"return": 1}\n\xff{"return": 2}\n'
    )
    assert await client.hostname() == "web"


async def test_interfaces_are_cut_to_what_a_status_may_hold(connect):
    addresses = [{"ip-address": "10.0.2.2"}, {"ip-address": "fe80::1"}, {"ip-address": 5}, "x"]
    entries = [{"name": "eth0\x1b[2J", "hardware-address": "02:AA:00:00:00:01", "ip-addresses": addresses}, 7]
    client, _ = await connect({"guest-network-get-interfaces": entries})
    first, second = await client.interfaces()
    assert first == {"name": "eth0[2J", "mac": "02:aa:00:00:00:01", "addresses": ["10.0.2.2"]}
    assert second == {"name": "", "mac": "", "addresses": []}


async def test_a_refusal_is_told_in_the_agents_words(connect):
    client, _ = await connect({"guest-get-users": b'{"error": {"class": "CommandNotFound", "desc": "not for you"}}\n'})
    with pytest.raises(GuestAgentError, match="not for you"):
        await client.users()


@pytest.mark.parametrize("answer", [b"garbage\n", b"[" * 100_000 + b"\n", b"[1]\n", b'{"ret": 1}\n', b"\xff\xfe\n"])
async def test_nonsense_is_an_error(connect, answer):
    client, _ = await connect({"guest-get-host-name": answer})
    with pytest.raises(GuestAgentError):
        await client.hostname()


@pytest.mark.parametrize("answer", [None, "text", 5, [], {}, {"host-name": {"a": 1}}, {"host-name": "x" * 10_000}])
async def test_a_well_formed_lie_is_bounded(connect, answer):
    client, _ = await connect({"guest-get-host-name": json.dumps({"return": answer}).encode() + b"\n"})
    assert len(await client.hostname()) <= agent.MAX_TEXT


async def test_an_endless_line_is_an_error(connect, monkeypatch):
    monkeypatch.setattr(agent, "LINE_LIMIT", 4096)
    client, _ = await connect({"guest-get-host-name": b"x" * 10_000})
    with pytest.raises(GuestAgentError):
        await client.hostname()


async def test_silence_ends_at_the_deadline(connect):
    client, _ = await connect({})
    with pytest.raises(GuestAgentError, match="does not answer"):
        await client.call("guest-ping", timeout=0.05)


async def test_without_a_channel_there_is_an_error(tmp_path):
    with pytest.raises(GuestAgentError, match="no channel"):
        await GuestAgent(tmp_path / "none.sock").call("guest-ping")


async def test_a_shutdown_is_told_and_not_waited_for(connect):
    client, guest = await connect({})
    await client.shutdown()
    async with asyncio.timeout(2):
        while "guest-shutdown" not in guest.seen:
            await asyncio.sleep(0.01)


async def test_a_command_in_the_guest_is_waited_for_and_its_code_told(connect):
    answers = {"guest-exec": {"pid": 7}, "guest-exec-status": {"exited": True, "exitcode": 3}}
    client, guest = await connect(answers)
    assert await client.execute("/bin/false", ["x"], 2) == 3
    assert [c for c in guest.seen if c.startswith("guest-exec")] == ["guest-exec", "guest-exec-status"]


async def test_a_command_that_does_not_end_is_an_error_in_time(connect):
    client, _ = await connect({"guest-exec": {"pid": 7}, "guest-exec-status": {"exited": False}})
    with pytest.raises(GuestAgentError, match=r"sleep did not end within 0\.3 s"):
        await client.execute("sleep", ["9"], 0.3)
