"""watch: what is there, what has changed since a revision, and then every change as it is committed.

The past is read and sent in batches, each when the client has taken the one before, so that neither a long history nor
a long list piles up in memory. Then the watcher joins the present without an await between reading and joining: nothing
is missed and nothing comes twice. Each event is encoded once for all watchers of one form.
"""

import asyncio
import random
from collections.abc import Sequence

import orjson

from isthmus.engine.registry.selection import Selection
from isthmus.engine.server import options, readable, representation
from isthmus.engine.server.context import Call
from isthmus.engine.server.handlers import resourceversion
from isthmus.engine.server.message import Request, Response
from isthmus.engine.server.stream import EventStream
from isthmus.engine.store.row import Change, Row
from isthmus.engine.store.store import CompactedError
from isthmus.machinery import errors

BOOKMARK_SECONDS = 60.0
BATCH = 200  # events sent between two looks at whether the client keeps up
HISTORY_BATCH = 1000  # events read from the log at once
HELD_BYTES = 16 * 1024 * 1024  # of objects that change while a watcher still reads the past; beyond, it is dropped
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class Watch:
    """One watcher: filters, frames and sends."""

    def __init__(
        self, call: Call, selection: Selection, form: representation.Representation, stream: EventStream
    ) -> None:
        self._call = call
        self._selection = selection
        self._form = form
        self._stream = stream
        self._held: list[Row] | None = []  # what is committed while the past is still being sent
        self._held_bytes = 0
        self.revision = 0  # the last that this watcher has been told of

    def sink(self, rows: Sequence[Row]) -> None:
        """Called by the hub with each commit."""
        if self._held is not None:
            self._held.extend(row.event() for row in rows)
            self._held_bytes += sum(len(row.value) for row in rows)
            if self._held_bytes > HELD_BYTES:
                self._stream.abort()
        else:
            self.send(rows)

    def end(self) -> None:
        """Break the stream: the kind is served no more, or an event was lost. The client lists again."""
        self._stream.abort()

    def follow(self) -> None:
        """The past is sent: send what came meanwhile, and everything from now on as it comes."""
        held, self._held = self._held or [], None
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
        if out:
            if self._stream.overrun:
                self._stream.abort()
            self._stream.write_frames(out[0] if len(out) == 1 else b"".join(out))

    async def send_patiently(self, rows: Sequence[Row]) -> None:
        """`send`, no faster than the client reads."""
        for start in range(0, len(rows), BATCH):
            self.send(rows[start : start + BATCH])
            await self._stream.drained()

    def _frame(self, row: Row, change: Change) -> bytes:
        """The event as a chunk; kept with the row while it travels, for the watchers that see it alike."""
        key = (self._form.cache_key, self._stream.framing.name, change)
        if self._form.cache_key and row.frames is not None and (known := row.frames.get(key)):
            return known
        value = row.value
        if change is Change.DELETED and row.change is not Change.DELETED:
            # It went out of sight: the watcher gets its last form that was in sight, at the new revision.
            obj = (row.previous or row).decode()
            obj["metadata"]["resourceVersion"] = str(row.revision)
            value = orjson.dumps(obj)
        framed = self._stream.framing.frame(
            b'{"type":"%b","object":%b}\n' % (change.name.encode(), self._form.one(value))
        )
        if self._form.cache_key:
            row.frames = row.frames or {}
            row.frames[key] = framed
        return framed

    def bookmark(self, *, initial_events_end: bool = False) -> None:
        """Tell the client how far it has come although nothing concerned it."""
        kind = self._call.served.kind
        metadata: dict[str, object] = {"resourceVersion": str(self.revision), "creationTimestamp": None}
        if initial_events_end:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        obj = {"kind": kind.kind, "apiVersion": kind.api_version(self._call.info.version), "metadata": metadata}
        self._write({"type": "BOOKMARK", "object": obj})

    def expired(self, since: int, oldest: int) -> None:
        """The history is gone: tell the client to list again, as an event, because the stream has begun."""
        status = errors.gone(f"too old resource version: {since} ({oldest})").status()
        self._write({"type": "ERROR", "object": status})

    def _write(self, event: object) -> None:
        self._stream.write_frames(self._stream.framing.frame(orjson.dumps(event) + b"\n"))


