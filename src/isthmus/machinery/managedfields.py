"""metadata.managedFields: who owns which field of an object (apimachinery, `pkg/util/managedfields`).

`update` gives the list after an ordinary create, update or patch: the manager owns what it changed, and nobody else
does. Server-side apply builds on the same entries in serversideapply.

All API versions of a kind are taken to have the same fields, as with conversion strategy None: one comparison serves
every entry. Pure; entries and sets that did not change are handed on by reference. Called by: the registry's storage
(once a write, before the object is encoded); calls typed, fieldpath.
"""

from typing import Any

from isthmus.machinery import fieldpath, typed
from isthmus.machinery.fieldpath import FieldSet
from isthmus.machinery.schema import Node
from isthmus.machinery.typed import Object

Entry = dict[str, Any]
Identity = tuple[str, str, str, str]

MAX_UPDATE_MANAGERS = 10
ANCIENT_CHANGES = "ancient-changes"  # who owns the fields of the oldest entries beyond that
BEFORE_FIRST_APPLY = "before-first-apply"  # who owns what an object without entries holds when it is applied to

# What the server writes itself or that names the object: no entry ever holds these.
BOOKKEEPING = frozenset({"apiVersion", "kind"})
METADATA_BOOKKEEPING = frozenset({"name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp"}) | {
    "managedFields",
    "selfLink",
    "clusterName",
}


def update(
    old: Object | None,
    new: Object,
    *,
    node: Node | None,
    manager: str,
    api_version: str,
    time: str,
    operation: str = "Update",
    subresource: str = "",
) -> list[Entry]:
    """The metadata.managedFields to store with `new`, which replaces `old` (None: it is created).

    `new` is the object as it will be stored, defaults and the strategy's changes included; `time` is the request's, as
    metav1.Time ("2026-11-24T08:00:00Z"). What stands in `new`'s own managedFields counts as the request's wish: an
    empty list resets, a valid list replaces, anything else keeps the old one; of a subresource it is ignored. An
    existing object without any entries stays without (it is not tracked until somebody applies). [] means: no field.
    """
    entries = _requested(old, new, subresource)
    if not entries and old is not None:
        return []
    changed, removed = changes(old or {}, new, node)
    if not changed and not removed:
        return entries
    entries = disown(entries, changed, removed)
    if changed:
        entry = build_entry(manager, operation, api_version, time, changed, subresource)
        entries = cap(merge_entry(entries, entry))
    return entries


def changes(old: Object, new: Object, node: Node | None) -> tuple[FieldSet, FieldSet]:
    """(changed or added, removed) between two whole objects, less the bookkeeping that nobody owns."""
    changed, removed = typed.changes(_owned(old), _owned(new), node)
    if (metadata := changed.get("f:metadata")) is not None and fieldpath.is_member(metadata):
        del changed["f:metadata"]  # it is bookkeeping itself; what is below it is not
        if rest := {element: below for element, below in metadata.items() if element != "."}:
            changed["f:metadata"] = rest
    return changed, removed


def _owned(obj: Object) -> Object:
    """The object less its bookkeeping."""
    out = {name: value for name, value in obj.items() if name not in BOOKKEEPING}
    metadata = obj.get("metadata")
    if type(metadata) is dict:
        out["metadata"] = {name: value for name, value in metadata.items() if name not in METADATA_BOOKKEEPING}
    return out


def without_bookkeeping(fields: FieldSet) -> FieldSet:
    """The set less the paths that nobody owns."""
    return fieldpath.difference(fields, _BOOKKEEPING_PATHS)


_BOOKKEEPING_PATHS: FieldSet = {
    **{f"f:{name}": {} for name in BOOKKEEPING},
    "f:metadata": {".": {}, **{f"f:{name}": {} for name in METADATA_BOOKKEEPING}},
}


def build_entry(
    manager: str, operation: str, api_version: str, time: str | None, fields: FieldSet, subresource: str
) -> Entry:
    """One entry of managedFields."""
    entry: Entry = {"manager": manager or "unknown", "operation": operation, "apiVersion": api_version}
    if time:
        entry["time"] = time
    entry |= {"fieldsType": "FieldsV1", "fieldsV1": fields}
    if subresource:
        entry["subresource"] = subresource
    return entry


