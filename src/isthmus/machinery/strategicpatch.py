"""Strategic merge patch: `application/strategic-merge-patch+json`, the patch of built-in kinds.

A merge patch that knows from the schema which lists are merged by key (x-kubernetes-patch-strategy, -patch-merge-key),
with directives inside the patch:

  "$patch": "replace" | "delete" | "merge"   in an object, or in an item of a merged list
  "$retainKeys": [names]                     of this object keep these fields only
  "$deleteFromPrimitiveList/x": [values]     remove these from the list of scalars x
  "$setElementOrder/x": [keys or scalars]    the order of x; items that it does not name keep their place among it

Behaviour, down to the order of merged lists, follows apimachinery's `pkg/util/strategicpatch`. Pure: neither input is
written to, the result shares with both. Called by: the PATCH handler (custom resources answer 415 before).

Raises only StatusError: 400 for a malformed patch, 422 where the lists cannot be merged.
"""

from collections.abc import Callable
from typing import Any

from isthmus.machinery import errors
from isthmus.machinery.schema import Node

Object = dict[str, Any]
Items = list[Any]

PATCH = "$patch"
RETAIN_KEYS = "$retainKeys"
SET_ORDER = "$setElementOrder/"
DELETE_FROM = "$deleteFromPrimitiveList/"


def apply(document: Object, patch: Any, node: Node | None) -> Object:
    """The document with the patch applied; `node` is the document's schema."""
    if type(patch) is not dict:
        raise errors.bad_request("a strategic merge patch is an object")
    return _merge_objects(document, patch, node)


def _merge_objects(original: Object, patch: Object, node: Node | None) -> Object:
    match patch.get(PATCH, "merge"):
        case "replace":
            return _cleaned_object(patch)
        case "delete":
            return {}
        case "merge":
            pass
        case other:
            raise _unknown_directive(other)
    out = _retained(original, patch)
    ordered = {name[len(SET_ORDER) :]: value for name, value in patch.items() if name.startswith(SET_ORDER)}
    for name, order in ordered.items():
        _merge_ordered(out, patch, name, order, _child(node, name))
    for name, value in patch.items():
        if not _is_directive(name) and name not in ordered:
            _merge_field(out, name, value, _child(node, name))
    for name, value in patch.items():
        if name.startswith(DELETE_FROM):
            _delete_scalars(out, name[len(DELETE_FROM) :], value)
    return out


def _merge_field(out: Object, name: str, value: Any, node: Node | None) -> None:
    was = out.get(name)
    if value is None:
        out.pop(name, None)
    elif type(was) is dict and type(value) is dict:
        replace = node is not None and "replace" in node.patch_strategies
        out[name] = _cleaned(value) if replace else _merge_objects(was, value, node)
    elif type(was) is list and type(value) is list:
        out[name] = _merge_lists(was, value, node)
    elif type(value) is dict and PATCH in value:
        out.pop(name, None)  # a directive about something that is not there
    else:
        out[name] = _cleaned(value)


def _child(node: Node | None, name: str) -> Node | None:
    return node.property(name) if node is not None else None


def _is_directive(name: str) -> bool:
    return name[:1] == "$" and (name in (PATCH, RETAIN_KEYS) or name.startswith((SET_ORDER, DELETE_FROM)))


def _cleaned(value: Any) -> Any:
    """A value of the patch as it enters the document: without nulls, directives and what they are about."""
    if type(value) is dict:
        return _cleaned_object(value)
    if type(value) is list:
        return [_cleaned(item) for item in value if not (type(item) is dict and PATCH in item)]
    return value


def _cleaned_object(value: Object) -> Object:
    return {
        name: _cleaned(below)
        for name, below in value.items()
        if below is not None and not _is_directive(name) and not (type(below) is dict and PATCH in below)
    }


def _retained(original: Object, patch: Object) -> Object:
    if RETAIN_KEYS not in patch:
        return dict(original)
    names = patch[RETAIN_KEYS]
    if type(names) is not list or any(type(name) is not str for name in names):
        raise errors.bad_request("invalid patch format of retainKeys: it is a list of field names")
    for name, value in patch.items():
        if value is not None and not _is_directive(name) and name not in names:
            raise errors.bad_request(f"invalid patch format of retainKeys: the patch has {name!r}, which is not in it")
    return {name: value for name, value in original.items() if name in names}


def _delete_scalars(out: Object, name: str, gone: Any) -> None:
    if gone is None:
        out.pop(name, None)
        return
    if type(gone) is not list or _kind(gone) is dict:
        raise errors.bad_request(f"invalid patch format of primitive list: {DELETE_FROM}{name} is a list of scalars")
    if type(items := out.get(name)) is list:
        if _kind(items, gone) is dict:
            raise errors.bad_request(f"invalid patch format of primitive list: {name} is a list of objects")
        keys = {_scalar(value) for value in gone}
        out[name] = [item for item in items if _scalar(item) not in keys]


