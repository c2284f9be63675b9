"""The store: current objects in memory, history on disk, one writer, group commit.

A writer on the event loop reads `head` (which includes writes that still wait for the disk), builds the new bytes with
`next_revision` inside, and calls `append`, all without an await between: so no two writers can ever conflict. `append`
gives a future that ends when the transaction that carries the row was fsynced (`writer`). Readers see committed rows
only.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from isthmus.engine.store.hub import Dropped, Hub, Sink
from isthmus.engine.store.row import Change, Key, Row
from isthmus.engine.store.sqlite import Log
from isthmus.engine.store.table import Table
from isthmus.engine.store.writer import StoreError, Writer

__all__ = ["CompactedError", "Store", "StoreError"]

log = logging.getLogger(__name__)
COMPACTION_INTERVAL = 300.0  # seconds of history that watchers can resume from, at least
COMPACTION_STEP = 2000  # revisions in one transaction: writers wait no longer than for that


class CompactedError(Exception):
    """The history that was asked for is no longer kept."""


class Store:
    """One open log. Every method but the blocking `__init__` is for the event loop's thread."""

    def __init__(self, path: Path) -> None:
        self.hub = Hub()
        self._log = Log(path)
        self._history = Log(path, read_only=True)
        self._writer = Writer(self._log, self._keep, self.hub.publish)
        self._reader = ThreadPoolExecutor(1, "store-reader")
        self._tables: dict[str, Table] = {}
        self._compactor: asyncio.Task[None] | None = None
        self.compacted = self._log.meta("compacted")
        self._forgotten = self.compacted  # how far compaction has come on disk
        self._unknown = self.compacted  # up to here any resource may have had deletions of which nothing is left
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
        await self._writer.close()
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
        row = self._writer.head(key) or self.get(key)
        return None if row is None or row.change is Change.DELETED else row

    def heads(self, resource: str) -> Iterator[Row]:
        """Every object of a resource as the next write must build upon it."""
        waiting = {row.key: row for row in self._writer.heads(resource)}
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

    @property
    def revision(self) -> int:
        """The last committed revision."""
        return self._writer.revision

    @property
    def failing(self) -> bool:
        """Whether the last commit did not reach the disk: until one does again, writes are likely to be refused."""
        return self._writer.failing

    def next_revision(self) -> int:
        """The revision that the next `append` must carry."""
        return self._writer.next_revision()

    def append(self, row: Row) -> asyncio.Future[None]:
        """Queue a row built on `head` with `next_revision`. The future raises StoreError if the disk refuses it."""
        return self._writer.append(row)

    async def settled(self, row: Row) -> None:
        """Wait until a row that `head` gave is on disk. Raises StoreError."""
        await self._writer.settled(row)

    def _keep(self, rows: Sequence[Row]) -> None:
        """Committed rows are the present from now on."""
        for row in rows:
            row.previous = self.get(row.key)
            self.table(row.key[0]).put(row)

    # -- forgetting ---------------------------------------------------------------------------------------------------

    async def compact(self, revision: int) -> None:
        """Forget the history up to `revision`, step by step, so that writers get their turns."""
        self.compacted = max(self.compacted, revision)
        gone = 0
        while self._forgotten < revision:
            upper = min(self._forgotten + COMPACTION_STEP, revision)
            gone += await self._writer.run(self._log.compact, self._forgotten, upper)
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
                except Exception:
                    log.exception("compaction failed, will try again")
