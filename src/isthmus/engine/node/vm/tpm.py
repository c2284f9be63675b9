"""A machine's TPM 2.0: swtpm, a process beside QEMU that ends when QEMU lets go of it.

Called by `machines` before a start. Its state lies in the machine's own directory, or (`tpm.persistent`) in the one
that a VM keeps from one instance to the next: keys sealed to it are then still there after a restart.
"""

import asyncio
import os
import shutil
import signal
from pathlib import Path

from isthmus.engine.node.vm import process
from isthmus.engine.node.vm.errors import ProcessError
from isthmus.engine.node.vm.machine import Sockets
from isthmus.lib import run

PROGRAM = "swtpm"
START_SECONDS, STOP_SECONDS = 10.0, 2.0


def find_program() -> str:
    """The path of swtpm; empty if this node has none."""
    return shutil.which(PROGRAM) or ""


def build_argv(program: str, sockets: Sockets, state: Path) -> list[str]:
    """The command line; the socket is named relative to the machine's directory, as QEMU's are."""
    return [
        program,
        "socket",
        "--tpm2",
        "--tpmstate",
        f"dir={state},mode=0600",
        "--ctrl",
        f"type=unixio,path={sockets.tpm.name},mode=0600",
        "--pid",
        f"file={sockets.tpm_pidfile}",
        "--terminate",
    ]


async def start(program: str, sockets: Sockets, state: Path) -> int:
    """Start it, wait until it listens and give its pid. Raises ProcessError with its own words."""
    await stop(sockets)
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    sockets.tpm.unlink(missing_ok=True)
    log = sockets.directory / "swtpm.log"
    try:
        child = run.start(build_argv(program, sockets, state), log=log, cwd=sockets.directory)
    except run.CommandError as error:
        raise ProcessError(str(error)) from error
    deadline = asyncio.get_running_loop().time() + START_SECONDS
    while not sockets.tpm.exists():
        if child.poll() is not None or asyncio.get_running_loop().time() > deadline:
            child.kill()
            tail = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise ProcessError(f"swtpm does not start: {tail[0] if tail else 'it left no message'}")
        await asyncio.sleep(0.01)
    child.returncode = 0  # it outlives us, and ends with QEMU
    return child.pid


async def stop(sockets: Sockets) -> None:
    """End one that QEMU never came to, or has just left, if there is one; it is gone when this returns."""
    try:
        pid = int(sockets.tpm_pidfile.read_text())
        held = process.Process(pid, os.pidfd_open(pid))
    except (OSError, ValueError):
        return
    try:
        if os.fsencode(f"file={sockets.tpm_pidfile}") in process.arguments(pid):
            await _end(held)
    finally:
        held.close()


async def _end(held: process.Process) -> None:
    signal.pidfd_send_signal(held.pidfd, signal.SIGTERM)
    try:
        await asyncio.wait_for(held.wait(), STOP_SECONDS)
    except TimeoutError:
        held.kill()
        await held.wait()
