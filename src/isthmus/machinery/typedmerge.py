"""The merge of server-side apply: an applied configuration laid over the live object (structured-merge-diff, `typed`).

Pure: the result shares with its inputs what it can. Called by: serversideapply; calls typed, fieldpath.
"""

from typing import Any

from isthmus.machinery import fieldpath, typed
from isthmus.machinery.schema import Node
from isthmus.machinery.typed import Object


def merge(live: Any, applied: Any, node: Node | None) -> Any:
    """The live value with everything that `applied` says; nothing is removed.

    Where the two differ in kind, and in leaves, `applied` wins; null leaves a granular container as it is.
    """
    if type(live) is dict and live and typed.is_granular_map(node):
        if type(applied) is dict:
            return _merge_objects(live, applied, node)
        return live if applied is None else applied
    if type(live) is list and live and typed.is_granular_list(node):
        assert node is not None
        if type(applied) is list:
            return _merge_items(live, applied, node)
        return live if applied is None else applied
    return applied


def _merge_objects(live: Object, applied: Object, node: Node | None) -> Object:
    out = dict(live)
    for name, value in applied.items():
        if name in live:
            value = merge(live[name], value, node.property(name) if node is not None else None)
        out[name] = value
    return out


def _merge_items(live: list[Any], applied: list[Any], node: Node) -> list[Any]:
    """Items in the order of `applied`; those of the live list alone stand before what they stood before."""
    order = [fieldpath.item_element(item, node) for item in live]
    ours, theirs = typed.index_items(live, node), typed.index_items(applied, node)
    shared = iter([element for element in theirs if element in ours])
    wanted = next(shared, None)
    out: list[Any] = []
    at = 0
    for element, item in theirs.items():
        while at < len(order) and (order[at] not in theirs or order[at] != wanted):
            if order[at] not in theirs:
                out.append(live[at])
            at += 1
        mine = ours.get(element)
        known = element in ours and type(mine) is not typed.Repeated
        out.append(merge(mine, item, node.items) if known else item)
        if element == wanted:
            at += at < len(order) and order[at] == element
            wanted = next(shared, None)
    out.extend(live[i] for i in range(at, len(order)) if order[i] not in theirs)
    return out
