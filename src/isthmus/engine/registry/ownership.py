"""metadata.managedFields on the way of a write: what a request says of them, and what is recorded in the end.

A request may bring entries of its own. Valid ones are taken, an empty list or [{}] resets, and with anything else, or
nothing, the live object's stay: a client that knows nothing of managedFields can neither break a write by them nor lose
them (apimachinery, pkg/util/managedfields/internal/fieldmanager.go, decodeLiveOrNew). Pure; called by `storage`.
"""

from typing import Any

from isthmus.engine.registry import metadata as meta
from isthmus.engine.registry import schema
from isthmus.engine.registry.registry import Served
from isthmus.engine.registry.write import WriteContext
from isthmus.lib import clock
from isthmus.machinery import fieldpath, managedfields

Object = dict[str, Any]
FIELD = "managedFields"
RESET: list[Object] = [{}]  # how a patch, which cannot say "an empty list", says it


def settle(new: Object, old: Object | None, context: WriteContext) -> None:
    """Leave in the metadata of `new`, in place, the entries to go on from. Entries that are no entries at all stay: to
    refuse them is the schema's business."""
    metadata = new["metadata"]
    wish, live = metadata.get(FIELD), managedfields.entries_of(old)
    if wish is live or wish == [] or context.operation == "Apply":  # which has made its entries already
        return
    if wish is None or wish == live:
        meta.put(metadata, FIELD, live)
    elif wish == RESET:
        metadata[FIELD] = []
    elif _are_entries(wish):
        meta.put(metadata, FIELD, _valid(wish) or live)


def _are_entries(wish: Any) -> bool:
    """Whether their fields but `fieldsV1`, which may be any JSON, have the types of a ManagedFieldsEntry."""
    return isinstance(wish, list) and all(
        isinstance(entry, dict)
        and all(value is None or isinstance(value, str) for name, value in entry.items() if name != "fieldsV1")
        for entry in wish
    )


def _valid(wish: list[Object]) -> list[Object]:
    """The entries in canonical form; none if one of them is wrong."""
    try:
        return managedfields.decode([{k: v for k, v in entry.items() if v is not None} for entry in wish])
    except fieldpath.FieldSetError:
        return []


def record(served: Served, new: Object, old: Object | None, context: WriteContext) -> None:
    """Write into `new` who owns what, now that it is as it will be stored.

    Of a kind with a status subresource nobody owns the status by writing the object itself.
    """
    metadata = new["metadata"]
    if context.operation == "Apply":
        meta.put(metadata, FIELD, metadata.get(FIELD))
        return
    if context.subresource == "" and served.kind.status and not served.strategy.keeps_status:
        old, new = None if old is None else meta.without_status(old), meta.without_status(new)
    owners = managedfields.update(
        old,
        new,
        node=schema.node_for(served, context),
        manager=context.manager,
        api_version=served.kind.api_version(context.version or None),
        time=clock.timestamp(),
        subresource=context.subresource,
    )
    meta.put(metadata, FIELD, owners)
