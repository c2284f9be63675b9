"""Keeps the processes of a home running: `python -m isthmus.operations.supervisor --home D --port P --node N`.

Starts each component, starts it again when it ends (with back-off), ends them all on SIGTERM. If the supervisor is
killed itself, the kernel ends its components, so that a new one finds the port free. VMs are started in sessions of
their own and go on whatever dies. Started by `up`, or by systemd.
"""

import argparse
import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from isthmus.lib import limits, logs, run
from isthmus.lib.home import Home
from isthmus.lib.locks import locked
from isthmus.operations import state
from isthmus.operations.components import Component, components

log = logging.getLogger(__name__)
END_WITH_PARENT = ("setpriv", "--pdeathsig", "TERM", "--")
STEADY_SECONDS = 10.0  # a process that lived so long is started again at once
LONGEST_PAUSE = 15.0
SUCCESS = "exit code 0"
END_SECONDS = 10.0  # what a component gets between SIGTERM and SIGKILL
LOG_LIMIT, LOG_KEPT, LOG_LOOK_SECONDS = 64 << 20, 8 << 20, 60.0
HEAD_START_SECONDS = 5.0  # the API server's, at most: the others need it, and would only contend for the cores before


class Keeper:
    """Keeps one component."""

    def __init__(self, component: Component, home: Home) -> None:
        self._component = component
        self._log = home.logs / f"{component.name}.log"
        self._pid_file = home.run / f"{component.name}.pid"

    async def keep(self) -> None:
        """Start it, wait for its end, again and again (until it succeeds, if it is to run once); cancelled, end it."""
        pause = 0.1
        while True:
            started = time.monotonic()
            status = await self._run()
            if self._component.once and status == SUCCESS:
                self._pid_file.unlink(missing_ok=True)
                return
            steady = time.monotonic() - started > STEADY_SECONDS
            pause = 0.1 if steady else min(pause * 2, LONGEST_PAUSE)
            log.warning("%s ended (%s), starts again in %.1f s", self._component.name, status, pause)
            await asyncio.sleep(pause)

    async def _run(self) -> str:
        """From its start to its end, which is told in words; cancelled, end it."""
        try:
            process = run.start((*END_WITH_PARENT, *self._component.argv), log=self._log, env=_environment())
        except (OSError, run.CommandError) as error:  # the disk is full, or no process is left: it may go next time
            return f"it cannot be started: {error}"
        try:
            with contextlib.suppress(OSError):
                self._pid_file.write_text(str(process.pid))
            return await _wait(process.pid)
        except asyncio.CancelledError:
            await self._end(process.pid)
            raise

    async def _end(self, pid: int) -> None:
        run.kill_group(pid, signal.SIGTERM)
        try:
            await asyncio.wait_for(_wait(pid), END_SECONDS)
        except TimeoutError:
            log.warning("%s does not end, killing it", self._component.name)
            run.kill_group(pid)
            await _wait(pid)
        self._pid_file.unlink(missing_ok=True)


def _environment() -> dict[str, str]:
    return dict(os.environ) | {"PYTHONUNBUFFERED": "1"}


async def _wait(pid: int) -> str:
    """The end of a child, in words."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    descriptor = os.pidfd_open(pid)
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    _, status = os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222 (it has ended: nothing to wait for)
    code = os.waitstatus_to_exitcode(status)
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


async def supervise(home: Home, port: int, nodes: tuple[str, ...]) -> None:
    """Keep everything until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, stopping.set)
    state.write(home, port, nodes)
    server, *others = components(home, port, nodes)
    tasks = [asyncio.create_task(Keeper(server, home).keep()), asyncio.create_task(_bound_logs(home))]
    await _first(stopping.wait(), _listening(port))
    if not stopping.is_set():
        tasks += [asyncio.create_task(Keeper(component, home).keep()) for component in others]
    await stopping.wait()
    for task in reversed(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    state.clear(home)


async def _bound_logs(home: Home) -> None:
    """No log of the home's processes, our own too, grows for ever."""
    while True:
        for path in home.logs.glob("*.log"):
            logs.bound(path, LOG_LIMIT, LOG_KEPT)
        await asyncio.sleep(LOG_LOOK_SECONDS)


async def _first(*waits: Coroutine[Any, Any, object]) -> None:
    """Until one of them ends, or the head start is over; the others are cancelled."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    await asyncio.wait(tasks, timeout=HEAD_START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


async def _listening(port: int) -> None:
    """Until somebody accepts connections on a port of loopback."""
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.02)


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="isthmus-supervisor")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--node", action="append", required=True)
    arguments = parser.parse_args()
    logs.setup("supervisor")
    limits.raise_open_files()  # for all that it starts
    home = Home(arguments.home)
    try:
        with locked(home.run / "supervisor.lock", fcntl.LOCK_EX | fcntl.LOCK_NB):
            asyncio.run(supervise(home, arguments.port, tuple(arguments.node)))
    except BlockingIOError:  # two at once would start everything twice
        sys.exit(f"another supervisor keeps {home.root}")


if __name__ == "__main__":
    main()
