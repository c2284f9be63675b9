"""The committed objects of one resource in memory: in order of their keys, and found by the labels asked for."""

from bisect import bisect_left

from isthmus.engine.store.row import Change, Row

RowKey = tuple[str, str]  # namespace, name
Index = dict[str, set[RowKey]]  # value of a label -> who has it
MAX_INDEXES = 16  # labels of one resource; beyond that the first one made goes


class Table:
    """The current objects of one resource, by (namespace, name)."""

    __slots__ = ("_by_label", "_keys", "last_revision", "rows")

    def __init__(self, last_revision: int = 0) -> None:
        self.rows: dict[tuple[str, str], Row] = {}
        self.last_revision = last_revision  # of the last change to any of them, or later
        self._keys: list[tuple[str, str]] | None = None
        self._by_label: dict[str, Index] = {}

    def put(self, row: Row) -> None:
        """Take over a committed row."""
        key = row.key[1:]
        for label, index in self._by_label.items():
            _move(index, label, key, self.rows.get(key), row)
        if row.change is Change.DELETED:
            if self.rows.pop(key, None) is not None:
                self._keys = None
        else:
            if key not in self.rows:
                self._keys = None
            self.rows[key] = row
        self.last_revision = max(self.last_revision, row.revision)

    def keys(self) -> list[tuple[str, str]]:
        """In order of namespace and name."""
        if self._keys is None:
            self._keys = sorted(self.rows)
        return self._keys

    def labelled(self, label: str, value: str) -> list[Row]:
        """Rows that have this label, in key order. The first question about a label makes its index."""
        if (index := self._by_label.get(label)) is None:
            if len(self._by_label) >= MAX_INDEXES:
                self._by_label.pop(next(iter(self._by_label)))
            index = self._by_label[label] = {}
            for key, row in self.rows.items():
                _move(index, label, key, None, row)
        return [self.rows[key] for key in sorted(index.get(value, ()))]

    def list(self, namespace: str | None, after: tuple[str, str] | None = None) -> list[Row]:
        """Rows in key order, of one namespace or (None) of all, beyond the key `after` if given."""
        keys = self.keys()
        start = 0 if after is None else bisect_left(keys, (after[0], after[1] + "\0"))
        if namespace is None:
            return [self.rows[k] for k in keys[start:]]
        start = max(start, bisect_left(keys, (namespace, "")))
        end = bisect_left(keys, (namespace + "\0", ""))
        return [self.rows[k] for k in keys[start:end]]


def _move(index: Index, label: str, key: RowKey, old: Row | None, new: Row) -> None:
    """Bring an index from the old row to the new one."""
    before = old.labels.get(label) if old else None
    after = new.labels.get(label) if new.change is not Change.DELETED else None
    if before == after:
        return
    if before is not None and (keys := index.get(before)) is not None:
        keys.discard(key)
        if not keys:
            del index[before]
    if after is not None:
        index.setdefault(after, set()).add(key)
