"""The kinds that are served right now: built-in ones from the catalogue, a user's from CustomResourceDefinitions."""

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from isthmus.engine.registry.strategy import Strategy, strategy_for
from isthmus.kinds import catalogue, columns
from isthmus.kinds.kind import Kind
from isthmus.machinery.schema import Node


@dataclass(slots=True)
class Served:
    """A kind with what writing it needs. Schema nodes are made when first asked, one a version."""

    kind: Kind
    strategy: Strategy
    stored_as: str = ""  # the kind's key in the store
    custom: bool = False  # a custom resource, here (a user's CRD) or upstream (KubeVirt's kinds)
    _nodes: dict[str, Node | None] = field(default_factory=dict)
    _columns: dict[str, columns.Plan] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stored_as = self.kind.store_key
        self.custom = not self.kind.builtin

    def columns(self, version: str) -> columns.Plan:
        """What a Table of a version shows of it, compiled when first asked for."""
        key = version if version in self.kind.version_columns else ""
        if (plan := self._columns.get(key)) is None:
            shown = self.kind.version_columns.get(key)
            kind = self.kind if shown is None else dataclasses.replace(self.kind, columns=shown)
            plan = self._columns[key] = columns.Plan(kind)
        return plan

    def node(self, version: str) -> Node | None:
        """The schema of a version; None where the kind has none (anything goes)."""
        if version not in self._nodes:
            self._nodes[version] = catalogue.schema_node(self.kind, version)
        return self._nodes[version]


class Registry:
    """Finds the kind of a request's group, version and resource. `changed` is called when the set of kinds changes."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._by_path: dict[tuple[str, str, str], Served] = {}
        self._by_resource: dict[str, Served] = {}
        self.generation = 0  # goes up with every change: what is derived from the kinds is cached by it
        self.changed: list[Callable[[], None]] = []
        for kind in kinds:
            self._put(kind)

    def find(self, group: str, version: str, plural: str) -> Served | None:
        """The kind that a path names, if its version is served."""
        return self._by_path.get((group, version, plural))

    def by_resource(self, resource: str) -> Served | None:
        """The kind with this `Kind.resource`."""
        return self._by_resource.get(resource)

    def by_kind(self, api_version: str, kind: str) -> Served | None:
        """The kind that an object's apiVersion and kind name."""
        group, _, version = api_version.rpartition("/")
        for served in self._by_resource.values():
            if served.kind.kind == kind and served.kind.group == group and version in served.kind.versions:
                return served
        return None

    def kinds(self) -> list[Kind]:
        """All of them, in order of their first registration."""
        return [served.kind for served in self._by_resource.values()]

    def add(self, kind: Kind) -> None:
        """Serve a kind, or a new form of it, from now on."""
        self.remove(kind.resource, notify=False)
        self._put(kind)
        self._notify()

    def remove(self, resource: str, *, notify: bool = True) -> None:
        """Serve it no more; harmless if it is not served."""
        served = self._by_resource.pop(resource, None)
        if served is None:
            return
        for path in [p for p, s in self._by_path.items() if s is served]:
            del self._by_path[path]
        if notify:
            self._notify()

    def _put(self, kind: Kind) -> None:
        served = Served(kind, strategy_for(kind))
        self._by_resource[kind.resource] = served
        for version in kind.versions:
            self._by_path[kind.group, version, kind.plural] = served

    def _notify(self) -> None:
        self.generation += 1
        for callback in self.changed:
            callback()
