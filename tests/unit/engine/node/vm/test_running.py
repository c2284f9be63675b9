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

    async def status(self):
        return self.state

    async def quit(self):
        self.held.kill()

    async def cpu_count(self):
        return 1

    async def memory(self):
        return 1 << 20

    async def agent_connected(self):
        return False

    async def powerdown(self):
        if self.silent:
            await asyncio.sleep(3600)

    async def follow(self, on_connect):
        on_connect()
        await asyncio.sleep(3600)
        yield {}

    async def close(self):
        return


@pytest.fixture
async def machine(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    held = Process(child.pid, os.pidfd_open(child.pid))
    machine = Running("uid", Sockets(tmp_path / "vms" / "uid"), held, lambda: None)  # no directory: no file can be made
    machine.monitor = Monitor(held)
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
