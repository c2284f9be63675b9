"""Real processes stand for QEMU: what matters is how they are known again."""

import asyncio
import os
import subprocess
import sys

import pytest

from isthmus.engine.node.vm import cgroup, host, kvm, process
from isthmus.engine.node.vm.errors import ProcessError
from isthmus.engine.node.vm.machine import Sockets
from isthmus.engine.node.vm.process import Exit

SLEEP = """
import os, sys, time
open(sys.argv[1], "w").write(str(os.getpid()))
open("qmp.sock", "w")
time.sleep(60)
"""


@pytest.fixture
def sockets(tmp_path):
    return Sockets(tmp_path)


async def start(sockets):
    return await process.start([sys.executable, "-c", SLEEP, str(sockets.pidfile)], sockets)


async def test_a_started_process_is_found_again_and_its_end_is_noticed(sockets):
    started = await start(sockets)
    found = process.find(sockets)
    assert found
    assert found.pid == started.pid
    found.kill()
    await asyncio.wait_for(started.wait(), 5)
    assert process.find(sockets) is None
    for held in (started, found):
        held.close()


async def test_it_is_found_without_its_pid_file(sockets):
    started = await start(sockets)
    sockets.pidfile.unlink()
    found = process.find(sockets)
    assert found
    assert found.pid == started.pid
    found.kill()
    await started.wait()


async def test_a_process_that_is_no_longer_held_is_not_killed_nor_is_the_next_with_its_descriptor(sockets):
    started = await start(sockets)
    number = started.pidfd
    started.close()
    other = process.find(sockets)
    assert other.pidfd == number
    started.kill()
    started.close()
    assert process.find(sockets)
    other.kill()
    await other.wait()
    other.close()


def test_a_pid_that_was_used_again_is_not_mistaken(sockets):
    sockets.pidfile.write_text(str(os.getpid()))
    assert process.find(sockets) is None


async def test_a_refusal_comes_with_the_last_words(sockets):
    argv = [sys.executable, "-c", "import sys; sys.exit('no such device: x')", str(sockets.pidfile)]
    with pytest.raises(ProcessError, match="no such device: x"):
        await process.start(argv, sockets)


async def test_one_that_is_not_ready_in_time_is_ended(sockets, monkeypatch):
    monkeypatch.setattr(process, "START_DEADLINE", 0.2)
    argv = [sys.executable, "-c", "import time; time.sleep(60)", str(sockets.pidfile)]
    with pytest.raises(ProcessError, match=r"not ready within 0.2 s"):
        await process.start(argv, sockets)
    assert process.find(sockets) is None


async def test_one_that_cannot_even_be_killed_does_not_hold_up_the_agent(sockets, monkeypatch):
    async def never(pid):
        await asyncio.sleep(60)

    monkeypatch.setattr(process, "START_DEADLINE", 0.1)
    monkeypatch.setattr(process, "KILL_SECONDS", 0.1)
    monkeypatch.setattr(process, "reap", never)
    argv = [sys.executable, "-c", "import time; time.sleep(60)", str(sockets.pidfile)]
    with pytest.raises(ProcessError, match="not ready"):
        await asyncio.wait_for(process.start(argv, sockets), 5)


def test_the_first_reason_of_an_end_counts(sockets):
    assert process.find_exit(sockets) is Exit.CRASHED
    process.record_exit(sockets, Exit.SHUTDOWN)
    process.record_exit(sockets, Exit.DESTROYED)
    assert process.find_exit(sockets) is Exit.SHUTDOWN


def test_a_torn_record_is_no_record(sockets):
    (sockets.directory / "exit.json").write_text('{"reason": "Shut')
    assert process.find_exit(sockets) is Exit.CRASHED


@pytest.mark.parametrize(
    ("reason", "acpi", "good"),
    [
        (Exit.SHUTDOWN, True, True),
        (Exit.DESTROYED, True, False),
        (Exit.DESTROYED, False, True),
        (Exit.CRASHED, False, False),
        (Exit.PANICKED, True, False),
    ],
)
def test_how_it_ended_decides_the_phase(reason, acpi, good):
    assert reason.succeeded(acpi=acpi) is good


