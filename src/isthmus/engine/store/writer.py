"""The one writer of the log: group commit, and an answer for every write whatever happens.

Rows that arrive while a transaction is on its way to the disk share the next one. A commit that fails (disk full, no
memory, a bug) fails every write that waits behind it, because they may be built upon it, and the heads go back to what
was committed. From then on the writer is `failing`, which the server's health tells, until the disk has taken a write
again: each new write tries, and so does a timer, so that health is right where nobody dares to write.

A commit may be reported as failed and be on the disk all the same: what is there is read and published before anything
is written upon it. Used by `store` alone; everything here but the log itself runs on the event loop's thread.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from isthmus.engine.store.row import Key, Row
from isthmus.engine.store.sqlite import Log

log = logging.getLogger(__name__)
RETRY_SECONDS = 2.0  # between two looks at whether a disk that failed takes writes again
Follower = Callable[[Sequence[Row]], None]
T = TypeVar("T")


class StoreError(Exception):
    """A write did not reach the disk, as far as is known; `full`: for want of room there."""

    def __init__(self, message: str, *, full: bool = False) -> None:
        super().__init__(message)
        self.full = full


class Writer:
    """The writes that wait for the disk, in order of their revisions.

    Rows that are there are handed to `keep` (which makes them the present) and then to `tell` (which may look at it).
    """

    def __init__(self, log_: Log, keep: Follower, tell: Follower) -> None:
        self._log, self._keep, self._tell = log_, keep, tell
        self._thread = ThreadPoolExecutor(1, "store-writer")
        self._heads: dict[Key, Row] = {}  # the last write to each object that waits
        self._pending: list[tuple[Row, asyncio.Future[None]]] = []
        self._committing: list[tuple[Row, asyncio.Future[None]]] = []
        self._committer: asyncio.Task[None] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self.revision = log_.revision()  # last committed
        self.failing = False  # whether the last commit did not reach the disk
        self._allocated = self.revision

    async def close(self) -> None:
        """Commit what waits, then end."""
        while self._committer:
            await asyncio.wait([self._committer])
        if self._retry:
            self._retry.cancel()
        self._thread.shutdown()

    def run(self, function: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
        """Run something that writes in the writer's thread, between two commits."""
        return asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    # -- what waits ---------------------------------------------------------------------------------------------------

    def next_revision(self) -> int:
        """The revision that the next `append` must carry."""
        return self._allocated + 1

    def append(self, row: Row) -> asyncio.Future[None]:
        """Queue a row with `next_revision`. The future raises StoreError if the row does not reach the disk."""
        if row.revision != self._allocated + 1:
            raise ValueError(f"revision {row.revision} is not the next one, {self._allocated + 1}")
        self._allocated = row.revision
        self._heads[row.key] = row
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append((row, done))
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_all())
        return done

    def head(self, key: Key) -> Row | None:
        """The last write to an object, if it waits."""
        return self._heads.get(key)

    def heads(self, resource: str) -> Iterator[Row]:
        """The last writes to the objects of a resource that wait."""
        return (row for key, row in self._heads.items() if key[0] == resource)

    async def settled(self, row: Row) -> None:
        """Wait until a row that `head` gave is on disk. Raises StoreError."""
        for waiting, done in (*self._committing, *self._pending):
            if waiting is row:
                await asyncio.shield(done)

    # -- committing ---------------------------------------------------------------------------------------------------

    async def _commit_all(self) -> None:
        try:
            if self.failing:
                await self._recover()
            while self._pending:
                self._committing, self._pending = self._pending, []
                await self._commit(self._committing)
        except BaseException as error:
            self._fail(error)
            if not isinstance(error, Exception):
                raise
        finally:
            self._committing = []
            self._committer = None

    async def _commit(self, batch: Sequence[tuple[Row, asyncio.Future[None]]]) -> None:
        rows = [row for row, _ in batch]
        try:
            await self.run(self._log.append, rows)
        except Exception as error:
            if not await self.run(self._log.holds, rows[-1]):
                raise
            log.warning("a commit was reported as failed (%s), and is there all the same", error)
        self._publish(rows)
        for _, done in batch:
            if not done.done():
                done.set_result(None)

    def _publish(self, rows: Sequence[Row]) -> None:
        self._keep(rows)
        for row in rows:
            if self._heads.get(row.key) is row:
                del self._heads[row.key]
        self.revision = rows[-1].revision
        self._tell(rows)
        for row in rows:  # what belonged to the event only
            row.previous = row.frames = None

    # -- failing ------------------------------------------------------------------------------------------------------

    def _fail(self, error: BaseException) -> None:
        """Answer everybody who waits, go back to what was committed, and look again in a while."""
        waiting = [done for _, done in (*self._committing, *self._pending) if not done.done()]
        reason = str(error) or type(error).__name__
        why = StoreError(f"the write is not known to be on the disk: {reason}", full=_is_full(error))
        if waiting or not self.failing:
            is_bug = not isinstance(error, sqlite3.Error | StoreError | asyncio.CancelledError)
            log.error("%s (%d writes waited)", why, len(waiting), exc_info=error if is_bug else None)
        self._pending = []
        self._heads.clear()
        self._allocated = self.revision
        self.failing = True
        for done in waiting:
            done.set_exception(why)
        if self._retry is None and isinstance(error, Exception):
            self._retry = asyncio.get_running_loop().call_later(RETRY_SECONDS, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        if self.failing and self._committer is None:
            self._committer = asyncio.create_task(self._commit_all())

    async def _recover(self) -> None:
        """Learn what is on the disk, and whether it takes writes. Raises whatever it is that still does not work."""
        if rows := await self.run(self._log.newer, self.revision):
            self._publish(rows)
            raise StoreError("an earlier write is there after all, and this one did not know of it: make it anew")
        await self.run(self._log.touch)
        self.failing = False
        log.info("the disk takes writes again")


def _is_full(error: BaseException) -> bool:
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
