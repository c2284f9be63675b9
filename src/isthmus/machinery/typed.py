"""An object read through its schema: which fields it has and which changed (structured-merge-diff, `typed`).

A schema says where an object ends in leaves: scalars, and objects and lists of type atomic. Everything else is
granular: objects by field, lists of type set by value, of type map by key. Where the schema says nothing (`node` is
None) objects are granular and lists atomic. Values that do not fit their schema are read the same way, not refused.

Hot path: every create, update and patch runs `changes`. It skips by identity what a patch left untouched and otherwise
visits each value once. Pure. Called by: managedfields, serversideapply; calls fieldpath.
"""

from typing import Any

from isthmus.machinery import fieldpath, jsonvalue
from isthmus.machinery.fieldpath import FieldSet
from isthmus.machinery.schema import Node

Object = dict[str, Any]


class Repeated(list[Any]):
    """The items of a list that have one key between them, which they should not."""


def is_granular_map(node: Node | None) -> bool:
    """Whether the fields of an object here are owned one by one."""
    return node is None or node.map_type != "atomic"


def is_granular_list(node: Node | None) -> bool:
    """Whether the items of a list here are owned one by one."""
    return node is not None and node.list_type in ("map", "set")


def index_items(items: list[Any], node: Node) -> Object:
    """The items of a granular list by path element, in order."""
    out: Object = {}
    for item in items:
        element = fieldpath.item_element(item, node)
        if element not in out:
            out[element] = item
        elif type(out[element]) is Repeated:
            out[element].append(item)
        else:
            out[element] = Repeated((out[element], item))
    return out


def everything(value: Any, node: Node | None) -> FieldSet:
    """The entry of a value that appeared or disappeared as a whole: itself and all below it, containers included."""
    if type(value) is dict:
        if not value or (node is not None and node.map_type == "atomic"):
            return {}
        return {".": {}, **_everything_in(value, node)}
    if type(value) is list and value and node is not None and node.list_type != "atomic":
        out: FieldSet = {".": {}}
        below = node.items
        for element, item in index_items(value, node).items():
            out[element] = everything(item, below)
        return out
    return {}


def _everything_in(value: Object, node: Node | None) -> FieldSet:
    out: FieldSet = {}
    for name, below in value.items():
        kind = type(below)
        if below and (kind is dict or (kind is list and node is not None)):
            out["f:" + name] = everything(below, node.property(name) if node is not None else None)
        else:
            out["f:" + name] = {}
    return out


def changes(old: Object, new: Object, node: Node | None) -> tuple[FieldSet, FieldSet]:
    """(paths that were added or have another value, paths that are gone). Order in granular lists is no change."""
    changed: FieldSet = {}
    removed: FieldSet = {}
    _compare_objects(old, new, node, changed, removed)
    return changed, removed


def _compare_objects(old: Object, new: Object, node: Node | None, changed: FieldSet, removed: FieldSet) -> None:
    """Put what differs below one path into the entries of that path; so do the functions that follow."""
    for name, value in new.items():
        if name not in old:
            changed["f:" + name] = everything(value, node.property(name) if node is not None else None)
            continue
        was = old[name]
        if was is value:
            continue
        kind = type(value)
        if kind is not type(was) or kind is dict or kind is list:
            below = node.property(name) if node is not None else None
            _compare_values("f:" + name, was, value, below, changed, removed)
        elif was != value:
            changed["f:" + name] = {}
    for name, was in old.items():
        if name not in new:
            removed["f:" + name] = everything(was, node.property(name) if node is not None else None)


def _compare_values(element: str, old: Any, new: Any, node: Node | None, changed: FieldSet, removed: FieldSet) -> None:
    if old is new:
        return
    changed_below: FieldSet = {}
    removed_below: FieldSet = {}
    if type(old) is dict and type(new) is dict and is_granular_map(node):
        _compare_objects(old, new, node, changed_below, removed_below)
    elif type(old) is list and type(new) is list and node is not None and node.list_type != "atomic":
        _compare_items(old, new, node, changed_below, removed_below)
    elif not jsonvalue.equal(old, new):
        _compare_kinds(element, old, new, node, changed, removed)
    if changed_below:
        changed[element] = changed_below
    if removed_below:
        removed[element] = removed_below


