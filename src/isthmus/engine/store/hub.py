"""Fans committed rows out to those who watch. Called by the store after each commit, in revision order."""

from collections.abc import Callable, Sequence

from isthmus.engine.store.row import Row

Sink = Callable[[Sequence[Row]], None]


class Hub:
    """Sinks by resource. A sink must not block: it filters, appends to its own buffer, and drops itself when full."""

    def __init__(self) -> None:
        self._sinks: dict[str, set[Sink]] = {}

    def subscribe(self, resource: str, sink: Sink) -> None:
        """From now on `sink` is called with every commit's rows of `resource`."""
        self._sinks.setdefault(resource, set()).add(sink)

    def unsubscribe(self, resource: str, sink: Sink) -> None:
        """Undo `subscribe`; harmless if it was never done."""
        self._sinks.get(resource, set()).discard(sink)

    def publish(self, rows: Sequence[Row]) -> None:
        """Hand a commit's rows to the sinks of their resources."""
        by_resource: dict[str, list[Row]] = {}
        for row in rows:
            if self._sinks.get(row.key[0]):
                by_resource.setdefault(row.key[0], []).append(row)
        for resource, batch in by_resource.items():
            for sink in tuple(self._sinks[resource]):
                sink(batch)
