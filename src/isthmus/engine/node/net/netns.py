"""Do something inside another network namespace: in a thread of its own, which ends there.

Namespaces belong to threads, and what is opened in one (a socket) stays in it whoever uses it later; so a thread
enters, opens and dies, and the event loop never leaves the node's namespace. Python has `os.setns` from 3.12 on only.
"""

import asyncio
import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

NAMESPACES = Path("/run/netns")
"""Where `ip netns` keeps the names."""

_CLONE_NEWNET = 0x40000000
_T = TypeVar("_T")


def path_of(name: str) -> Path:
    """The file that is the namespace `name`."""
    return NAMESPACES / name


def is_alive(name: str) -> bool:
    """Whether the name stands for a namespace, and is not just the file that a lost mount leaves."""
    try:
        return path_of(name).stat().st_dev == Path("/proc/self/ns/net").stat().st_dev
    except OSError:
        return False


async def run_inside(name: str, work: Callable[[], _T]) -> _T:
    """What `work()` returns or raises inside the namespace `name`. Raises OSError if there is no such namespace."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()

    def settle(result: _T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def body() -> None:
        try:
            enter(path_of(name))
            result, error = work(), None
        except BaseException as caught:  # noqa: BLE001 (it is raised in the caller)
            result, error = None, caught
        loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=body, name=f"netns-{name}", daemon=True).start()
    return await done


def enter(path: Path) -> None:
    """Move the calling thread into a network namespace, for the rest of its life."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(descriptor, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter the network namespace {path}")
    finally:
        os.close(descriptor)
