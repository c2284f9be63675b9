"""Keys waiting to be reconciled: each at most once, never two workers on one key, retries slowed down.

client-go's rate-limiting work queue for asyncio. A key that is added while a worker has it comes back after `done`.
"""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from isthmus.lib.tasks import Backoff

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """`await get()` a key, work, `done(key)`; after a failure also `add_rate_limited(key)`, else `forget(key)`."""

    def __init__(self, *, base: float = 0.05, cap: float = 60.0) -> None:
        self._ready: deque[K] = deque()
        self._dirty: set[K] = set()  # to be worked on (queued, or again when done)
        self._active: set[K] = set()
        self._backoffs: dict[K, Backoff] = {}
        self._base, self._cap = base, cap
        self._delayed: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._waiters: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, key: K) -> None:
        """Queue `key` unless it is queued."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._active:
            self._push(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Queue `key` in `seconds`; of several delays for one key the earliest counts."""
        if seconds <= 0:
            self.add(key)
            return
        at = asyncio.get_running_loop().time() + seconds
        if self._due.get(key, at + 1) <= at:
            return
        self._due[key] = at
        heapq.heappush(self._delayed, (at, next(self._order), key))
        self._arm()

    def add_rate_limited(self, key: K) -> None:
        """Queue `key` after its next back-off delay."""
        backoff = self._backoffs.setdefault(key, Backoff(self._base, self._cap))
        self.add_after(key, backoff.next())

    def forget(self, key: K) -> None:
        """A success: the next failure of `key` starts with the shortest delay."""
        self._backoffs.pop(key, None)

    def retries(self, key: K) -> int:
        """How often `key` has failed in a row."""
        backoff = self._backoffs.get(key)
        return backoff.attempts if backoff else 0

    async def get(self) -> K:
        """The next key, held until `done`."""
        while not self._ready:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if not waiter.cancelled() and self._ready:
                    self._wake()  # the wake-up was ours; hand it on
                raise
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._active.add(key)
        return key

    def done(self, key: K) -> None:
        """The worker has finished with `key`."""
        self._active.discard(key)
        if key in self._dirty:
            self._push(key)

    def _push(self, key: K) -> None:
        self._ready.append(key)
        self._wake()

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(self._delayed[0][0], self._ripe) if self._delayed else None

    def _ripe(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._delayed and self._delayed[0][0] <= now:
            at, _, key = heapq.heappop(self._delayed)
            if self._due.get(key) == at:  # not superseded by an earlier one
                del self._due[key]
                self.add(key)
        self._arm()

    def close(self) -> None:
        """Drop the timer; workers are cancelled by their owner."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
