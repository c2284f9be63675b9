"""Server-side apply: PATCH with `application/apply-patch+yaml` (KEP-555; structured-merge-diff, `merge`).

The applier states the fields it has an opinion on. What it says is laid over the live object; what it said last time
and no longer says goes, unless somebody else owns it; a value that another manager owns and that would change is a
conflict, unless forced. Pure: neither input is written to. Called by: the PATCH handler, before the strategy runs;
calls typed, typedmerge, managedfields.

Raises only StatusError:
  400 BadRequest  the configuration does not fit the schema as far as merging needs it (unknown field, wrong kind,
                  list items with the same or no key), states managedFields or another apiVersion
  409 Conflict    with one cause FieldManagerConflict for each field of each manager
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from isthmus.machinery import errors, fieldpath, jsonvalue, managedfields, typed, typedmerge
from isthmus.machinery.fieldpath import FieldSet
from isthmus.machinery.managedfields import Entry
from isthmus.machinery.schema import Node
from isthmus.machinery.typed import Object

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
KUBECTL = "kubectl"  # the manager whose applies keep that annotation up to date
MAX_ANNOTATIONS_BYTES = 256 * 1024


def apply(
    live: Object | None,
    applied: Object,
    *,
    node: Node | None,
    manager: str,
    force: bool,
    api_version: str,
    time: str,
    subresource: str = "",
    reset_fields: Iterable[fieldpath.Path] = (),
) -> Object:
    """The merged object with its metadata.managedFields; `live` None means that the apply creates it.

    `time` is the request's as metav1.Time. `reset_fields` are the paths that the resource's strategy takes from the
    live object anyway (("f:status",) of a main resource): applying them neither conflicts nor owns. An apply that
    changes nothing returns an object equal to `live`, times included.
    """
    _refuse_unfit(applied, api_version, node)
    entries = _entries(live, node, api_version, time)
    bare = _without_managed_fields(live or {})
    configuration = typed.without(applied, fieldpath.from_paths(reset_fields), node)
    mine = managedfields.build_entry(manager, "Apply", api_version, time, _claimed(configuration, node), subresource)
    me = managedfields.identity(mine)
    last = next((entry for entry in entries if managedfields.identity(entry) == me), None)
    others = [entry for entry in entries if entry is not last]

    merged = typedmerge.merge(bare, configuration, node)
    if last is not None:
        merged = _prune(merged, managedfields.fields_of(last), [mine, *others], node)
    changed, removed = managedfields.changes(bare, merged, node)
    if not force:
        _refuse_conflicts(others, changed)
    others = managedfields.disown(others, changed, removed)

    if manager == KUBECTL:
        merged = _sync_last_applied(merged, applied)
    if last is not None and last["fieldsV1"] == mine["fieldsV1"] and jsonvalue.equal(bare, merged):
        mine = {**last, "apiVersion": api_version}
    entries = managedfields.merge_entry(others, mine) if mine["fieldsV1"] else others
    return {**merged, "metadata": {**_metadata(merged), "managedFields": entries}}


def _entries(live: Object | None, node: Node | None, api_version: str, time: str) -> list[Entry]:
    """The live object's entries; if it is not tracked yet, one that owns all of it."""
    entries = managedfields.entries_of(live)
    if entries or live is None:
        return entries or []
    return managedfields.update(
        None,
        _without_managed_fields(live),
        node=node,
        manager=managedfields.BEFORE_FIRST_APPLY,
        api_version=api_version,
        time=time,
    )


def _without_managed_fields(obj: Object) -> Object:
    metadata = _metadata(obj)
    if "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {name: value for name, value in metadata.items() if name != "managedFields"}}


def _metadata(obj: Object) -> Object:
    metadata = obj.get("metadata")
    return metadata if type(metadata) is dict else {}


def _claimed(configuration: Object, node: Node | None) -> FieldSet:
    return managedfields.without_bookkeeping(typed.field_set(configuration, node))


def _prune(merged: Object, last: FieldSet, entries: list[Entry], node: Node | None) -> Object:
    """The object less what this manager applied last time and nobody, itself included, owns now."""
    owned: FieldSet = {}
    for entry in entries:
        owned = fieldpath.union(owned, managedfields.fields_of(entry))
    owned, last = typed.with_named_fields(owned, node), typed.with_named_fields(last, node)
    if not fieldpath.difference(last, owned):
        return merged

    everything = _present(merged, node)
    # What went with a removed parent comes back if it has an owner, and its parents with it.
    kept = fieldpath.union(_present(typed.without(merged, last, node, null_lists=True), node), owned)
    pruned = typed.without(merged, fieldpath.difference(everything, kept), node, null_lists=True)
    # What nobody owned, and was not applied by us either, was never ours to remove.
    gone = fieldpath.difference(everything, _present(pruned, node))
    ours = fieldpath.difference(fieldpath.intersection(gone, last), owned)
    out: Object = typed.without(merged, ours, node)
    return out


def _present(obj: Object, node: Node | None) -> FieldSet:
    return typed.with_named_fields(typed.field_set(obj, node), node)


