"""The store: current objects in memory, history on disk, one writer, group commit.

A writer on the event loop reads `head` (which includes writes that still wait for the disk), builds the new bytes with
`next_revision` inside, and calls `append`, all without an await between: so no two writers can ever conflict. `append`
gives a future that ends when the transaction that carries the row was fsynced; writes that arrive meanwhile share the
next transaction. Readers see committed rows only. A commit that fails (disk full) fails every write that waits behind
it, because they may be built upon it, and the heads go back to what is on disk.
"""

import asyncio
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from isthmus.engine.store.hub import Dropped, Hub, Sink
from isthmus.engine.store.row import Change, Key, Row
from isthmus.engine.store.sqlite import Log
from isthmus.engine.store.table import Table

log = logging.getLogger(__name__)
COMPACTION_INTERVAL = 300.0  # seconds of history that watchers can resume from, at least
COMPACTION_STEP = 2000  # revisions in one transaction: writers wait no longer than for that


class StoreError(Exception):
    """A write did not reach the disk."""


class CompactedError(Exception):
    """The history that was asked for is no longer kept."""


class Store:
    """One open log. Every method but the blocking `__init__` is for the event loop's thread."""

    def __init__(self, path: Path) -> None:
        self.hub = Hub()
        self._log = Log(path)
        self._history = Log(path, read_only=True)
        self._writer = ThreadPoolExecutor(1, "store-writer")
        self._reader = ThreadPoolExecutor(1, "store-reader")
        self._tables: dict[str, Table] = {}
        self._heads: dict[Key, Row] = {}  # writes that wait for the disk
        self._pending: list[tuple[Row, asyncio.Future[None]]] = []
        self._committing: list[tuple[Row, asyncio.Future[None]]] = []
        self._committer: asyncio.Task[None] | None = None
        self._compactor: asyncio.Task[None] | None = None
        self.revision = self._log.revision()  # last committed
        self.failing = False  # whether the last commit did not reach the disk
        self.compacted = self._log.meta("compacted")
        self._forgotten = self.compacted  # how far compaction has come on disk
        self._unknown = self.compacted  # up to here any resource may have had deletions of which nothing is left
        self._allocated = self.revision
        for row in self._log.snapshot(self.revision):
            self.table(row.key[0]).put(row)
        for resource, revision in self._log.last_revisions():
            self.table(resource).last_revision = max(revision, self._unknown)  # a deletion's, perhaps: it left no row

    def start(self) -> None:
        """Begin compacting in the background."""
        self._compactor = asyncio.create_task(self._compact_forever())

    async def close(self) -> None:
        """Commit what waits, then close."""
        if self._compactor:
            self._compactor.cancel()
        while self._committer:
            await asyncio.wait([self._committer])
        self._writer.shutdown()
        self._reader.shutdown()
        self._history.close()
        self._log.close()

    # -- reading ------------------------------------------------------------------------------------------------------

    def table(self, resource: str) -> Table:
        """The committed objects of one resource."""
        if (table := self._tables.get(resource)) is None:
            table = self._tables[resource] = Table(self._unknown)
        return table

    def get(self, key: Key) -> Row | None:
        """The committed object."""
        return self.table(key[0]).rows.get(key[1:])

    def head(self, key: Key) -> Row | None:
        """The object as the next write must build upon it."""
        row = self._heads.get(key) or self.get(key)
        return None if row is None or row.change is Change.DELETED else row

    def heads(self, resource: str) -> Iterator[Row]:
        """Every object of a resource as the next write must build upon it."""
        waiting = {key: row for key, row in self._heads.items() if key[0] == resource}
        yield from (row for row in waiting.values() if row.change is not Change.DELETED)
        yield from (row for row in self.table(resource).rows.values() if row.key not in waiting)

    async def page(
        self,
        resource: str,
        revision: int,
        *,
        namespace: str | None = None,
        after: tuple[str, str] | None = None,
        limit: int = -1,
    ) -> list[Row]:
        """The objects of one resource as they were at `revision`, in key order. Raises CompactedError.

        Of one namespace or (None) of all, beyond the key `after` if given; at most `limit`, -1 for all.
        """
        loop = asyncio.get_running_loop()
        rows = await loop.run_in_executor(self._reader, self._history.page, resource, revision, namespace, after, limit)
        if revision < self.compacted:  # perhaps only since the read began
            raise CompactedError
        return rows

    async def after(self, resource: str, revision: int, until: int, limit: int = -1) -> list[Row]:
        """The first `limit` changes of one resource in (revision, until]. Raises CompactedError."""
        if revision < self.compacted:
            raise CompactedError
        if self.table(resource).last_revision <= revision:
            return []
        loop = asyncio.get_running_loop()
        rows = await loop.run_in_executor(self._reader, self._history.after, revision, resource, until, limit)
        if revision < self.compacted:
            raise CompactedError
        return rows

    def subscribe(self, resource: str, sink: Sink, dropped: Dropped | None = None) -> int:
        """Call `sink` with every commit's rows after the revision that this returns; `dropped`: see Hub."""
        self.hub.subscribe(resource, sink, dropped)
        return self.revision

    # -- writing ------------------------------------------------------------------------------------------------------

    def next_revision(self) -> int:
        """The revision that the next `append` must carry."""
        return self._allocated + 1

    def append(self, row: Row) -> asyncio.Future[None]:
        """Queue a row built on `head` with `next_revision`. The future raises StoreError if the disk refuses it."""
        if row.revision != self._allocated + 1:
            raise ValueError(f"revision {row.revision} is not the next one, {self._allocated + 1}")
        self._allocated = row.revision
        self._heads[row.key] = row
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append((row, done))
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_all())
        return done

    async def settled(self, row: Row) -> None:
        """Wait until a row that `head` gave is on disk. Raises StoreError."""
        for waiting, done in (*self._committing, *self._pending):
            if waiting is row:
                await asyncio.shield(done)

    async def _commit_all(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._pending:
                batch = self._committing = self._pending
                self._pending = []
                try:
                    await loop.run_in_executor(self._writer, self._log.append, [row for row, _ in batch])
                except (sqlite3.Error, UnicodeError, MemoryError) as error:
                    log.error("commit of %d writes failed: %s", len(batch), error)
                    if await loop.run_in_executor(self._writer, self._reached_disk, batch[-1][0].revision):
                        self._publish(batch)
                    else:
                        self._fail([*batch, *self._pending], error)
                else:
                    self._publish(batch)
        finally:
            self._committing = []
            self._committer = None

    def _publish(self, batch: list[tuple[Row, asyncio.Future[None]]]) -> None:
        rows = []
        for row, _ in batch:
            row.previous = self.get(row.key)
            self.table(row.key[0]).put(row)
            if self._heads.get(row.key) is row:
                del self._heads[row.key]
            rows.append(row)
        self.revision = rows[-1].revision
        self.failing = False
        self.hub.publish(rows)
        for row, done in batch:
            row.previous = row.frames = None
            if not done.done():
                done.set_result(None)

    def _reached_disk(self, revision: int) -> bool:
        """Whether a transaction that was reported as failed is in the log all the same. Runs in the writer's thread."""
        try:
            return self._log.revision() >= revision
        except sqlite3.Error:
            return False

    def _fail(self, waiting: list[tuple[Row, asyncio.Future[None]]], error: Exception) -> None:
        self._pending = []
        self._heads.clear()
        self._allocated = self.revision
        self.failing = True
        for _, done in waiting:
            if not done.done():
                done.set_exception(StoreError(f"the write did not reach the disk: {error}"))

    # -- forgetting ---------------------------------------------------------------------------------------------------

    async def compact(self, revision: int) -> None:
        """Forget the history up to `revision`, step by step, so that writers get their turns."""
        loop = asyncio.get_running_loop()
        self.compacted = max(self.compacted, revision)
        gone = 0
        while self._forgotten < revision:
            upper = min(self._forgotten + COMPACTION_STEP, revision)
            gone += await loop.run_in_executor(self._writer, self._log.compact, self._forgotten, upper)
            self._forgotten = upper
        log.info("compacted to revision %d: %d rows went", revision, gone)

    async def _compact_forever(self) -> None:
        marks: deque[tuple[float, int]] = deque()
        while True:
            marks.append((time.monotonic(), self.revision))
            await asyncio.sleep(COMPACTION_INTERVAL)
            revision = marks.popleft()[1]
            if revision > self.compacted:
                try:
                    await self.compact(revision)
                except sqlite3.Error as error:
                    log.error("compaction failed, will try again: %s", error)
