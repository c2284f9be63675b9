"""Sets of field paths in their wire form, FieldsV1, and the algebra on them (structured-merge-diff, `fieldpath`).

A `FieldSet` is a plain dict, exactly what stands in `managedFields[].fieldsV1`, so nothing is decoded or encoded:

    {"f:spec": {"f:ports": {".": {}, 'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}}}}}

A key is a path element: `f:` a field, `k:` the item of a list-map that has these keys, `v:` the item of a set, `i:` an
index. A path is a member of the set if its value is {} or holds "."; any other value only leads to members below.
{} as a whole is the empty set. Elements compare as strings, so they are always written canonically (sorted keys, no
spaces); `canonical` brings foreign ones into that form. Order of keys has no meaning.

Pure: results share structure with the inputs, which are never written to. Called by: typed, managedfields,
serversideapply.
"""

import json
from collections.abc import Iterable, Iterator
from json.encoder import encode_basestring
from typing import Any

from isthmus.machinery import schema

FieldSet = dict[str, Any]
Path = tuple[str, ...]

MAX_DEPTH = 200  # of sets that come from outside; deeper objects cannot be encoded anyway

quote = encode_basestring  # a string as JSON, written in C
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


class FieldSetError(ValueError):
    """Something that should be FieldsV1 is not."""


def _text(value: Any) -> str:
    return quote(value) if type(value) is str else _encode(value)


def item_element(item: Any, node: schema.Node) -> str:
    """The path element of an item of a list of type set or map; absent keys are filled with their defaults."""
    if node.list_type != "map" or type(item) is not dict:
        return "v:" + _text(item)
    parts = []
    for name, default in node.list_map_key_defaults:
        if (value := item.get(name, default)) is not None or name in item:
            parts.append(f'"{name}":{_text(value)}')
    return "k:{" + ",".join(parts) + "}"


def is_member(below: FieldSet) -> bool:
    """Whether the path whose entry in the set is `below` is itself a member."""
    return not below or "." in below


def _settled(below: FieldSet) -> FieldSet | None:
    """An entry in its shortest form: None if nothing is left, {} if only the path itself."""
    if not below:
        return None
    return {} if len(below) == 1 and "." in below else below


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    """Members of either."""
    if not left or left is right:
        return right
    out = left
    for key, theirs in right.items():
        ours = left.get(key)
        if ours is None:
            both = theirs
        elif ours is theirs or not (ours or theirs):
            continue
        else:
            both = union(ours or {".": {}}, theirs or {".": {}})
            if both is ours:
                continue
        if out is left:
            out = dict(left)
        out[key] = both
    return out


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    """Members of both."""
    out = {}
    for key, theirs in right.items():
        if (ours := left.get(key)) is None:
            continue
        if ours and theirs:
            both = _settled(intersection(ours, theirs))
        else:
            both = {} if is_member(ours) and is_member(theirs) else None
        if both is not None:
            out[key] = both
    return out


def difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """Members of `left` that are not in `right`. A path and the paths below it are independent.

    Returns `left` itself when the two have nothing in common.
    """
    out = left
    for key, theirs in right.items():
        if (ours := left.get(key)) is None:
            continue
        rest = _entry_difference(ours, theirs)
        if rest is ours:
            continue
        if out is left:
            out = dict(left)
        if rest is None:
            del out[key]
        else:
            out[key] = rest
    return out


def _entry_difference(ours: FieldSet, theirs: FieldSet) -> FieldSet | None:
    if not ours:
        return None if is_member(theirs) else ours
    rest = difference(ours, theirs or {".": {}})
    return ours if rest is ours else _settled(rest)


def has(fields: FieldSet, path: Iterable[str]) -> bool:
    """Whether the path is a member."""
    here: FieldSet | None = fields
    for element in path:
        if not here or (here := here.get(element)) is None:
            return False
    return here is not fields and here is not None and is_member(here)


def paths(fields: FieldSet) -> Iterator[Path]:
    """Every member, sorted, a path before those below it."""
    for element in sorted(fields):
        if element == ".":
            continue
        below = fields[element]
        if is_member(below):
            yield (element,)
        for path in paths(below):
            yield (element, *path)


def from_paths(members: Iterable[Iterable[str]]) -> FieldSet:
    """The set of these paths (each not empty)."""
    out: FieldSet = {}
    for path in members:
        one: FieldSet = {}
        for element in reversed(tuple(path)):
            one = {element: one}
        out = union(out, one)
    return out


def describe(path: Iterable[str]) -> str:
    """A path as people read it and as conflicts name it: .spec.ports[port=80,protocol="TCP"].targetPort."""
    return "".join(map(_describe_element, path))


def _describe_element(element: str) -> str:
    tag, rest = element[:2], element[2:]
    if tag == "f:":
        return "." + rest
    if tag == "k:":
        return "[" + ",".join(f"{name}={_encode(value)}" for name, value in json.loads(rest).items()) + "]"
    return f"[={rest}]" if tag == "v:" else f"[{rest}]"


def canonical(fields: Any, depth: int = MAX_DEPTH) -> FieldSet:
    """FieldsV1 that came from outside, checked and in canonical form. Raises FieldSetError.

    Elements of a kind that nobody knows are dropped, as the real server does.
    """
    if type(fields) is not dict or not depth:
        raise FieldSetError(f"FieldsV1 is an object of objects, at most {MAX_DEPTH} deep")
    out: FieldSet = {}
    for key, below in fields.items():
        if key == ".":
            out["."] = {}
        elif (element := _canonical_element(key)) is not None:
            inner = canonical(below, depth - 1)
            out[element] = union(out[element] or {".": {}}, inner or {".": {}}) if element in out else inner
    return {} if len(out) == 1 and "." in out else out


def _canonical_element(key: str) -> str | None:
    tag, rest = key[:2], key[2:]
    if tag == "f:":
        return key
    if len(tag) < 2 or tag[1] != ":":
        raise FieldSetError(f"{key!r} is no path element")
    if tag not in ("k:", "v:", "i:"):
        return None
    try:
        value = json.loads(rest)
    except (ValueError, RecursionError) as error:
        raise FieldSetError(f"{key!r} is no path element: {error}") from None
    if (tag == "k:" and type(value) is not dict) or (tag == "i:" and type(value) is not int):
        raise FieldSetError(f"{key!r} is no path element")
    return tag + _encode(value)
