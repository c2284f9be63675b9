"""A machine's end on a host whose disk is full; a real process stands for QEMU, its monitor is played."""

import asyncio
import os
import subprocess
import sys

import pytest

from isthmus.engine.node.vm import process, running
from isthmus.engine.node.vm.machine import Sockets
from isthmus.engine.node.vm.process import Exit, Process
from isthmus.engine.node.vm.running import Running


class Monitor:
    """Answers with `state` until it is told to quit, which ends the process."""

    def __init__(self, held):
        self.held = held
        self.state = "running"
        self.silent = False
        self.channel = False
        self.looks = 0

    async def status(self):
        self.looks += 1
        return self.state

    async def quit(self):
        self.held.kill()

    async def cpu_count(self):
        return 1

    async def memory(self):
        return 1 << 20

    async def agent_connected(self):
        return self.channel

    async def powerdown(self):
        if self.silent:
            await asyncio.sleep(3600)

    async def follow(self, on_connect):
        on_connect()
        await asyncio.sleep(3600)
        yield {}

    async def close(self):
        return


class Agent:
    """A guest's agent; while `silent` it takes every question and answers none, as one that was just killed."""

    def __init__(self):
        self.silent, self.asked, self.freed = False, 0, asyncio.Event()

    def __getattr__(self, name):
        async def answer():
            self.asked += 1
            if self.silent:
                await self.freed.wait()
            return ("8.0", []) if name == "info" else {"osinfo": {"id": "debian"}, "interfaces": []}.get(name, "")

        return answer


async def until(look):
    async with asyncio.timeout(5):
        while not look():
            await asyncio.sleep(0.01)


@pytest.fixture
async def machine(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    held = Process(child.pid, os.pidfd_open(child.pid))
    machine = Running("uid", Sockets(tmp_path / "vms" / "uid"), held, lambda: None)  # no directory: no file can be made
    machine.monitor, machine.agent = Monitor(held), Agent()
    watching = asyncio.create_task(machine.watch())
    yield machine
    held.kill()
    await asyncio.wait_for(watching, 5)
    child.returncode = 0


async def test_a_machine_is_ended_though_the_disk_has_no_room_to_say_so(machine):
    machine.destroy()
    await asyncio.wait_for(machine.wait_ended(), 5)


async def test_a_power_off_on_a_full_disk_is_seen_once_there_is_room_again(machine, monkeypatch):
    monkeypatch.setattr(running, "POLL_SECONDS", 0.05)
    machine.monitor.state = "shutdown"
    machine.poll()
    await asyncio.sleep(0.2)
    assert not machine.ended  # how it ended must not be forgotten
    machine.sockets.directory.mkdir(parents=True)
    await asyncio.wait_for(machine.wait_ended(), 5)
    assert process.find_exit(machine.sockets) is Exit.SHUTDOWN


async def test_a_grace_period_is_no_longer_for_a_monitor_that_does_not_answer(machine):
    machine.monitor.silent = True
    machine.sockets.directory.mkdir(parents=True)
    await asyncio.wait_for(machine.shut_down(0.2), 2)
    await asyncio.wait_for(machine.wait_ended(), 5)
    assert process.find_exit(machine.sockets) is Exit.DESTROYED


async def test_a_power_off_is_seen_though_the_guests_agent_does_not_answer(machine):
    machine.sockets.directory.mkdir(parents=True)
    machine.monitor.state, machine.monitor.channel, machine.agent.silent = "running", True, True
    machine.poll()
    await until(lambda: machine.agent.asked)
    machine.monitor.state = "shutdown"
    machine.poll()
    await asyncio.wait_for(machine.wait_ended(), 2)
    assert process.find_exit(machine.sockets) is Exit.SHUTDOWN


async def test_a_guest_is_connected_while_its_agent_answers_and_its_channel_is_open(machine):
    machine.monitor.channel = True
    machine.poll()
    await until(lambda: machine.agent_connected)
    assert machine.guest.osinfo == {"id": "debian"}
    machine.monitor.channel = False
    machine.poll()
    await until(lambda: not machine.agent_connected)
    assert machine.guest.osinfo == {"id": "debian"}  # what it said last


async def test_a_paused_guest_is_connected_and_not_asked(machine):
    machine.monitor.state, machine.monitor.channel = "paused", True
    machine.poll()
    await until(lambda: machine.agent_connected)
    assert machine.agent.asked == 0


async def test_an_answer_that_comes_after_the_channel_was_closed_is_none(machine):
    machine.monitor.channel, machine.agent.silent = True, True
    machine.poll()
    await until(lambda: machine.agent.asked)
    machine.monitor.channel = False
    before = machine.monitor.looks
    machine.poll()
    await until(lambda: machine.monitor.looks > before)
    machine.agent.freed.set()
    await asyncio.sleep(0.05)
    assert not machine.agent_connected


async def test_a_guest_is_asked_again_if_something_changes_while_it_is_asked(machine):
    machine.monitor.channel = True
    machine.poll()
    await until(lambda: machine.agent_connected)
    machine.agent.silent, before = True, machine.agent.asked
    machine.poll()
    await until(lambda: machine.agent.asked > before)
    looks = machine.monitor.looks
    machine.poll()
    await until(lambda: machine.monitor.looks > looks)
    await asyncio.sleep(0.02)
    machine.agent.silent, before = False, machine.agent.asked
    machine.agent.freed.set()
    await until(lambda: machine.agent.asked > before + 5)  # more than the one round that was under way
