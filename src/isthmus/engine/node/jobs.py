"""Work that takes long, by key: started once, its outcome waits to be asked for, and whoever waits is told.

Reconcile functions must not block a key for minutes (an image is fetched, a guest shuts down): they start a job,
return, and are called again when it has ended.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from isthmus.lib.tasks import cancel_and_wait

T = TypeVar("T")


class Jobs(Generic[T]):
    """At most one job a key."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[T]] = {}

    def start(self, key: str, work: Callable[[], Coroutine[Any, Any, T]], on_end: Callable[[], None]) -> None:
        """Start `work` unless a job of that key runs or its outcome waits."""
        if key in self._tasks:
            return
        task = asyncio.create_task(work(), name=f"job {key}")
        self._tasks[key] = task
        task.add_done_callback(lambda _: on_end())

    def running(self, key: str) -> bool:
        """Whether a job of that key runs."""
        return key in self._tasks and not self._tasks[key].done()

    def take(self, key: str) -> T | None:
        """The outcome of a job that has ended: its result, or its exception raised. None if there is none."""
        task = self._tasks.get(key)
        if task is None or not task.done():
            return None
        del self._tasks[key]
        return None if task.cancelled() else task.result()

    async def cancel(self, key: str) -> None:
        """End the job of that key and drop its outcome."""
        if task := self._tasks.pop(key, None):
            await cancel_and_wait([task])

    async def close(self) -> None:
        """End all."""
        tasks, self._tasks = list(self._tasks.values()), {}
        await cancel_and_wait(tasks)
