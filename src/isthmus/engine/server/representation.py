"""The forms in which objects are answered: JSON as stored, Table, PartialObjectMetadata. Chosen by `Accept`.

Stored bytes are spliced, never encoded again: the whole object, or its metadata, whose place in the bytes a row knows.
What a Table shows of an object is kept with its row where it lasts, so a list that was shown once costs little more
than its ages the next time.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import orjson

from isthmus.engine.registry.registry import Served
from isthmus.engine.store.row import Row
from isthmus.kinds import conversion
from isthmus.machinery import accept, table

Object = dict[str, Any]
START = b'{"apiVersion":"'  # of every object in the store
OFFERED = (accept.JSON, accept.YAML)  # YAML is made of the JSON at the end (`readable`)


class Representation(Protocol):
    """One form, for one kind and request."""

    cache_key: str  # equal keys give equal bytes, so that a watch event is encoded once for all its watchers

    def one(self, value: bytes) -> bytes:
        """An object by its stored bytes."""

    def many(self, rows: Sequence[Row], metadata: Object) -> bytes:
        """A list; `metadata` is its ListMeta."""


def _list(kind: str, api_version: str, metadata: Object, items: Sequence[bytes]) -> bytes:
    head = f'{{"kind":"{kind}","apiVersion":"{api_version}","metadata":'.encode()
    start = b'%b%b,"items":[' % (head, orjson.dumps(metadata))
    if not items:
        return start + b"]}"
    # One join: a list of megabytes is put together once.
    return b",".join(
        [start + items[0], *items[1:-1], items[-1] + b"]}"] if len(items) > 1 else [start + items[0] + b"]}"]
    )


class Json:
    """Stored bytes, in the version that was asked for.

    Objects of a CRD may lie there in any version that it ever stored; those of built-in kinds only in one.
    """

    def __init__(self, served: Served, version: str) -> None:
        kind = served.kind
        self._kind = kind
        self._api_version = kind.api_version(version)
        self._start = f'{{"apiVersion":"{self._api_version}"'.encode()
        self._as_stored = version == kind.storage_version and bool(kind.definition)
        self.cache_key = f"json/{self._api_version}"

    def one(self, value: bytes) -> bytes:
        """See Representation."""
        if self._as_stored or value.startswith(self._start):
            return value
        return self._start + value[value.index(b'"', len(START)) + 1 :]

    def many(self, rows: Sequence[Row], metadata: Object) -> bytes:
        """See Representation."""
        values = [r.value for r in rows] if self._as_stored else [self.one(r.value) for r in rows]
        return _list(self._kind.list_kind, self._api_version, metadata, values)


class Converted:
    """Objects whose version differs in more than its name from the form in which they are stored."""

    def __init__(self, served: Served, version: str) -> None:
        self._kind, self._version = served.kind, version
        self.cache_key = f"converted/{self._kind.api_version(version)}"

    def one(self, value: bytes) -> bytes:
        """See Representation."""
        return orjson.dumps(conversion.from_stored(self._kind, orjson.loads(value), self._version))

    def many(self, rows: Sequence[Row], metadata: Object) -> bytes:
        """See Representation."""
        values = [self.one(r.value) for r in rows]
        return _list(self._kind.list_kind, self._kind.api_version(self._version), metadata, values)


class Metadata:
    """PartialObjectMetadata."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._head = partial_head(version)
        self.cache_key = f"metadata/{version}"

    def one(self, value: bytes) -> bytes:
        """See Representation."""
        return self._head + orjson.dumps(orjson.loads(value)["metadata"]) + b"}"

    def many(self, rows: Sequence[Row], metadata: Object) -> bytes:
        """See Representation."""
        items = [self._head + row.metadata + b"}" for row in rows]
        return _list("PartialObjectMetadataList", f"meta.k8s.io/{self._version}", metadata, items)


def partial_head(version: str) -> bytes:
    """A PartialObjectMetadata up to its metadata."""
    return f'{{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/{version}","metadata":'.encode()


class Table:
    """What `kubectl get` prints. The column definitions come with the first answer only."""

    def __init__(self, served: Served, version: str, form_version: str, include_object: str) -> None:
        self._plan = served.columns(version)
        self._version = form_version
        self._include = table.check_include(include_object)
        self._whole = _whole(served, version)
        self._head = partial_head(form_version)
        self._definitions = True
        self.cache_key = ""

    def one(self, value: bytes) -> bytes:
        """See Representation."""
        row = Row(("", "", ""), 0, value)
        revision = row.decode()["metadata"].get("resourceVersion", "")
        return self.many([row], {"resourceVersion": revision})

    def many(self, rows: Sequence[Row], metadata: Object) -> bytes:
        """See Representation."""
        definitions = self._plan.definitions if self._definitions else None
        self._definitions = False
        return orjson.dumps(table.build(definitions, self._rows(rows), metadata, self._version))

    def _rows(self, rows: Sequence[Row]) -> Iterator[Object]:
        plan, now, include, head, whole = self._plan, datetime.now(UTC), self._include, self._head, self._whole.one
        for row in rows:
            if not plan.lasting:
                cells = plan.compute(row.decode(), now)
            else:
                if row.shown is None or row.shown[0] is not plan:
                    row.shown = (plan, plan.read(row.decode()))
                cells = plan.show(row.shown[1], now)
            if include == "Metadata":
                yield {"cells": cells, "object": orjson.Fragment(head + row.metadata + b"}")}
            else:
                yield {"cells": cells, "object": orjson.Fragment(whole(row.value)) if include == "Object" else None}


def choose(served: Served, version: str, header: str, include_object: str = "") -> tuple[Representation, str]:
    """The representation that an Accept header asks for, and its content type. Raises StatusError 406."""
    media = accept.negotiate(header, OFFERED, accept.OBJECT_FORMS)
    content_type = media.content_type.replace(accept.YAML, accept.JSON, 1)
    if media.form == "Table":
        return Table(served, version, media.version, include_object), content_type
    if media.form:
        return Metadata(media.version), content_type
    return _whole(served, version), content_type


def _whole(served: Served, version: str) -> Json | Converted:
    kind = served.kind
    if kind.conversion and (kind.stored_as or version != kind.storage_version):
        return Converted(served, version)
    return Json(served, version)