def identity(entry: Entry) -> Identity:
    """What makes two entries one: an applier is the same whatever the version it applies."""
    operation = entry["operation"]
    version = "" if operation == "Apply" else entry["apiVersion"]
    return entry.get("manager", ""), operation, version, entry.get("subresource", "")


def fields_of(entry: Entry) -> FieldSet:
    """The set of an entry."""
    fields: FieldSet = entry.get("fieldsV1") or {}
    return fields


def disown(entries: list[Entry], changed: FieldSet, removed: FieldSet) -> list[Entry]:
    """The entries less what somebody else changed and what is gone; an entry that owns nothing more is dropped."""
    out = []
    for entry in entries:
        had = fields_of(entry)
        left = fieldpath.difference(fieldpath.difference(had, changed), removed)
        if left:
            out.append(entry if left is had else {**entry, "fieldsV1": left})
    return out


def merge_entry(entries: list[Entry], entry: Entry) -> list[Entry]:
    """The entries with this one, joined to an earlier one of the same identity, in the server's order."""
    me = identity(entry)
    out = []
    for other in entries:
        if identity(other) == me:
            entry = {**entry, "fieldsV1": fieldpath.union(fields_of(other), fields_of(entry))}
        else:
            out.append(other)
    out.append(entry)
    out.sort(key=_order)
    return out


def _order(entry: Entry) -> tuple[str, ...]:
    """Appliers first, then by age."""
    return (
        entry["operation"],
        entry.get("time") or "",
        entry.get("manager", ""),
        entry["apiVersion"],
        entry.get("subresource", ""),
    )


def cap(entries: list[Entry]) -> list[Entry]:
    """At most MAX_UPDATE_MANAGERS updaters: the oldest of one apiVersion merge into one entry."""
    updaters = [entry for entry in entries if entry["operation"] != "Apply"]
    excess = len(updaters) - MAX_UPDATE_MANAGERS
    if excess <= 0:
        return entries
    updaters.sort(key=lambda entry: (entry.get("time") or "", entry.get("manager", "")))
    kept = [entry for entry in entries if entry["operation"] == "Apply"]
    buckets: dict[str, Entry] = {}
    for entry in updaters:
        version = entry["apiVersion"]
        if excess > 0 and version in buckets:
            fields = fieldpath.union(fields_of(buckets[version]), fields_of(entry))
            buckets[version] = build_entry(ANCIENT_CHANGES, "Update", version, entry.get("time"), fields, "")
            excess -= 1
        elif excess > 0:
            buckets[version] = entry
        else:
            kept.append(entry)
    for entry in buckets.values():
        kept = merge_entry(kept, entry)
    return sorted(kept, key=_order)


def _requested(old: Object | None, new: Object, subresource: str) -> list[Entry]:
    """The entries to start from: those of the request if it brings valid ones, else those of the live object."""
    live = entries_of(old) or []
    wish = entries_of(new)
    if subresource or wish is None or wish is live or wish == live:
        return live
    if wish in ([], [{}]):
        return []
    try:
        return decode(wish) or live
    except fieldpath.FieldSetError:
        return live


def entries_of(obj: Object | None) -> list[Entry] | None:
    """An object's metadata.managedFields, if it has the list."""
    metadata = obj.get("metadata") if obj else None
    entries = metadata.get("managedFields") if type(metadata) is dict else None
    return entries if type(entries) is list else None


def decode(entries: list[Any]) -> list[Entry]:
    """Entries that came with a request, checked and in canonical form. Raises fieldpath.FieldSetError."""
    out: list[Entry] = []
    for position, entry in enumerate(entries):
        if type(entry) is not dict or any(type(entry.get(name, "")) is not str for name in _TEXTS):
            raise fieldpath.FieldSetError(f"managedFields[{position}] is no ManagedFieldsEntry")
        manager, operation, api_version, time, fields_type, subresource = (entry.get(name, "") for name in _TEXTS)
        if operation not in ("Apply", "Update") or not api_version:
            raise fieldpath.FieldSetError(f"managedFields[{position}] needs an operation (Apply, Update), apiVersion")
        if fields_type != "FieldsV1":
            raise fieldpath.FieldSetError(f"managedFields[{position}].fieldsType must be FieldsV1")
        if fields := fieldpath.canonical(entry.get("fieldsV1") or {}):
            out = merge_entry(out, build_entry(manager, operation, api_version, time, fields, subresource))
    return out


_TEXTS = ("manager", "operation", "apiVersion", "time", "fieldsType", "subresource")