def _refuse_conflicts(others: list[Entry], changed: FieldSet) -> None:
    conflicts: list[tuple[str, str]] = []
    for entry in sorted(others, key=managedfields.identity):
        taken = fieldpath.intersection(managedfields.fields_of(entry), changed)
        who = _describe_manager(entry)
        conflicts.extend((who, fieldpath.describe(path)) for path in fieldpath.paths(taken))
    if not conflicts:
        return
    causes = [
        errors.Cause(field, f"conflict with {who}", reason="FieldManagerConflict").as_dict() for who, field in conflicts
    ]
    message = "Apply failed with " + _list_conflicts(conflicts)
    raise errors.StatusError(409, "Conflict", message, details={"causes": causes})


def _list_conflicts(conflicts: list[tuple[str, str]]) -> str:
    if len(conflicts) == 1:
        who, field = conflicts[0]
        return f"1 conflict: conflict with {who}: {field}"
    lines: list[str] = []
    for who in dict.fromkeys(who for who, _ in conflicts):
        lines.append(f"conflicts with {who}:")
        lines.extend(f"- {field}" for other, field in conflicts if other == who)
    return f"{len(conflicts)} conflicts: " + "\n".join(lines)


def _describe_manager(entry: Entry) -> str:
    text = fieldpath.quote(entry.get("manager", ""))
    if subresource := entry.get("subresource"):
        text += f" with subresource {fieldpath.quote(subresource)}"
    if entry["operation"] == "Update":
        text += f" using {entry['apiVersion']}"
        if time := entry.get("time"):
            text += f" at {time}"
    return text


def _sync_last_applied(merged: Object, applied: Object) -> Object:
    """Keep client-side apply's annotation, if the object has one, in step, so that either kind of apply may follow."""
    metadata = _metadata(merged)
    annotations = metadata.get("annotations")
    if type(annotations) is not dict or not annotations.get(LAST_APPLIED):
        return merged
    configuration = typed.without(applied, {"f:metadata": {"f:annotations": {"f:" + LAST_APPLIED: {}}}}, None)
    text = json.dumps(configuration, separators=(",", ":"), sort_keys=True, ensure_ascii=False) + "\n"
    annotations = {**annotations, LAST_APPLIED: text}
    if sum(len(name) + len(str(value)) for name, value in annotations.items()) > MAX_ANNOTATIONS_BYTES:
        del annotations[LAST_APPLIED]
    return {**merged, "metadata": {**metadata, "annotations": annotations}}


def _refuse_unfit(applied: Any, api_version: str, node: Node | None) -> None:
    if type(applied) is not dict:
        raise errors.bad_request("an apply patch is an object")
    if (version := applied.get("apiVersion")) != api_version:
        raise errors.bad_request(
            f"Incorrect version specified in apply patch. Specified patch version: {version}, expected: {api_version}"
        )
    metadata = _metadata(applied)
    if metadata.get("managedFields") is not None:
        raise errors.bad_request("metadata.managedFields must be nil")
    if found := list(_misfits(applied, node, (), preserve=False)):
        name = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"
        what = f"({name}; {api_version}, Kind={applied.get('kind', '')})"
        listing = found[0] if len(found) == 1 else "errors:\n  " + "\n  ".join(found)
        raise errors.bad_request(f"failed to create typed patch object {what}: {listing}")


_TYPES = {"object": dict, "array": list}
_WORDS = {dict: "map", list: "list", str: "string", bool: "boolean", int: "number", float: "number"}


def _misfits(value: Any, node: Node | None, path: fieldpath.Path, *, preserve: bool) -> Iterator[str]:
    """Where a configuration does not fit its schema so that it could not be merged or owned by field."""
    if node is None or value is None:
        return
    preserve = preserve or node.preserve_unknown_fields
    expected = _TYPES.get(node.type)
    if type(value) is not expected and (expected or (node.type and type(value) in (dict, list))):
        word = _WORDS[expected] if expected else node.type
        yield f"{fieldpath.describe(path)}: expected {word}, got {_WORDS[type(value)]}"
    elif type(value) is dict:
        closed = node.additional is None and not preserve
        closed = closed and bool(node.property_names or node.raw.get("additionalProperties") is False)
        for name, below in value.items():
            if closed and name not in node.property_names and (path or name not in ("apiVersion", "kind", "metadata")):
                yield f"{fieldpath.describe((*path, 'f:' + name))}: field not declared in schema"
            else:
                yield from _misfits(below, node.property(name), (*path, "f:" + name), preserve=preserve)
    elif type(value) is list:
        yield from _misfit_items(value, node, path, preserve=preserve)


def _misfit_items(value: list[Any], node: Node, path: fieldpath.Path, *, preserve: bool) -> Iterator[str]:
    seen = set()
    for position, item in enumerate(value):
        element = f"i:{position}"
        if typed.is_granular_list(node):
            if why := _keyless(item, node):
                yield f"{fieldpath.describe(path)}: element {position}: {why}"
                continue
            element = fieldpath.item_element(item, node)
            if element in seen:
                yield f"{fieldpath.describe(path)}: duplicate entries for key {fieldpath.describe((element,))}"
            seen.add(element)
        yield from _misfits(item, node.items, (*path, element), preserve=preserve)


def _keyless(item: Any, node: Node) -> str:
    """Why an item of a granular list has no identity; "" if it has."""
    if node.list_type == "set":
        return "" if item is not None else "a set may not have a null element"
    if type(item) is not dict:
        return "associative list with keys may not have non-map elements"
    keys = node.list_map_key_defaults
    if keys and all(name not in item and default is None for name, default in keys):
        names = ", ".join(name for name, _ in keys)
        return f"associative list with keys has an element that omits all key fields ({names})"
    return ""
