"""Admission: what a write must satisfy beyond its own schema. In process, so there is no webhook to wait for or renew.

A plugin is a row of `PLUGINS`: the resources that it looks at and up to three hooks. Mutating hooks run before the
schema, validating ones after it. Plugins read the store, never write it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from isthmus.engine.registry.registry import Served
from isthmus.engine.registry.write import WriteContext
from isthmus.engine.store.store import Store

Object = dict[str, Any]
Lookup = Callable[[str, str, str], Object | None]  # (resource, namespace, name) -> the object, decoded
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


class Admission:
    """All plugins in order, with a view of the store for them to look things up in."""

    def __init__(self, store: Store, plugins: tuple[Plugin, ...]) -> None:
        self._store = store
        self._plugins = plugins

    def lookup(self, resource: str, namespace: str, name: str) -> Object | None:
        """The object as the next write will find it."""
        row = self._store.head((resource, namespace, name))
        return row.decode() if row else None

    def _for(self, served: Served) -> list[Plugin]:
        resource = served.kind.resource
        return [p for p in self._plugins if not p.resources or resource in p.resources]

    def mutate(self, served: Served, new: Object, old: Object | None, context: WriteContext) -> None:
        """Complete `new` in place. Raises StatusError."""
        for plugin in self._for(served):
            plugin.mutate(served, new, old, context, self.lookup)

    def validate(self, served: Served, new: Object, old: Object | None, context: WriteContext) -> None:
        """Refuse what may not be. Raises StatusError."""
        for plugin in self._for(served):
            plugin.validate(served, new, old, context, self.lookup)

    def validate_delete(self, served: Served, old: Object, context: WriteContext) -> None:
        """Refuse a deletion that may not be. Raises StatusError."""
        for plugin in self._for(served):
            plugin.validate_delete(served, old, None, context, self.lookup)
