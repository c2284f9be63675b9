"""One revision of one object, and the event that it is to those who watch."""

from enum import IntEnum
from typing import Any

import orjson

Key = tuple[str, str, str]  # resource ("pods", "virtualmachines.kubevirt.io"), namespace ("" if cluster-scoped), name


class Change(IntEnum):
    """What a revision did to its object. The numbers are stored."""

    ADDED = 0
    MODIFIED = 1
    DELETED = 2


class Row:
    """The object's bytes as clients see them, its resourceVersion inside; beside them what selectors ask for.

    `labels` and `fields` are None until somebody asks (rows read back from disk); writers that have the decoded object
    at hand set them.
    """

    __slots__ = (
        "_labels",
        "_metadata_end",
        "change",
        "fields",
        "frames",
        "key",
        "previous",
        "revision",
        "shown",
        "value",
    )

    def __init__(
        self,
        key: Key,
        revision: int,
        value: bytes,
        change: Change = Change.ADDED,
        labels: dict[str, str] | None = None,
    ) -> None:
        self.key = key
        self.revision = revision
        self.value = value
        self.change = change
        self._labels = labels
        self.fields: dict[str, str] | None = None
        self.shown: tuple[object, list[Any]] | None = None  # whose columns, and what they keep of the object
        self._metadata_end = 0
        # Only while the row travels as an event: what it replaced, for selector transitions, and its encoded forms.
        self.previous: Row | None = None
        self.frames: dict[object, bytes] | None = None

    @property
    def labels(self) -> dict[str, str]:
        """metadata.labels."""
        if self._labels is None:
            self._labels = self.decode()["metadata"].get("labels") or {}
        return self._labels

    @property
    def metadata(self) -> bytes:
        """metadata as it stands in the bytes: the third field, after apiVersion and kind."""
        start = self.value.index(b'"metadata":{') + 11
        if not self._metadata_end:
            self._metadata_end = start + len(orjson.dumps(self.decode()["metadata"]))
        return self.value[start : self._metadata_end]

    def event(self) -> "Row":
        """A copy that keeps what belongs to the event for as long as somebody holds it back."""
        copy = Row(self.key, self.revision, self.value, self.change, self._labels)
        copy.fields, copy.previous = self.fields, self.previous
        return copy

    def decode(self) -> dict[str, Any]:
        """A fresh copy of the object."""
        decoded: dict[str, Any] = orjson.loads(self.value)
        return decoded
