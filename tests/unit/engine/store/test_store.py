"""The store: durable, ordered, and the same after any crash."""

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.engine.store.row import Change, Key, Row
from isthmus.engine.store.store import CompactedError, Store, StoreError


def put(store: Store, name: str, change: Change | None = None, resource: str = "pods", **fields: object):
    key: Key = (resource, "default", name)
    if change is None:
        change = Change.ADDED if store.head(key) is None else Change.MODIFIED
    revision = store.next_revision()
    value = orjson.dumps({"metadata": {"name": name, "resourceVersion": str(revision)}, **fields})
    return store.append(Row(key, revision, value, change))


def names(rows: Sequence[Row]) -> list[str]:
    return [row.key[2] for row in rows]


async def test_a_write_is_read_back_after_reopening(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    await put(store, "a", spec=1)
    await put(store, "a", spec=2)
    await store.close()
    again = Store(tmp_path / "store.db")
    row = again.get(("pods", "default", "a"))
    assert row is not None and row.decode()["spec"] == 2 and again.revision == 2
    await again.close()


async def test_readers_do_not_see_a_write_before_it_is_on_disk_but_writers_do(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    done = put(store, "a")
    assert store.get(("pods", "default", "a")) is None
    assert store.head(("pods", "default", "a")) is not None
    await done
    assert store.get(("pods", "default", "a")) is not None
    await store.close()


async def test_a_deleted_object_is_gone_and_its_name_is_free(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    await put(store, "a")
    await put(store, "a", Change.DELETED)
    assert store.head(("pods", "default", "a")) is None
    await put(store, "a")
    assert names(store.table("pods").list(None)) == ["a"]
    await store.close()


async def test_concurrent_writes_share_commits_and_arrive_in_order(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    seen: list[int] = []
    batches: list[int] = []

    def sink(rows: Sequence[Row]) -> None:
        seen.extend(r.revision for r in rows)
        batches.append(len(rows))

    store.subscribe("pods", sink)
    await asyncio.gather(*(put(store, f"p{i}") for i in range(500)))
    assert seen == list(range(1, 501))
    assert len(batches) < 50
    await store.close()


async def test_a_failed_commit_fails_its_writes_and_leaves_no_trace(tmp_path: Path, monkeypatch) -> None:
    store = Store(tmp_path / "store.db")
    await put(store, "kept")

    def full(_rows: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(store._log, "append", full)
    first, second = put(store, "a"), put(store, "b")
    for write in (first, second):
        with pytest.raises(StoreError, match="disk is full"):
            await write
    monkeypatch.undo()
    assert store.head(("pods", "default", "a")) is None
    await put(store, "c")
    assert names(store.table("pods").list(None)) == ["c", "kept"] and store.revision == 2
    await store.close()


async def test_history_after_a_revision_tells_what_was_replaced(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    for spec in range(3):
        await put(store, "a", spec=spec)
    await put(store, "other", resource="nodes")
    await put(store, "a", Change.DELETED)
    rows = await store.after("pods", 1, store.revision)
    assert [(r.revision, r.change.name) for r in rows] == [(2, "MODIFIED"), (3, "MODIFIED"), (5, "DELETED")]
    assert rows[0].previous is not None and rows[0].previous.decode()["spec"] == 0
    await store.close()


async def test_a_snapshot_shows_the_objects_as_they_were(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    await put(store, "a", spec=1)
    await put(store, "b", spec=1)
    revision = store.revision
    await put(store, "a", spec=2)
    await put(store, "b", Change.DELETED)
    assert [r.decode()["spec"] for r in await store.page("pods", revision)] == [1, 1]
    await store.close()


async def test_compaction_keeps_the_present_and_refuses_the_past(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    for spec in range(5):
        await put(store, "a", spec=spec)
    await put(store, "b")
    await put(store, "b", Change.DELETED)
    await store.compact(store.revision)
    with pytest.raises(CompactedError):
        await store.after("pods", 3, store.revision)
    await store.close()
    again = Store(tmp_path / "store.db")
    assert names(again.table("pods").list(None)) == ["a"]
    assert again.revision == 7, "revisions never go back, even when the newest row was forgotten"
    assert again.compacted == 7
    await again.close()


async def test_a_row_that_does_not_carry_the_next_revision_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    with pytest.raises(ValueError, match="not the next one"):
        store.append(Row(("pods", "", "a"), 5, b"{}"))
    await store.close()


async def test_lists_are_in_key_order_and_go_on_after_a_key(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    await asyncio.gather(*(put(store, name) for name in ("b", "a-b", "a", "c")))
    table = store.table("pods")
    assert names(table.list("default")) == ["a", "a-b", "b", "c"]
    assert names(table.list("default", ("default", "a"))) == ["a-b", "b", "c"]
    assert table.list("defaul") == [] and table.list("zzz") == []
    await store.close()


writes = st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=40)


@settings(max_examples=40, deadline=None)
@given(writes, st.integers(0, 40))
def test_replaying_the_history_gives_the_present(tmp_path_factory, script: list[tuple[str, bool]], since: int) -> None:
    async def run() -> None:
        store = Store(tmp_path_factory.mktemp("store") / "store.db")
        model: dict[str, int] = {}
        states = [dict(model)]
        for name, delete in script:
            if delete and name in model:
                del model[name]
                await put(store, name, Change.DELETED)
            else:
                model[name] = store.next_revision()
                await put(store, name)
            states.append(dict(model))
        start = min(since, len(states) - 1)
        replayed = dict(states[start])
        for row in await store.after("pods", start, store.revision):
            if row.change is Change.DELETED:
                del replayed[row.key[2]]
            else:
                replayed[row.key[2]] = row.revision
        assert replayed == model
        assert {r.key[2]: r.revision for r in store.table("pods").list(None)} == model
        await store.close()

    asyncio.run(run())


async def test_a_watcher_that_resumes_after_a_restart_misses_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    await put(store, "z")
    await put(store, "a")
    await put(store, "b")
    await put(store, "b", Change.DELETED)
    await store.close()
    again = Store(tmp_path / "store.db")
    missed = await again.after("pods", 1, again.revision)
    assert [(r.key[2], r.change) for r in missed] == [("a", Change.ADDED), ("b", Change.ADDED), ("b", Change.DELETED)]
    await again.close()


async def test_after_a_restart_a_list_of_the_forgotten_past_is_not_the_present(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    await put(store, "a")
    await put(store, "b")
    then = store.revision
    await put(store, "b", Change.DELETED)
    await put(store, "other", resource="nodes")
    await store.compact(store.revision)
    await store.close()
    again = Store(tmp_path / "store.db")
    assert again.table("pods").last_revision > then  # "b" was there: the table in memory cannot stand for that time
    with pytest.raises(CompactedError):
        await again.page("pods", then)
    assert again.table("pods").last_revision == again.table("all-gone").last_revision == again.compacted
    await again.close()


async def test_a_recreated_object_did_not_replace_the_deleted_one(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    await put(store, "a")
    await put(store, "a", Change.DELETED)
    await put(store, "a")
    rows = await store.after("pods", 0, store.revision)
    assert [r.previous is None for r in rows] == [True, False, True]
    await store.close()


async def test_compaction_in_steps_leaves_what_one_step_leaves(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("isthmus.engine.store.store.COMPACTION_STEP", 3)
    store = Store(tmp_path / "store.db")
    for index in range(10):
        await put(store, f"p{index % 3}", spec=index)
    await put(store, "p1", Change.DELETED)
    await store.compact(store.revision)
    count = sqlite3.connect(tmp_path / "store.db").execute("SELECT count(*) FROM log").fetchone()[0]
    assert count == 2 and names(store.table("pods").list(None)) == ["p0", "p2"]
    await store.close()


async def test_a_page_of_the_past_stops_where_it_is_full(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    for name in "abcde":
        await put(store, name)
    then = store.revision
    await put(store, "b", Change.DELETED)
    await put(store, "f")
    assert names(await store.page("pods", then, after=("default", "a"), limit=2)) == ["b", "c"]
    assert names(await store.page("pods", store.revision, namespace="default")) == ["a", "c", "d", "e", "f"]
    await store.close()


async def test_rows_are_found_by_label_as_they_change(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")

    async def label(name: str, **labels: str) -> None:
        revision = store.next_revision()
        value = orjson.dumps({"metadata": {"name": name, "labels": labels}})
        await store.append(Row(("pods", "default", name), revision, value, Change.MODIFIED))

    await label("a", app="x")
    await label("b", app="y")
    assert names(store.table("pods").labelled("app", "x")) == ["a"]
    await label("b", app="x")
    await label("a")
    assert names(store.table("pods").labelled("app", "x")) == ["b"]
    await put(store, "b", Change.DELETED)
    assert names(store.table("pods").labelled("app", "x")) == []
    await store.close()
