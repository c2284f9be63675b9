"""What asyncio lacks: back-off, jitter, and a set of background tasks that cannot fail silently.

Used by the informers and queues of `client`, and by every loop of the engine.
"""

import asyncio
import logging
import random
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any

log = logging.getLogger(__name__)


def jittered(seconds: float, share: float = 0.5) -> float:
    """`seconds` lengthened by a random part of `share` of it, so that many waiters do not return at once."""
    return seconds * (1 + share * random.random())  # noqa: S311 (no secret)


@dataclass(slots=True)
class Backoff:
    """Exponential delays: `base`, 2*base, 4*base ... up to `cap` seconds, each with jitter."""

    base: float = 0.1
    cap: float = 30.0
    jitter: float = 0.5
    attempts: int = field(default=0, init=False)

    def next(self) -> float:
        """The delay before the next attempt, in seconds."""
        plain = min(self.cap, self.base * 2 ** min(self.attempts, 62))
        self.attempts += 1
        return jittered(plain, self.jitter)

    def reset(self) -> None:
        """After a success: start from `base` again."""
        self.attempts = 0


async def cancel_and_wait(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel `tasks` and wait until each has really ended; what they raise is dropped."""
    pending = [task for task in tasks if task is not asyncio.current_task()]
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)


class TaskSet:
    """Background tasks with one owner: referenced while they run, logged when they fail, cancelled together.

    Unlike `asyncio.TaskGroup` one failure does not end the others: a server's connections must not share a fate.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Start `work`; a failure is logged under `name`."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task %s failed", task.get_name(), exc_info=error)

    def __len__(self) -> int:
        return len(self._tasks)

    async def close(self) -> None:
        """Cancel all and wait for their end."""
        await cancel_and_wait(list(self._tasks))