def _merge_ordered(out: Object, patch: Object, name: str, order: Any, node: Node | None) -> None:
    """Merge the list `name`, then bring it into the order that the patch gives."""
    was, value = out.get(name, []), patch.get(name, [])
    if type(order) is not list or type(was) is not list or type(value) is not list:
        raise errors.bad_request(f"invalid patch format of setElementOrder list: {SET_ORDER}{name} is about two lists")
    if name not in out and name not in patch:
        return
    key = node.patch_merge_key if node is not None else ""
    identify = _identify(key)
    _refuse_other_order(value, order, identify, name)
    if name not in patch:
        merged = was
    elif name not in out:
        merged = _cleaned(value)
    else:
        merged = _merge_lists(was, value, node)
    _kind(was, value)
    out[name] = _interleave(merged, order, was, identify)


def _refuse_other_order(value: Items, order: Items, identify: "_Identify", name: str) -> None:
    if not value or not order:
        return
    remaining = iter([identify(item) for item in order])
    for item in value:
        if not (type(item) is dict and PATCH in item) and identify(item) not in remaining:
            raise errors.bad_request(f"the order of the patch's {name} doesn't match {SET_ORDER}{name}")


def _merge_lists(original: Items, patch: Items, node: Node | None) -> Items:
    if node is None or "merge" not in node.patch_strategies:
        return _cleaned(patch)  # type: ignore[no-any-return]
    if not original and not patch:
        return original
    if _kind(original, patch) is not dict:
        seen = {_scalar(item): item for item in reversed(original + patch)}
        merged = list(reversed(seen.values()))
        return _interleave(merged, patch, original, _scalar)
    if not node.patch_merge_key:
        raise errors.bad_request("cannot merge lists without merge key")
    return _merge_keyed(original, patch, node)


def _merge_keyed(original: Items, patch: Items, node: Node) -> Items:
    """Merge a list of objects by their merge key; new items come first, unless $setElementOrder says otherwise."""
    identify = _identify(node.patch_merge_key)
    given: Items = []
    replace = False
    for item in patch:
        match item.get(PATCH, "merge"):
            case "merge":
                given.append(item)
            case "delete":
                gone = identify(item)
                original = [other for other in original if identify(other) != gone]
            case "replace":
                replace = True
            case other:
                raise _unknown_directive(other)
    if replace:
        return [_cleaned_object(item) for item in given]
    merged = list(original)
    place: dict[Any, int] = {}
    for position, item in enumerate(original):
        place.setdefault(identify(item), position)
    for item in given:
        if (position := place.setdefault(identify(item), len(merged))) < len(merged):
            merged[position] = _merge_objects(merged[position], item, node.items)
        else:
            merged.append(_cleaned_object(item))
    return _interleave(merged, given, original, identify)


def _interleave(merged: Items, wanted: Items, live: Items, identify: "_Identify") -> Items:
    """Items that `wanted` names in its order, the others in the live order, woven as the live list had them.

    An item that the live list did not have stands before the others that are left.
    """
    order, before = _positions(wanted, identify), _positions(live, identify)
    named = sorted((item for item in merged if identify(item) in order), key=lambda item: order[identify(item)])
    others = sorted(
        (item for item in merged if identify(item) not in order),
        key=lambda item: before.get(identify(item), len(before)),
    )
    out: Items = []
    at = 0
    for item in named:
        here = before.get(identify(item))
        while here is not None and at < len(others) and before.get(identify(others[at]), here) < here:
            out.append(others[at])
            at += 1
        out.append(item)
    return out + others[at:]


_Identify = Callable[[Any], Any]


def _positions(items: Items, identify: _Identify) -> dict[Any, int]:
    out: dict[Any, int] = {}
    for position, item in enumerate(items):
        out.setdefault(identify(item), position)
    return out


def _identify(key: str) -> _Identify:
    """How the items of a merged list are told apart: by their merge key, or scalars by themselves."""
    if not key:
        return _scalar

    def by_key(item: Any) -> Any:
        if type(item) is not dict:
            raise errors.bad_request(f"expected an object with the merge key {key!r}, but received {_named(item)}")
        if key not in item:
            raise errors.bad_request(f"an object in a merged list does not contain declared merge key: {key}")
        return _scalar(item[key])

    return by_key


def _scalar(value: Any) -> Any:
    """A scalar so that JSON's true and 1 differ; containers, which have no business here, are refused."""
    if type(value) in (dict, list):
        raise errors.bad_request(f"expected a scalar in a merged list or as its key, but received {_named(value)}")
    return type(value) is bool, value


def _kind(*lists: Items) -> type | None:
    """dict if the items are objects, object if scalars, None if there are none; mixtures are refused."""
    kinds = {type(item) if type(item) in (dict, list) else object for items in lists for item in items}
    if list in kinds:
        raise errors.StatusError(422, "Invalid", "lists of lists are not supported")
    if len(kinds) > 1:
        raise errors.bad_request("list element types are not identical")
    return kinds.pop() if kinds else None


def _named(value: Any) -> str:
    return {dict: "an object", list: "a list", type(None): "null"}.get(type(value), repr(value)[:64])


def _unknown_directive(directive: Any) -> errors.StatusError:
    return errors.bad_request(f"unknown patch type: {PATCH} is replace, delete or merge, not {directive!r}")
