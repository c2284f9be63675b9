"""Admission: what a write must satisfy beyond its own schema. In process, so there is no webhook to wait for or renew.

A plugin is a row of `PLUGINS`: the resources that it looks at and up to three hooks. Mutating hooks run before the
schema, validating ones after it. Plugins read the store, never write it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from isthmus.engine.registry.registry import Served
from isthmus.engine.registry.write import WriteContext
from isthmus.engine.store.row import Key, Row
from isthmus.engine.store.store import Store

DECODED_LIMIT = 256
Object = dict[str, Any]


class Lookup(Protocol):
    """The store as a plugin sees it: what the next write will find."""

    def __call__(self, resource: str, namespace: str, name: str) -> Object | None:
        """One object, decoded. Read it only: it may be handed out again."""

    def all(self, resource: str) -> Iterator[Object]:
        """Every object of a resource, decoded anew."""


Hook = Callable[[Served, Object, Object | None, WriteContext, Lookup], None]  # raises StatusError to refuse


def _pass(_served: Served, _new: Object, _old: Object | None, _context: WriteContext, _lookup: Lookup) -> None: ...


@dataclass(frozen=True, slots=True)
class Plugin:
    """One rule. `resources` are `Kind.resource` names; empty means all."""

    name: str
    resources: frozenset[str] = frozenset()
    mutate: Hook = _pass
    validate: Hook = _pass
    validate_delete: Hook = _pass


class Heads:
    """`Lookup` over the store. Keeps decoded what many writes look up: namespaces, instance types."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._decoded: dict[Key, tuple[Row, Object]] = {}

    def __call__(self, resource: str, namespace: str, name: str) -> Object | None:
        """See Lookup."""
        row = self._store.head((resource, namespace, name))
        if row is None:
            return None
        known = self._decoded.get(row.key)
        if known is None or known[0] is not row:
            if len(self._decoded) >= DECODED_LIMIT:
                self._decoded.clear()
            known = self._decoded[row.key] = (row, row.decode())
        return known[1]

    def all(self, resource: str) -> Iterator[Object]:
        """See Lookup."""
        return (row.decode() for row in self._store.heads(resource))


class Admission:
    """All plugins in order, with a view of the store for them to look things up in."""

    def __init__(self, store: Store, plugins: tuple[Plugin, ...]) -> None:
        self._lookup = Heads(store)
        self._plugins = plugins
        self._by_resource: dict[str, list[Plugin]] = {}

    def _for(self, served: Served) -> list[Plugin]:
        resource = served.kind.resource
        if (plugins := self._by_resource.get(resource)) is None:
            plugins = [p for p in self._plugins if not p.resources or resource in p.resources]
            self._by_resource[resource] = plugins
        return plugins

    def mutate(self, served: Served, new: Object, old: Object | None, context: WriteContext) -> None:
        """Complete `new` in place. Raises StatusError."""
        for plugin in self._for(served):
            plugin.mutate(served, new, old, context, self._lookup)

    def validate(self, served: Served, new: Object, old: Object | None, context: WriteContext) -> None:
        """Refuse what may not be. Raises StatusError."""
        for plugin in self._for(served):
            plugin.validate(served, new, old, context, self._lookup)

    def validate_delete(self, served: Served, old: Object, context: WriteContext) -> None:
        """Refuse a deletion that may not be. Raises StatusError."""
        for plugin in self._for(served):
            plugin.validate_delete(served, old, None, context, self._lookup)
