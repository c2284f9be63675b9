"""Which bridge is whose, where several nodes (of one home, or of several) share a machine: each has one of its own.

Two nodes on one bridge would give the same addresses out twice. A claim is a locked file of the machine's own, below
/run as bridges do not outlive a boot either; it holds the node's scope, and lasts as long as the process that took it.
Called by `node` when it starts.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from isthmus.engine.node.net import host

DIRECTORY = Path("/run/isthmus/bridges")
MOST = 50


def candidates(bridge: str, kept: str) -> Iterator[str]:
    """The names to try: that of last time, the configured one, and, if it ends with 0, those that count on from it."""
    yield from dict.fromkeys(name for name in (kept, bridge) if name)
    if bridge.endswith("0"):
        yield from (name for number in range(1, MOST) if (name := f"{bridge[:-1]}{number}") != kept)


def take(name: str, scope: str) -> tuple[int, str] | None:
    """(a descriptor that holds the claim, the scope that had it before); None while another scope holds it.

    Raises OSError where such a file cannot be made.
    """
    DIRECTORY.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(_path(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    former = os.pread(descriptor, 128, 0).decode(errors="replace")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if former == scope:  # our own, of a moment ago
            return descriptor, former
        os.close(descriptor)
        return None
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, scope.encode(), 0)
    return descriptor, former


def _path(name: str) -> Path:
    """Each network namespace has bridges of its own."""
    return DIRECTORY / f"{name}-{Path('/proc/thread-self/ns/net').stat().st_ino}"


def forget(name: str, scope: str) -> None:
    """The bridge is gone, and nothing of the scope is on it."""
    with contextlib.suppress(OSError):
        if _path(name).read_text() == scope:
            _path(name).unlink()


def release(descriptor: int) -> None:
    """Give the claim up; who had it stays written there."""
    if descriptor >= 0:
        os.close(descriptor)


def give_back(descriptor: int, former: str) -> None:
    """It is not ours after all: it stays with who had it."""
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, former.encode(), 0)
    os.close(descriptor)


async def is_free(name: str, prefix: str) -> bool:
    """Whether no machine of a node that is away just now is on the bridge."""
    return not host.has_link(name) or not any(port.startswith(prefix) for port in await host.find_ports(name))
