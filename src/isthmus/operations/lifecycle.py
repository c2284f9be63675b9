"""up and down: from nothing to a platform that answers, and back. Called by the CLI."""

import os
import signal
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from isthmus.lib import run
from isthmus.lib.home import Home
from isthmus.lib.locks import locked
from isthmus.operations import identities, state
from isthmus.operations.components import components

READY_SECONDS = 30.0
DOWN_SECONDS = 30.0


class LifecycleError(Exception):
    """The platform could not be brought up or down; `str()` says why and what to do."""


def up(home: Home, port: int, nodes: Sequence[str]) -> state.State:
    """Start the platform in the background and wait until it is ready. A second call finds it running.

    Raises LifecycleError.
    """
    _make_directories(home)
    with locked(home.run / "up.lock"):  # of two at once one makes the identities, the other finds it running
        return _up(home, port, nodes)


def _up(home: Home, port: int, nodes: Sequence[str]) -> state.State:
    if running := state.read(home):
        wait_ready(home, running.port)
        return running
    prepare(home, port, nodes)
    run.start(supervisor_argv(home, port, nodes), log=home.logs / "supervisor.log")
    wait_ready(home, port)
    started = state.read(home)
    if started is None:
        raise LifecycleError(f"the supervisor has ended; its log is {home.logs / 'supervisor.log'}")
    return started


def prepare(home: Home, port: int, nodes: Sequence[str]) -> None:
    """Make the directories and identities. Raises LifecycleError if the data directory cannot be written."""
    _make_directories(home)
    with _told(home):
        identities.prepare(home, f"https://127.0.0.1:{port}", components(home, port, nodes))


def _make_directories(home: Home) -> None:
    with _told(home):
        for directory in (home.root, home.pki, home.logs, home.run):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextmanager
def _told(home: Home) -> Iterator[None]:
    """What fails in the block is told to a person. Raises LifecycleError."""
    try:
        yield
    except OSError as error:
        raise LifecycleError(f"{home.root} cannot be written ({error.strerror}): choose another --data-dir") from error


def supervisor_argv(home: Home, port: int, nodes: Sequence[str]) -> list[str]:
    """The command line of the supervisor."""
    names = [argument for node in nodes for argument in ("--node", node)]
    return [
        sys.executable,
        "-m",
        "isthmus.operations.supervisor",
        "--home",
        str(home.root),
        "--port",
        str(port),
        *names,
    ]


def ready(home: Home, port: int, timeout: float = 2.0) -> bool:
    """Whether the API server says so."""
    context = ssl.create_default_context(cafile=str(home.pki / "ca.crt"))
    try:
        with urllib.request.urlopen(f"https://127.0.0.1:{port}/readyz", timeout=timeout, context=context) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def wait_ready(home: Home, port: int) -> None:
    """Wait until the API server is ready. Raises LifecycleError."""
    deadline = time.monotonic() + READY_SECONDS
    while not ready(home, port):
        if time.monotonic() > deadline:
            raise LifecycleError(
                f"the API server does not answer on port {port} after {READY_SECONDS:g} s; its log is "
                f"{home.logs / 'apiserver.log'}"
            )
        time.sleep(0.02)


def down(home: Home) -> bool:
    """End the platform's processes; VMs go on. False if it was not running. Raises LifecycleError."""
    running = state.read(home)
    if running is None:
        return False
    os.kill(running.pid, signal.SIGTERM)
    deadline = time.monotonic() + DOWN_SECONDS
    while state.process_start(running.pid) == running.started:
        if time.monotonic() > deadline:
            raise LifecycleError(f"the supervisor (pid {running.pid}) does not end within {DOWN_SECONDS:g} s")
        time.sleep(0.05)
    return True
