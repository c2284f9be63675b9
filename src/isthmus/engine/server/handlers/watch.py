"""watch: what is there, what has changed since a revision, and then every change as it is committed.

The subscription begins before the past is read, so nothing is missed; each event is encoded once for all watchers.
"""

import asyncio
import random
from collections.abc import Sequence

import orjson

from isthmus.engine.registry.selection import Selection
from isthmus.engine.server import representation
from isthmus.engine.server.context import Call
from isthmus.engine.server.handlers import resourceversion
from isthmus.engine.server.message import Response
from isthmus.engine.server.stream import Stream
from isthmus.engine.store.row import Change, Row
from isthmus.engine.store.store import CompactedError
from isthmus.machinery import errors

BOOKMARK_SECONDS = 60.0
CACHE_LIMIT = 512
_chunks: dict[tuple[int, str, Change], bytes] = {}  # framed events of the last few revisions, shared by all watchers


class Watch:
    """One watcher: filters, frames and sends."""

    def __init__(self, call: Call, selection: Selection, form: representation.Representation) -> None:
        self._call = call
        self._selection = selection
        self._form = form
        self._stream: Stream | None = None
        self._held: list[Row] = []  # committed while the past was still being read
        self.revision = 0  # the last that this watcher has been told of

    def sink(self, rows: Sequence[Row]) -> None:
        """Called by the hub with each commit."""
        if self._stream is None:
            for row in rows:
                kept = Row(row.key, row.revision, row.value, row.change)
                kept.previous = row.previous
                self._held.append(kept)
        else:
            self.send(rows)

    def begin(self, stream: Stream, past: Sequence[Row]) -> None:
        """Send the past, then what was held, and follow the present from now on."""
        self._stream = stream
        self.send(past)
        held, self._held = self._held, []
        self.send([r for r in held if r.revision > self.revision])

    def send(self, rows: Sequence[Row]) -> None:
        """Send the rows that the selection sees; drop a client that does not keep up."""
        out = []
        for row in rows:
            change = self._selection.change(row)
            if change is not None:
                out.append(self._frame(row, change))
        if rows:
            self.revision = max(self.revision, rows[-1].revision)
        if out and self._stream:
            self._stream.write_chunks(out[0] if len(out) == 1 else b"".join(out))
            if self._stream.overrun:
                self._stream.abort()

    def _frame(self, row: Row, change: Change) -> bytes:
        key = (row.revision, self._form.cache_key, change)
        if self._form.cache_key and (known := _chunks.get(key)):
            return known
        value = row.value
        if change is Change.DELETED and row.change is not Change.DELETED:
            # It went out of sight: the watcher gets its last form that was in sight, at the new revision.
            obj = (row.previous or row).decode()
            obj["metadata"]["resourceVersion"] = str(row.revision)
            value = orjson.dumps(obj)
        line = b'{"type":"%b","object":%b}\n' % (change.name.encode(), self._form.one(value))
        chunk = b"%x\r\n%b\r\n" % (len(line), line)
        if self._form.cache_key:
            if len(_chunks) >= CACHE_LIMIT:
                _chunks.clear()
            _chunks[key] = chunk
        return chunk

    def bookmark(self, *, initial_events_end: bool = False) -> None:
        """Tell the client a revision from which it can resume."""
        kind, version = self._call.served.kind, self._call.info.version
        metadata: dict[str, object] = {"resourceVersion": str(max(self.revision, 1)), "creationTimestamp": None}
        if initial_events_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        obj = {"kind": kind.kind, "apiVersion": kind.api_version(version), "metadata": metadata}
        if self._stream:
            self._stream.write(orjson.dumps({"type": "BOOKMARK", "object": obj}) + b"\n")


async def watch(call: Call) -> Response | None:
    """Stream events until the time-out, the client's leaving, or the server's end."""
    query, store = call.request.query, call.server.store
    form, content_type = representation.choose(
        call.served, call.info.version, call.request.headers.get("accept", ""), query.get("includeObject", "")
    )
    namespace = call.info.namespace if call.served.kind.namespaced else ""
    selection = Selection(call.served, namespace, query.get("labelSelector", ""), query.get("fieldSelector", ""))
    if call.info.name and "fieldSelector" not in query:
        selection = Selection(call.served, namespace, "", f"metadata.name={call.info.name}")
    since = resourceversion.parse(query.get("resourceVersion", ""))
    initial = _initial_events(query, since)
    watcher = Watch(call, selection, form)
    try:
        if since:
            await resourceversion.not_older_than(call, since)
        watcher.revision = store.subscribe(call.served.stored_as, watcher.sink)
        past = await _past(call, selection, None if initial else since, watcher.revision)
        stream = call.request.connection.start_stream(
            f"{content_type};stream=watch" if ";" in content_type else content_type
        )
        watcher.begin(stream, past)
        await _follow(call, watcher, stream, "sendInitialEvents" in query and initial)
    finally:
        store.hub.unsubscribe(call.served.stored_as, watcher.sink)
    return None


def _initial_events(query: dict[str, str], since: int | None) -> bool:
    """Whether the stream begins with what is there."""
    asked = query.get("sendInitialEvents")
    if asked is None:
        return not since
    if query.get("resourceVersionMatch") != "NotOlderThan":
        raise errors.bad_request("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
    return asked.lower() in ("true", "1")


async def _past(call: Call, selection: Selection, since: int | None, until: int) -> list[Row]:
    store = call.server.store
    if since is None:
        rows = store.table(call.served.stored_as).list(selection.namespace)
        return [Row(r.key, r.revision, r.value) for r in rows]  # as ADDED, whatever their last change was
    try:
        return await store.after(call.served.stored_as, since, until)
    except CompactedError as error:
        raise errors.gone(f"too old resource version: {since} ({store.compacted})") from error


async def _follow(call: Call, watcher: Watch, stream: Stream, initial_events_end: bool) -> None:
    query, store = call.request.query, call.server.store
    bookmarks = query.get("allowWatchBookmarks", "").lower() in ("true", "1")
    loop = asyncio.get_running_loop()
    seconds = float(query.get("timeoutSeconds") or 0) or random.uniform(1800, 3600)  # noqa: S311
    deadline = loop.time() + seconds
    watcher.revision = max(watcher.revision, store.revision)
    if initial_events_end:
        watcher.bookmark(initial_events_end=True)
    while (left := deadline - loop.time()) > 0:
        pause = min(left, BOOKMARK_SECONDS)
        try:
            await asyncio.wait_for(call.request.connection.closed.wait(), pause)
            return
        except TimeoutError:
            if bookmarks:
                watcher.revision = store.revision
                watcher.bookmark()
    stream.close()
