"""A machine's directory knows whose it is from its first moment."""

import asyncio
import shutil
import sys
from pathlib import Path

from isthmus.engine.node.vm.machine import Host
from isthmus.engine.node.vm.machines import Machines

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
    directory = machines(tmp_path).reserve("uid-1", KEY)
    assert directory.stat().st_mode & 0o777 == 0o700
    after = machines(tmp_path)
    assert after.uids_of(KEY) == ["uid-1"]
    assert after.known() == {KEY}
    assert after.find_exit("uid-1") is None  # never started, so it has not ended


def test_a_removed_machine_leaves_nothing(tmp_path):
    held = machines(tmp_path)
    held.reserve("uid-1", KEY)
    held.reserve("uid-2", KEY)
    asyncio.run(held.remove("uid-1"))
    assert held.uids_of(KEY) == ["uid-2"]
    assert [path.name for path in tmp_path.iterdir()] == ["uid-2"]


def test_a_directory_without_an_owner_belongs_to_nobody_but_is_listed_for_collection(tmp_path):
    (tmp_path / "torn").mkdir()
    held = machines(tmp_path)
    assert held.uids() == ["torn"]
    assert held.known() == set()


def test_what_a_vm_keeps_is_found_and_forgotten_by_its_name(tmp_path):
    held = machines(tmp_path / "vms")
    assert held.keepers() == []
    (tmp_path / "state/default/web/tpm").mkdir(parents=True)
    (tmp_path / "state/other/web").mkdir(parents=True)
    assert held.keepers() == [("default", "web"), ("other", "web")]
    asyncio.run(held.forget(KEY))
    assert held.keepers() == [("other", "web")]


async def test_a_qemu_that_does_not_listen_yet_is_asked_again(tmp_path):
    held = machines(tmp_path)
    sockets = held.sockets("uid-1")
    held.reserve("uid-1", KEY)
    qemu = str(shutil.which("qemu-system-x86_64"))
    command = [sys.executable, "-c", LATE, str(sockets.qmp), str(sockets.pidfile), qemu]
    running = await held._launch("uid-1", sockets, command, "")
    try:
        assert await running.monitor.status() == "running"
    finally:
        running.destroy()
        await running.wait_ended()
        await held.close()
