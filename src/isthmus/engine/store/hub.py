"""Fans committed rows out to those who watch. Called by the store after each commit, in revision order."""

import logging
from collections.abc import Callable, Sequence

from isthmus.engine.store.row import Row

log = logging.getLogger(__name__)
Sink = Callable[[Sequence[Row]], None]
Dropped = Callable[[], None]


class Hub:
    """Sinks by resource. A sink must not block: it filters, appends to its own buffer, and drops itself when full.

    One that raises harms nobody else: the error is logged and, if it said how to be told (`dropped`), it is dropped,
    because it has missed something; a part of the server that follows a resource goes on with the next commit.
    """

    def __init__(self) -> None:
        self._sinks: dict[str, dict[Sink, Dropped | None]] = {}

    def subscribe(self, resource: str, sink: Sink, dropped: Dropped | None = None) -> None:
        """From now on `sink` is called with every commit's rows of `resource`."""
        self._sinks.setdefault(resource, {})[sink] = dropped

    def unsubscribe(self, resource: str, sink: Sink) -> None:
        """Undo `subscribe`; harmless if it was never done."""
        self._sinks.get(resource, {}).pop(sink, None)

    def end(self, resource: str) -> None:
        """The resource is served no more: drop everybody who said how to be told."""
        for sink, dropped in tuple(self._sinks.get(resource, {}).items()):
            if dropped is not None:
                self.unsubscribe(resource, sink)
                self._tell(dropped)

    def publish(self, rows: Sequence[Row]) -> None:
        """Hand a commit's rows to the sinks of their resources."""
        by_resource: dict[str, list[Row]] = {}
        for row in rows:
            if self._sinks.get(row.key[0]):
                by_resource.setdefault(row.key[0], []).append(row)
        for resource, batch in by_resource.items():
            for sink, dropped in tuple(self._sinks[resource].items()):
                try:
                    sink(batch)
                except Exception:
                    log.exception("a follower of %s failed at revision %d", resource, batch[-1].revision)
                    if dropped is not None:
                        self.unsubscribe(resource, sink)
                        self._tell(dropped)

    def _tell(self, dropped: Dropped) -> None:
        try:
            dropped()
        except Exception:
            log.exception("a follower that was dropped could not be told")
