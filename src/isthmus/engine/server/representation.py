"""The forms in which objects are answered: JSON as stored, Table, PartialObjectMetadata. Chosen by `Accept`.

JSON is spliced from stored bytes; nothing is decoded. The other two decode each row.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import orjson

from isthmus.engine.registry.registry import Served
from isthmus.engine.store.row import Row
from isthmus.kinds import columns
from isthmus.machinery import accept, table

Object = dict[str, Any]


class Representation(Protocol):
    """One form, for one kind and request."""

    cache_key: str  # equal keys give equal bytes, so that a watch event is encoded once for all its watchers

    def one(self, value: bytes) -> bytes:
        """An object by its stored bytes."""

    def many(self, rows: Sequence[Row], metadata: Object) -> bytes:
        """A list; `metadata` is its ListMeta."""


class Json:
    """Stored bytes, in the version that was asked for."""

    def __init__(self, served: Served, version: str) -> None:
        kind = served.kind
        self._list_head = f'{{"kind":"{kind.list_kind}","apiVersion":"{kind.api_version(version)}","metadata":'.encode()
        self._stored = f'"apiVersion":"{kind.api_version()}"'.encode()
        self._wanted = (
            b"" if version == kind.storage_version else f'"apiVersion":"{kind.api_version(version)}"'.encode()
        )
        self.cache_key = f"json/{version}"

    def one(self, value: bytes) -> bytes:
        """See Representation."""
        return value.replace(self._stored, self._wanted, 1) if self._wanted else value

    def many(self, rows: Sequence[Row], metadata: Object) -> bytes:
        """See Representation."""
        values = [self.one(r.value) for r in rows] if self._wanted else [r.value for r in rows]
        return b'%b%b,"items":[%b]}' % (self._list_head, orjson.dumps(metadata), b",".join(values))


class Metadata:
    """PartialObjectMetadata."""

    def __init__(self, version: str) -> None:
        self._version = version
        self.cache_key = f"metadata/{version}"

    def _partial(self, value: bytes) -> Object:
        metadata = orjson.loads(value)["metadata"]
        return {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{self._version}", "metadata": metadata}

    def one(self, value: bytes) -> bytes:
        """See Representation."""
        return orjson.dumps(self._partial(value))

    def many(self, rows: Sequence[Row], metadata: Object) -> bytes:
        """See Representation."""
        head = {"kind": "PartialObjectMetadataList", "apiVersion": f"meta.k8s.io/{self._version}"}
        return orjson.dumps(head | {"metadata": metadata, "items": [self._partial(r.value) for r in rows]})


class Table:
    """What `kubectl get` prints. The column definitions come with the first answer only."""

    def __init__(self, served: Served, version: str, include_object: str) -> None:
        self._kind = served.kind
        self._version = version
        self._include = include_object or "Metadata"
        self._definitions = True
        self.cache_key = ""

    def _table(self, objects: Sequence[Object], metadata: Object) -> bytes:
        now = datetime.now(UTC)
        rows = [(columns.cells(self._kind, o, now), o) for o in objects]
        definitions = columns.definitions(self._kind) if self._definitions else None
        self._definitions = False
        return orjson.dumps(table.build(definitions, rows, metadata, self._version, self._include))

    def one(self, value: bytes) -> bytes:
        """See Representation."""
        obj = orjson.loads(value)
        return self._table([obj], {"resourceVersion": obj["metadata"].get("resourceVersion", "")})

    def many(self, rows: Sequence[Row], metadata: Object) -> bytes:
        """See Representation."""
        return self._table([r.decode() for r in rows], metadata)


def choose(served: Served, version: str, header: str, include_object: str = "") -> tuple[Representation, str]:
    """The representation that an Accept header asks for, and its content type. Raises StatusError 406."""
    media = accept.negotiate(header, forms=accept.OBJECT_FORMS)
    if media.form == "Table":
        return Table(served, media.version, include_object), media.content_type
    if media.form.startswith("PartialObjectMetadata"):
        return Metadata(media.version), media.content_type
    return Json(served, version), media.content_type
