"""A machine's directory knows whose it is from its first moment, and stays until its process is really gone."""

import asyncio
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from isthmus.engine.node.vm import process
from isthmus.engine.node.vm.machine import Host
from isthmus.engine.node.vm.machines import Machines, StillRunningError

HOST = Host("qemu-system-x86_64", (7, 2), "tcg")
KEY = ("default", "web")
# The socket is there before anybody listens on it, as on a busy host; then it is QEMU's own.
LATE = """import os, socket, sys, time
sock, pidfile, qemu = sys.argv[1:]
held = socket.socket(socket.AF_UNIX)
held.bind("qmp.sock")
open(pidfile, "w").write(str(os.getpid()))
time.sleep(0.4)
os.unlink("qmp.sock")
os.execv(qemu, [qemu, "-M", "none", "-nodefaults", "-display", "none", "-qmp", "unix:qmp.sock,server=on,wait=off",
                "-pidfile", pidfile])
"""


def machines(root: Path) -> Machines:
    return Machines(root, "node", HOST, lambda key: None)


def test_a_machine_that_was_only_prepared_is_known_to_the_next_agent(tmp_path):
    directory = machines(tmp_path).records.reserve("uid-1", KEY)
    assert directory.stat().st_mode & 0o777 == 0o700
    after = machines(tmp_path)
    assert after.records.uids_of(KEY) == ["uid-1"]
    assert after.records.known() == {KEY}
    assert after.find_exit("uid-1") is None  # never started, so it has not ended


def test_a_removed_machine_leaves_nothing(tmp_path):
    held = machines(tmp_path)
    held.records.reserve("uid-1", KEY)
    held.records.reserve("uid-2", KEY)
    asyncio.run(held.remove("uid-1"))
    assert held.records.uids_of(KEY) == ["uid-2"]
    assert [path.name for path in tmp_path.iterdir()] == ["uid-2"]


def test_a_directory_without_an_owner_belongs_to_nobody_but_is_listed_for_collection(tmp_path):
    (tmp_path / "torn").mkdir()
    held = machines(tmp_path)
    assert held.records.uids() == ["torn"]
    assert held.records.known() == set()


def test_what_a_vm_keeps_is_found_and_forgotten_by_its_name(tmp_path):
    held = machines(tmp_path / "vms")
    assert held.state.keepers() == []
    (tmp_path / "state/default/web/tpm").mkdir(parents=True)
    (tmp_path / "state/other/web").mkdir(parents=True)
    assert held.state.keepers() == [("default", "web"), ("other", "web")]
    asyncio.run(held.state.forget(KEY))
    assert held.state.keepers() == [("other", "web")]


async def test_a_qemu_that_does_not_listen_yet_is_asked_again(tmp_path):
    held = machines(tmp_path)
    sockets = held.sockets("uid-1")
    held.records.reserve("uid-1", KEY)
    qemu = str(shutil.which("qemu-system-x86_64"))
    command = [sys.executable, "-c", LATE, str(sockets.qmp), str(sockets.pidfile), qemu]
    running = await held._launch("uid-1", sockets, command, "")
    try:
        assert await running.monitor.status() == "running"
    finally:
        running.destroy()
        await running.wait_ended()
        await held.close()


@pytest.fixture
def stubborn(tmp_path, monkeypatch):
    """A machine's process that SIGKILL does not end, as while the kernel waits for a disk; `release` lets it."""
    machines(tmp_path).records.reserve("uid-1", KEY)
    sockets = machines(tmp_path).sockets("uid-1")
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", str(sockets.pidfile)])
    sockets.pidfile.write_text(str(child.pid))
    while process.find(sockets) is None:  # its arguments are set a moment after it has begun
        time.sleep(0.01)
    kill = process.Process.kill
    monkeypatch.setattr(process.Process, "kill", lambda held: None)
    monkeypatch.setattr(process, "KILL_SECONDS", 0.2)
    yield lambda: monkeypatch.setattr(process.Process, "kill", kill)
    child.kill()
    child.wait()


@pytest.mark.parametrize("adopted", [True, False])  # held already, or only found when it is to be removed
async def test_a_process_that_does_not_end_is_not_forgotten_nor_waited_for_without_end(tmp_path, stubborn, adopted):
    ends = asyncio.Event()
    held = Machines(tmp_path, "node", HOST, lambda key: ends.set())
    if adopted:
        assert held.adopt() == {"uid-1"}
    for _ in range(2):
        with pytest.raises(StillRunningError, match="does not end"):
            await asyncio.wait_for(held.remove("uid-1"), 5)
        assert held.find("uid-1")
        assert held.find_exit("uid-1") is None
        assert held.records.uids_of(KEY) == ["uid-1"]
        assert held.sockets("uid-1").directory.exists()
    stubborn()
    ends.clear()
    with pytest.raises(StillRunningError):
        await held.remove("uid-1")  # nobody waits a second time
    await asyncio.wait_for(ends.wait(), 5)  # whoever tried is told
    await held.remove("uid-1")
    assert not held.sockets("uid-1").directory.exists()
    await held.close()
