"""The log on disk: the only SQL of the project.

One append-only table; a revision is a row. `synchronous=FULL` in WAL mode makes COMMIT wait for fsync, so what was
appended survives power loss. Every function blocks and is called from the store's own threads.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from isthmus.engine.store.row import Change, Key, Row

SCHEMA = """
CREATE TABLE IF NOT EXISTS log (
    revision  INTEGER PRIMARY KEY,
    resource  TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name      TEXT NOT NULL,
    change    INTEGER NOT NULL,
    value     BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS log_by_key ON log (resource, namespace, name, revision);
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""
COLUMNS = "resource, namespace, name, revision, value, change"
NEWEST_PER_KEY = f"""
SELECT {COLUMNS} FROM log JOIN (
    SELECT max(revision) AS newest FROM log WHERE revision <= ? GROUP BY resource, namespace, name
) ON revision = newest WHERE change != {int(Change.DELETED)} ORDER BY resource, namespace, name
"""  # noqa: S608  (the interpolated parts are constants)
# One resource: walks the index in key order, so that a page stops where it is full. "" < any namespace < x'FF'.
PAGE = f"""
SELECT {COLUMNS} FROM (
    SELECT resource, namespace, name, max(revision) AS revision, value, change FROM log
    WHERE resource = :resource AND namespace BETWEEN :first AND :last AND (namespace, name) > (:namespace, :name)
    AND revision <= :revision GROUP BY namespace, name ORDER BY namespace, name
) WHERE change != {int(Change.DELETED)} LIMIT :limit
"""  # noqa: S608
HIGHEST = "\U0010ffff"


def _row(record: tuple[str, str, str, int, bytes, int]) -> Row:
    resource, namespace, name, revision, value, change = record
    return Row((resource, namespace, name), revision, value, Change(change))


class Log:
    """One connection to the log. Raises sqlite3.Error (disk full, file damaged) from every method."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=32)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(f"PRAGMA cache_size=-{1024 if read_only else 4096}")
        if not read_only:
            self._db.executescript(SCHEMA)

    def close(self) -> None:
        """Close the connection; the last one checkpoints the WAL."""
        self._db.close()

    def append(self, rows: Iterable[Row]) -> None:
        """Write `rows` in one transaction: when this returns, all of them are on disk; when it raises, none is."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany(
                "INSERT INTO log (revision, resource, namespace, name, change, value) VALUES (?, ?, ?, ?, ?, ?)",
                [(r.revision, *r.key, int(r.change), r.value) for r in rows],
            )
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def holds(self, row: Row) -> bool:
        """Whether exactly this row is in the log."""
        found = self._db.execute("SELECT value FROM log WHERE revision = ?", (row.revision,)).fetchone()
        return found is not None and found[0] == row.value

    def newer(self, revision: int) -> list[Row]:
        """Every row after `revision`, in order."""
        sql = f"SELECT {COLUMNS} FROM log WHERE revision > ? ORDER BY revision"  # noqa: S608
        return [_row(r) for r in self._db.execute(sql, (revision,))]

    def touch(self) -> None:
        """Write something that says nothing, to see whether the disk takes it."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES ('touched', ?)", (self.revision(),))

    def revision(self) -> int:
        """The newest revision that was ever committed."""
        last = self._db.execute("SELECT max(revision) FROM log").fetchone()[0] or 0
        return max(int(last), self.meta("revision"))

    def meta(self, name: str) -> int:
        """A number kept beside the log; 0 if it was never set."""
        found = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return int(found[0]) if found else 0

    def snapshot(self, revision: int) -> Iterator[Row]:
        """Every object that existed at `revision`, in key order."""
        yield from map(_row, self._db.execute(NEWEST_PER_KEY, (revision,)))

    def last_revisions(self) -> list[tuple[str, int]]:
        """The last change that is known of each resource."""
        return list(self._db.execute("SELECT resource, max(revision) FROM log GROUP BY resource"))

    def page(
        self, resource: str, revision: int, namespace: str | None, after: tuple[str, str] | None, limit: int
    ) -> list[Row]:
        """The objects of one resource as they were at `revision`, in key order, beyond `after`; at most `limit`."""
        parameters: dict[str, str | int] = {"resource": resource, "revision": revision, "limit": limit}
        parameters |= dict(
            zip(("first", "last"), ("", HIGHEST) if namespace is None else (namespace,) * 2, strict=True)
        )
        parameters |= dict(zip(("namespace", "name"), after or ("", ""), strict=True))
        return [_row(r) for r in self._db.execute(PAGE, parameters)]

    def after(self, revision: int, resource: str, until: int, limit: int) -> list[Row]:
        """The first `limit` rows of `resource` with revisions in (revision, until], each with what it replaced."""
        sql = (
            f"SELECT {COLUMNS} FROM log WHERE revision > ? AND revision <= ? AND resource = ? ORDER BY revision LIMIT ?"  # noqa: S608
        )
        rows = [_row(r) for r in self._db.execute(sql, (revision, until, resource, limit))]
        for row in rows:
            before = self._before(row.key, row.revision)
            row.previous = None if before is None or before.change is Change.DELETED else before
        return rows

    def _before(self, key: Key, revision: int) -> Row | None:
        sql = (
            f"SELECT {COLUMNS} FROM log WHERE resource = ? AND namespace = ? AND name = ? AND revision < ? "  # noqa: S608
            "ORDER BY revision DESC LIMIT 1"
        )
        found = self._db.execute(sql, (*key, revision)).fetchone()
        return _row(found) if found else None

    def compact(self, lower: int, upper: int) -> int:
        """Forget what the revisions in (lower, upper] replaced or deleted, in one transaction; give how many went.

        What `lower` and before replaced must be forgotten already.
        """
        last = self.revision()
        self._db.execute("BEGIN IMMEDIATE")
        try:
            replaced = self._db.execute(
                "DELETE FROM log WHERE revision IN (SELECT old.revision FROM log AS new JOIN log AS old "
                "ON old.resource = new.resource AND old.namespace = new.namespace AND old.name = new.name "
                "AND old.revision < new.revision WHERE new.revision > ?1 AND new.revision <= ?2)",
                (lower, upper),
            ).rowcount
            deleted = self._db.execute(
                "DELETE FROM log WHERE revision > ?1 AND revision <= ?2 AND change = ?3",
                (lower, upper, int(Change.DELETED)),
            ).rowcount
            for name, value in (("compacted", upper), ("revision", last)):
                self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        return replaced + deleted