def test_version_two_has_one_directory_and_version_one_one_for_each_controller(tmp_path):
    two = cgroup.build_plan(2, "n1", "u", vcpus=2, memory_limit=1 << 30, root=tmp_path)
    assert two.directories == (tmp_path / "isthmus/n1/u",)
    assert (tmp_path / "isthmus/n1/u/memory.max", str(1 << 30)) in two.values
    one = cgroup.build_plan(1, "n1", "u", vcpus=2, memory_limit=1 << 30, root=tmp_path)
    assert {path.relative_to(tmp_path).parts[0] for path in one.directories} == {"cpu", "memory", "pids"}
    assert (tmp_path / "cpu/isthmus/n1/u/cpu.shares", "2048") in one.values
    assert cgroup.build_plan(0, "n1", "u", vcpus=2, memory_limit=1, root=tmp_path).procs == ()


def test_memory_is_limited_only_if_a_limit_is_asked_for(tmp_path):
    for version, name, unlimited in ((2, "memory.max", "max"), (1, "memory.limit_in_bytes", "-1")):
        values = dict(cgroup.build_plan(version, "n1", "u", vcpus=1, root=tmp_path).values)
        assert next(text for path, text in values.items() if path.name == name) == unlimited


def test_a_process_is_in_its_groups_before_it_begins_and_runs_where_there_are_none(tmp_path):
    there, missing = tmp_path / "cgroup.procs", tmp_path / "none/cgroup.procs"
    argv = cgroup.confined(["sh", "-c", 'cat "$1"; echo $$', "x y", str(there)], cgroup.Plan((), (), (missing, there)))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        said, complaints = child.communicate(timeout=10)
    assert (said.split(), complaints) == (["0", str(child.pid)], "")
    assert cgroup.confined(["true"], cgroup.Plan((), (), ())) == ["true"]


def test_the_version_is_told_by_what_is_mounted(tmp_path):
    assert cgroup.detect_version(tmp_path) == 0
    for controller in cgroup.CONTROLLERS:
        (tmp_path / controller).mkdir()
        (tmp_path / controller / "cgroup.procs").touch()
    assert cgroup.detect_version(tmp_path) == 1
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids")
    assert cgroup.detect_version(tmp_path) == 2


def test_the_probe_is_a_boot_sector():
    sector = kvm.build_boot_sector()
    assert len(sector) == 512
    assert sector.endswith(b"\x55\xaa")


async def test_the_verdict_is_kept_until_the_next_boot(tmp_path, monkeypatch):
    calls = []

    async def probe(qemu, directory):
        calls.append(qemu)
        return kvm.Verdict(False, "no", boot_id)

    boot_id = "first"
    monkeypatch.setattr(kvm, "boot_id", lambda: boot_id)
    monkeypatch.setattr(kvm, "probe", probe)
    for _ in range(2):
        assert not (await kvm.find_verdict("q", tmp_path)).works
    assert len(calls) == 1
    boot_id = "second"
    await kvm.find_verdict("q", tmp_path)
    assert len(calls) == 2


def test_machine_types_and_aliases_are_read():
    text = (
        "Supported machines are:\n"
        "microvm              microvm (i386)\n"
        "pc                   Standard PC (i440FX + PIIX, 1996) (alias of pc-i440fx-7.2)\n"
        "pc-i440fx-7.2        Standard PC (i440FX + PIIX, 1996) (default)\n"
        "q35                  Standard PC (Q35 + ICH9, 2009) (alias of pc-q35-7.2)\n"
    )
    types, aliases = host.parse_machines(text)
    assert types == ("microvm", "pc", "pc-i440fx-7.2", "q35")
    assert dict(aliases) == {"pc": "pc-i440fx-7.2", "q35": "pc-q35-7.2"}


def test_the_version_is_read():
    assert host.parse_version("QEMU emulator version 7.2.22 (Debian 1:7.2)") == (7, 2, 22)
