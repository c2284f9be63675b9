"""QEMU as a process that outlives us: start it, know it again after we were killed, notice its end.

A machine's directory says all: `machine.json` (what was started), `exit.json` (why it ended, written before we end
it ourselves), QEMU's own pid file. A process is ours if its arguments hold that pid file's path, which holds the
VMI's uid: a pid that was used again can not be mistaken for it.
"""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

from isthmus.engine.node.vm.errors import ProcessError
from isthmus.engine.node.vm.machine import Sockets
from isthmus.lib import run

START_DEADLINE = 30.0
KILL_SECONDS = 5.0  # a process that has not ended by then after SIGKILL waits in the kernel, who knows how long
PROC = Path("/proc")


class Exit(StrEnum):
    """Why a machine ended, in libvirt's words, which decide between Succeeded and Failed as in KubeVirt."""

    SHUTDOWN = "Shutdown"  # the guest powered off
    DESTROYED = "Destroyed"  # we killed it: its grace period was over, or it was deleted by force
    CRASHED = "Crashed"  # the process ended by itself
    PANICKED = "Panicked"  # the guest's kernel said so
    WATCHDOG = "Watchdog"
    NODE_SHUTDOWN = "NodeShutdown"  # it was asked to end because its host does; no word of libvirt's, but a kubelet's

    def succeeded(self, *, acpi: bool) -> bool:
        """A guest without ACPI cannot be asked to shut down: killing it is its ordinary end."""
        return self is Exit.SHUTDOWN or (self is Exit.DESTROYED and not acpi)


@dataclass(slots=True)
class Process:
    """A running QEMU, held by a descriptor so that signals can reach no one else."""

    pid: int
    pidfd: int  # -1 once it is closed: its number may be another machine's by then

    def kill(self) -> None:
        """End it now, if it is still held."""
        if self.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    async def wait(self) -> None:
        """Until it has ended. It is reaped if it was our child."""
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        loop.add_reader(self.pidfd, partial(_resolve, ended))
        try:
            await ended
        finally:
            loop.remove_reader(self.pidfd)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)  # noqa: ASYNC222 (it has ended)

    def close(self) -> None:
        """Let go of the descriptor; the process is not touched. Twice is once."""
        if self.pidfd >= 0:
            os.close(self.pidfd)
        self.pidfd = -1


async def reap(pid: int) -> None:
    """Wait for a child that we started for a machine, so that no zombie is left of it."""
    try:
        held = Process(pid, os.pidfd_open(pid))
    except ProcessLookupError:
        return
    try:
        await held.wait()
    finally:
        held.close()


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def arguments(pid: int) -> list[bytes]:
    """The command line of a process; nothing if there is none of that number."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def _open(pid: int, sockets: Sockets) -> Process | None:
    """Hold `pid` if it is the machine's. The descriptor is taken first, so what is checked is what is held."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return None
    if os.fsencode(sockets.pidfile) in arguments(pid):
        return Process(pid, pidfd)
    os.close(pidfd)
    return None


def find(sockets: Sockets) -> Process | None:
    """The machine's process, if it lives: by its pid file, else (QEMU had no time to write it) among all processes."""
    with contextlib.suppress(OSError, ValueError):
        if process := _open(int(sockets.pidfile.read_text()), sockets):
            return process
    for entry in PROC.iterdir():
        if entry.name.isdigit() and os.fsencode(sockets.pidfile) in arguments(int(entry.name)):
            return _open(int(entry.name), sockets)
    return None


def namespaced(argv: Sequence[str], netns: Path | None) -> list[str]:
    """`argv` inside a network namespace. nsenter becomes the program it runs: no process is left between."""
    return ["nsenter", f"--net={netns}", "--", *argv] if netns else list(argv)


def log_size(sockets: Sockets) -> int:
    """Where QEMU's next words will begin in its log."""
    return sockets.qemu_log.stat().st_size if sockets.qemu_log.exists() else 0


async def start(argv: Sequence[str], sockets: Sockets, timezone: str = "") -> Process:
    """Start QEMU and wait until its monitor listens. Raises ProcessError with QEMU's own words.

    `argv` may begin with commands that become QEMU. It listens before its devices are made: only an answer of the
    monitor says that the machine is whole. One that is not ready in time is killed, and may need time for that, too.
    """
    for stale in (sockets.qmp, sockets.serial, sockets.vnc, sockets.agent, sockets.pidfile):
        stale.unlink(missing_ok=True)
    offset = log_size(sockets)
    env = {**os.environ, "TZ": timezone} if timezone else None
    try:
        child = run.start(list(argv), log=sockets.qemu_log, cwd=sockets.directory, env=env)
    except run.CommandError as error:
        raise ProcessError(str(error)) from error
    if held := await _until_it_listens(child.pid, child.poll, sockets):
        child.returncode = 0  # it is waited for by its pidfd, not by Popen's destructor
        return held
    if child.poll() is not None:
        raise ProcessError(f"QEMU exited with {child.returncode}: {read_tail(sockets, offset)}")
    child.kill()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(reap(child.pid), KILL_SECONDS)
    raise ProcessError(f"QEMU was not ready within {START_DEADLINE:g} s")


async def _until_it_listens(pid: int, poll: Callable[[], int | None], sockets: Sockets) -> Process | None:
    """The process once its files are there; None if it ended (`poll` tells) or START_DEADLINE has passed."""
    deadline = asyncio.get_running_loop().time() + START_DEADLINE
    while poll() is None and asyncio.get_running_loop().time() < deadline:
        if sockets.pidfile.exists() and sockets.qmp.exists() and (held := _open(pid, sockets)):
            return held
        await asyncio.sleep(0.01)
    return None


def read_tail(sockets: Sockets, offset: int, limit: int = 2000) -> str:
    """What QEMU wrote past `offset` of its log: the last `limit` bytes of it, as one line."""
    try:
        with sockets.qemu_log.open("rb") as file:
            file.seek(max(offset, file.seek(0, os.SEEK_END) - limit))
            lines = file.read(limit).decode(errors="replace").split("\n")
    except OSError:
        return "it left no message"
    return "; ".join(line.strip() for line in lines if line.strip()) or "it left no message"


def write_json(path: Path, value: object) -> None:
    """Replace a small record so that it is either the old or the new, also after a power cut."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("w") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_json(path: Path) -> dict[str, object]:
    """A record, or nothing if it is absent or torn."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def record_exit(sockets: Sockets, reason: Exit, *, replace: bool = False) -> None:
    """Say why the machine ends, before it does. The first word counts, unless `replace`."""
    path = sockets.directory / "exit.json"
    if replace or not path.exists():
        write_json(path, {"reason": reason.value})


def find_exit(sockets: Sockets) -> Exit:
    """Why a machine that is gone ended; a process that vanished without a word crashed."""
    reason = str(read_json(sockets.directory / "exit.json").get("reason"))
    return Exit(reason) if reason in set(Exit) else Exit.CRASHED
