"""The writer when the disk, the memory or the code fails: everybody is answered, nothing is lost, and it goes on."""

import asyncio
import os
import resource
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import orjson
import pytest

from isthmus.engine.store.row import Change, Key, Row
from isthmus.engine.store.store import Store, StoreError
from isthmus.engine.store.table import Table

SECONDS = 5.0  # in which everybody must have an answer


def key(name: str) -> Key:
    return ("pods", "default", name)


def put(store: Store, name: str, size: int = 0) -> asyncio.Future[None]:
    revision = store.next_revision()
    value = orjson.dumps({"metadata": {"name": name, "resourceVersion": str(revision)}, "fill": "x" * size})
    change = Change.ADDED if store.head(key(name)) is None else Change.MODIFIED
    return store.append(Row(key(name), revision, value, change))


async def outcomes(*writes: asyncio.Future[None]) -> list[object]:
    async with asyncio.timeout(SECONDS):
        return await asyncio.gather(*writes, return_exceptions=True)


async def until(condition) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
async def store(tmp_path: Path, monkeypatch) -> AsyncIterator[Store]:
    monkeypatch.setattr("isthmus.engine.store.writer.RETRY_SECONDS", 0.05)
    opened = Store(tmp_path / "store.db")
    yield opened
    await opened.close()


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow beyond 256 KiB: the kernel refuses the write (EFBIG) as a disk does that has failed."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (256 << 10, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("error", [RuntimeError("a bug"), MemoryError(), sqlite3.OperationalError("disk I/O error")])
async def test_whatever_goes_wrong_every_waiting_write_is_answered(store: Store, monkeypatch, error) -> None:
    def broken(_rows: object) -> None:
        raise error

    monkeypatch.setattr(store._log, "append", broken)
    first = put(store, "a")
    await asyncio.sleep(0)  # its transaction is on its way: the others wait behind it
    assert all(isinstance(o, StoreError) for o in await outcomes(first, put(store, "b"), put(store, "c")))
    assert store.failing and store.head(key("b")) is None
    monkeypatch.undo()
    assert await outcomes(put(store, "b")) == [None]
    assert not store.failing and store.revision == 1


async def test_a_failure_after_the_commit_loses_nothing(store: Store, monkeypatch) -> None:
    """The row is on the disk, then memory runs out: its writer is told that it failed, its revision is not reused."""
    seen: list[int] = []
    store.subscribe("pods", lambda rows: seen.extend(r.revision for r in rows))

    def broken(_table: object, _row: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(Table, "put", broken)
        (told,) = await outcomes(put(store, "a"))
    assert isinstance(told, StoreError)
    await until(lambda: not store.failing)
    assert store.get(key("a")) is not None and store.revision == 1 and seen == [1]
    assert await outcomes(put(store, "a")) == [None]
    assert store.revision == 2 and seen == [1, 2]


async def test_a_commit_that_was_reported_as_failed_and_is_there_is_a_success(store: Store, monkeypatch) -> None:
    append = store._log.append

    def reported_wrongly(rows: list[Row]) -> None:
        append(rows)
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(store._log, "append", reported_wrongly)
    assert await outcomes(put(store, "a"), put(store, "b")) == [None, None]
    assert not store.failing and store.revision == 2


async def test_what_reached_the_disk_unknown_to_us_is_found_before_the_next_write(store: Store, monkeypatch) -> None:
    append = store._log.append

    def half_blind(rows: list[Row]) -> None:
        append(rows)
        raise sqlite3.OperationalError("disk I/O error")

    def blind(_row: Row) -> bool:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(store._log, "append", half_blind)
        patch.setattr(store._log, "holds", blind)
        (told,) = await outcomes(put(store, "a"))
    assert isinstance(told, StoreError) and store.revision == 0
    (told,) = await outcomes(put(store, "b"))  # would have taken the revision of the first
    assert isinstance(told, StoreError) and "anew" in str(told)
    assert store.get(key("a")) is not None and store.revision == 1
    assert await outcomes(put(store, "b")) == [None] and store.revision == 2


async def test_a_disk_that_takes_no_more_is_found_working_again_although_nobody_writes(
    store: Store, small_files: None
) -> None:
    assert await outcomes(put(store, "small")) == [None]
    (told,) = await outcomes(put(store, "large", 400 << 10))
    assert isinstance(told, StoreError) and store.failing and not told.full
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await until(lambda: not store.failing)
    assert await outcomes(put(store, "large", 400 << 10)) == [None]


async def test_writes_that_wait_when_the_server_ends_are_answered(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    write = put(store, "a")
    await asyncio.sleep(0)
    task = store._writer._committer
    assert task
    task.cancel()
    (told,) = await outcomes(write)
    assert isinstance(told, StoreError)
    await store.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
async def test_a_full_file_system_fails_writes_and_freeing_it_heals_the_store(mount_tmpfs, monkeypatch) -> None:
    monkeypatch.setattr("isthmus.engine.store.writer.RETRY_SECONDS", 0.05)
    disk: Path = mount_tmpfs("2m")
    store = Store(disk / "store.db")
    await put(store, "kept")
    (disk / "fill").write_bytes(b"x" * (1400 << 10))
    told = await outcomes(*(put(store, f"p{i}", 20 << 10) for i in range(60)))
    refused = [o for o in told if o is not None]
    assert refused and all(isinstance(o, StoreError) and o.full for o in refused) and store.failing
    (disk / "fill").unlink()
    await until(lambda: not store.failing)
    assert await outcomes(put(store, "after", 20 << 10)) == [None]
    present = {row.key[2] for row in store.table("pods").list(None)}
    await store.close()
    again = Store(disk / "store.db")
    assert {row.key[2] for row in again.table("pods").list(None)} == present and {"kept", "after"} <= present
    await again.close()