def _compare_kinds(element: str, old: Any, new: Any, node: Node | None, changed: FieldSet, removed: FieldSet) -> None:
    """Two leaves, or two kinds of value; null stands for the empty container where the other is a granular one."""
    after = everything(new, node)
    before = {inner: below for inner, below in everything(old, node).items() if inner != "."}
    if old is None and after:
        after = {inner: below for inner, below in after.items() if inner != "."}
    if not (new is None and before):
        changed[element] = after
    if before:
        removed[element] = before


def _compare_items(old: list[Any], new: list[Any], node: Node, changed: FieldSet, removed: FieldSet) -> None:
    before, after, below = index_items(old, node), index_items(new, node), node.items
    for element, item in after.items():
        if element not in before:
            changed[element] = everything(item, below)
            continue
        was = before[element]
        if type(item) is not Repeated and type(was) is not Repeated:
            _compare_values(element, was, item, below, changed, removed)
        elif type(item) is not type(was):
            changed[element] = everything(item, below)
            removed[element] = everything(was, below)
        elif not jsonvalue.equal(list(was), list(item)):
            changed[element] = {}
    for element, was in before.items():
        if element not in after:
            removed[element] = everything(was, below)


def field_set(value: Object, node: Node | None) -> FieldSet:
    """What an applied configuration claims: its leaves, its list items, its map entries, but no plain struct itself."""
    out: FieldSet = {}
    named = node.property_names if node is not None else frozenset[str]()
    for name, below in value.items():
        entry = _claims(below, node.property(name) if node is not None else None)
        if below is None or below == {}:
            entry = {}
        elif name not in named:
            entry = {".": {}, **entry} if entry else {}
        if entry is not None:
            out["f:" + name] = entry
    return out


def _claims(value: Any, node: Node | None) -> FieldSet | None:
    """The entry of one value without the value itself; None if there is nothing to claim, {} if it is a leaf."""
    if type(value) is dict and is_granular_map(node):
        return field_set(value, node) or None
    if type(value) is list and is_granular_list(node):
        assert node is not None
        out: FieldSet = {}
        for element, item in index_items(value, node).items():
            entry = None if type(item) is Repeated else _claims(item, node.items)
            out[element] = {".": {}, **entry} if entry else {}
        return out or None
    return {}


def with_named_fields(fields: FieldSet, node: Node | None) -> FieldSet:
    """The set plus every named struct field that has members below it: such a field goes when all of it goes."""
    out: FieldSet = {}
    for element, below in fields.items():
        if not below:
            out[element] = below
            continue
        tag, name = element[:2], element[2:]
        inner = None
        if node is not None:
            inner = node.property(name) if tag == "f:" else node.items if tag == "k:" else None
        entry = with_named_fields(below, inner)
        if tag == "f:" and node is not None and name in node.property_names:
            entry["."] = {}
        out[element] = entry
    return out


def without(value: Any, fields: FieldSet, node: Node | None, *, null_lists: bool = False) -> Any:
    """The value less the members of the set, each with all below it.

    An object that becomes empty stays, and so does a list; with `null_lists` as null, which `field_set` counts as
    still claimed.
    """
    if not fields:
        return value
    if type(value) is dict and is_granular_map(node):
        kept: Object = {}
        for name, below in value.items():
            if (entry := fields.get("f:" + name)) is None:
                kept[name] = below
            elif not fieldpath.is_member(entry):
                inner = node.property(name) if node is not None else None
                kept[name] = without(below, entry, inner, null_lists=null_lists)
        return kept
    if type(value) is list and node is not None and node.list_type != "atomic":
        left = []
        for item in value:
            if (entry := fields.get(fieldpath.item_element(item, node))) is None:
                left.append(item)
            elif not fieldpath.is_member(entry):
                left.append(without(item, entry, node.items, null_lists=null_lists))
        return left or (None if null_lists and value else [])
    return value