async def watch(call: Call) -> Response | None:
    """Stream events until the client goes, the time is over, or the client is too slow."""
    query = call.request.query
    form, content_type = call.form()
    if readable.wants_yaml(call.request):
        raise errors.not_acceptable("a watch is answered as application/json;stream=watch only")
    options.check_watch(query)
    selection = Selection.of_request(call.served, call.info.namespace, query, call.info.name)
    since = resourceversion.parse(query.get("resourceVersion", ""))
    initial = _initial_events(call, since)
    seconds = call.request.number("timeoutSeconds") or random.uniform(1800, 3600)  # noqa: S311
    if since:
        await resourceversion.not_older_than(call, since)
    if call.request.method == "HEAD":
        return Response(b"", 200, content_type)
    stream = _open(call.request, content_type)
    watcher = Watch(call, selection, form, stream)
    try:
        if initial:
            await _send_present(call, watcher, selection.namespace)
        elif not await _catch_up(call, watcher, since or 0):
            stream.close()
            return None
        await _remain(call, watcher, stream, seconds)
    finally:
        call.server.store.hub.unsubscribe(call.served.stored_as, watcher.sink)
    return None


def _open(request: Request, content_type: str) -> EventStream:
    """The answer begins. Raises StatusError 400 for a WebSocket handshake that is none."""
    if request.wants_upgrade != "websocket":
        return request.connection.start_stream(content_type, keep_alive=request.keep_alive)
    from isthmus.engine.server import websocketframing  # few clients want one

    return websocketframing.accept(request)


def _initial_events(call: Call, since: int | None) -> bool:
    """Whether the stream begins with what is there. Raises StatusError 400."""
    query = call.request.query
    if "sendInitialEvents" not in query:
        return not since
    return call.request.flag("sendInitialEvents")


async def _send_present(call: Call, watcher: Watch, namespace: str | None) -> None:
    """Send what is there, as ADDED, and follow what comes meanwhile and afterwards."""
    store, resource = call.server.store, call.served.stored_as
    watcher.revision = store.subscribe(resource, watcher.sink, watcher.end)
    rows = store.table(resource).list(namespace)
    await watcher.send_patiently([Row(r.key, r.revision, r.value) for r in rows])
    watcher.follow()
    watcher.revision = store.revision
    if call.request.flag("sendInitialEvents") and call.request.flag("allowWatchBookmarks"):
        watcher.bookmark(initial_events_end=True)


async def _catch_up(call: Call, watcher: Watch, since: int) -> bool:
    """Send what happened after `since`, and follow. False if the history is gone, which the client was told."""
    store, resource = call.server.store, call.served.stored_as
    watcher.revision = since
    while True:
        until = store.revision
        try:
            rows = await store.after(resource, watcher.revision, until, HISTORY_BATCH)
        except CompactedError:
            watcher.expired(since, store.compacted)
            return False
        await watcher.send_patiently(rows)
        if len(rows) < HISTORY_BATCH:
            watcher.revision = max(watcher.revision, until)
            if store.table(resource).last_revision <= until:
                watcher.revision = store.subscribe(resource, watcher.sink, watcher.end)
                watcher.follow()
                return True


async def _remain(call: Call, watcher: Watch, stream: EventStream, seconds: float) -> None:
    """Stay until the client goes or the time is over, with a bookmark now and then."""
    bookmarks = call.request.flag("allowWatchBookmarks")
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while (left := deadline - loop.time()) > 0:
        try:
            await asyncio.wait_for(call.request.connection.closed.wait(), min(left, BOOKMARK_SECONDS))
            return
        except TimeoutError:
            watcher.revision = call.server.store.revision
            if bookmarks:
                watcher.bookmark()
    stream.close()
