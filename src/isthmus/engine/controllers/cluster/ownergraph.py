"""Who owns whom among all objects of a cluster, and what the garbage collector is to do with one. Pure.

Objects are known by uid. `decide` follows Kubernetes' rules (garbage collector, owners and dependents): an object goes
when none of its owners is left; an owner that is deleted in the foreground waits for the dependents that block it;
orphaning takes the owner's name off its dependents.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from isthmus.client.api import Resource

Object = dict[str, Any]

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


@dataclass(frozen=True, slots=True)
class Owner:
    """One owner reference."""

    api_version: str
    kind: str
    name: str
    uid: str
    blocks: bool


@dataclass(frozen=True, slots=True)
class Item:
    """What the collector knows of an object."""

    resource: Resource
    namespace: str
    name: str
    uid: str
    owners: tuple[Owner, ...]
    finalizers: frozenset[str]
    deleting: bool

    @property
    def in_foreground(self) -> bool:
        """Deleted, and waiting for its dependents."""
        return self.deleting and FOREGROUND in self.finalizers

    @property
    def orphaning(self) -> bool:
        """Deleted, and letting its dependents live."""
        return self.deleting and ORPHAN in self.finalizers


def item_of(resource: Resource, obj: Object) -> Item:
    """The item of an object."""
    metadata = obj["metadata"]
    owners = tuple(
        Owner(r["apiVersion"], r["kind"], r["name"], r["uid"], bool(r.get("blockOwnerDeletion")))
        for r in metadata.get("ownerReferences") or ()
    )
    return Item(
        resource,
        metadata.get("namespace", ""),
        metadata["name"],
        metadata["uid"],
        owners,
        frozenset(metadata.get("finalizers") or ()),
        bool(metadata.get("deletionTimestamp")),
    )


class Act(StrEnum):
    """What to do with an item."""

    NOTHING = "nothing"
    DELETE = "delete"
    UNLINK = "unlink"  # take the owners in `uids` off it
    FINISH_FOREGROUND = "finish foreground"  # its dependents are gone: drop the finalizer
    ORPHAN = "orphan"  # take it off its dependents, then drop the finalizer


@dataclass(frozen=True, slots=True)
class Decision:
    """`policy`: how to delete. `uids`: owners to take off. `dependents`: whom to look at as well."""

    act: Act
    policy: str = "Background"
    uids: frozenset[str] = frozenset()
    dependents: tuple[str, ...] = ()


@dataclass(slots=True)
class Graph:
    """All items by uid, and the dependents of each, known owner or not."""

    items: dict[str, Item] = field(default_factory=dict)
    dependents: dict[str, set[str]] = field(default_factory=dict)

    def put(self, item: Item) -> None:
        """Take an item in, or its new state."""
        self.remove(item.uid)
        self.items[item.uid] = item
        for owner in item.owners:
            self.dependents.setdefault(owner.uid, set()).add(item.uid)

    def remove(self, uid: str) -> None:
        """Forget an item; what depends on it stays known."""
        old = self.items.pop(uid, None)
        for owner in old.owners if old else ():
            known = self.dependents.get(owner.uid, set())
            known.discard(uid)
            if not known:
                self.dependents.pop(owner.uid, None)

    def dependents_of(self, uid: str) -> list[Item]:
        """The items that name `uid` as an owner."""
        return [self.items[d] for d in sorted(self.dependents.get(uid, ()))]

    def unknown_owners(self, item: Item) -> list[Owner]:
        """Owners that are not in the graph: to be asked of the server, for it may just be late."""
        return [o for o in item.owners if o.uid not in self.items]

    def decide(self, item: Item, absent: frozenset[str]) -> Decision:
        """What to do with `item`, given the uids of its owners that are certainly absent."""
        dependents = self.dependents_of(item.uid)
        if item.orphaning:
            return Decision(Act.ORPHAN, dependents=tuple(d.uid for d in dependents))
        if item.in_foreground:
            blocking = [d for d in dependents if any(o.uid == item.uid and o.blocks for o in d.owners)]
            if not blocking:
                return Decision(Act.FINISH_FOREGROUND)
            return Decision(Act.NOTHING, dependents=tuple(d.uid for d in dependents))
        if item.deleting or not item.owners:
            return Decision(Act.NOTHING)
        return self._dependent(item, absent, dependents)

    def _dependent(self, item: Item, absent: frozenset[str], dependents: list[Item]) -> Decision:
        waiting = {o.uid for o in item.owners if (known := self.items.get(o.uid)) and known.in_foreground}
        gone = {o.uid for o in item.owners if o.uid in absent}
        solid = {o.uid for o in item.owners} - waiting - gone
        if solid:
            stale = frozenset(gone | waiting)
            return Decision(Act.UNLINK, uids=stale) if stale else Decision(Act.NOTHING)
        if waiting and dependents:
            return Decision(Act.DELETE, policy="Foreground", dependents=tuple(d.uid for d in dependents))
        return Decision(Act.DELETE, policy="Background")
