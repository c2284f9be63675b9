"""The generic verbs over the store: create, guaranteed update, delete. One path for built-in kinds and CRDs.

Between reading `store.head` and `store.append` nothing awaits, so an update function runs exactly once and no write can
slip in between. Answers are the stored bytes.

The order of a write (`_make_ready`): shape (prune, defaults) -> admission mutates -> strategy prepares -> schema,
metadata and strategy validate -> admission validates -> generation, managedFields; then it is appended. The hooks may
rely on the schema: where one stumbles over an object not in its shape, the schema's complaint is the answer.
"""

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from isthmus.engine.registry import metadata as meta
from isthmus.engine.registry import ownership, schema
from isthmus.engine.registry.admission import Admission
from isthmus.engine.registry.registry import Served
from isthmus.engine.registry.write import WriteContext
from isthmus.engine.store.row import Change, Key, Row
from isthmus.engine.store.store import Store, StoreError
from isthmus.lib import clock
from isthmus.machinery import errors, jsonvalue, names, objectmeta

Object = dict[str, Any]
Update = Callable[[Object], Object]  # from the current object to the wanted one
GENERATE_TRIES = 8
_random = random.Random()  # noqa: S311 - a uid must be unique, not secret; a system call each would be half its cost


class Storage:
    """The verbs. One instance serves every kind."""

    def __init__(self, store: Store, admission: Admission) -> None:
        self.store = store
        self._admission = admission

    async def create(self, served: Served, obj: Object, context: WriteContext) -> bytes:
        """Store a new object and give its bytes. Raises StatusError (422, 409 AlreadyExists, 403 by admission)."""
        kind = served.kind
        metadata = obj.setdefault("metadata", {})
        _start_metadata(metadata)
        obj["apiVersion"], obj["kind"] = kind.api_version(), kind.kind
        if kind.status and not served.strategy.keeps_status:
            obj.pop("status", None)
        self._assign_name(served, metadata)
        self._make_ready(served, obj, None, context)
        key = (served.stored_as, metadata.get("namespace", ""), metadata["name"])
        if self.store.head(key) is not None:
            raise errors.already_exists(kind.group, kind.plural, metadata["name"])
        return await self._append(key, obj, Change.ADDED, context)

    def _assign_name(self, served: Served, metadata: Object) -> None:
        """A name from generateName that is free (KEP-4420)."""
        prefix = metadata.get("generateName")
        if metadata.get("name") or not isinstance(prefix, str) or not prefix:
            return
        for _ in range(GENERATE_TRIES):
            metadata["name"] = names.generate(prefix)
            if self.store.head((served.stored_as, metadata.get("namespace", ""), metadata["name"])) is None:
                return

    async def modify(self, served: Served, key: Key, edit: Update, context: WriteContext) -> bytes:
        """`update` by a function that edits the object that it is given, in place."""
        return await self.update(served, key, lambda old: edit(orjson.loads(orjson.dumps(old))), context)

    async def update(self, served: Served, key: Key, change: Update, context: WriteContext) -> bytes:
        """Replace an object by what `change` makes of it and give its bytes.

        `change` must leave its argument as it is, but may share values with it: what is shared is not looked at again.
        An update that changes nothing writes nothing. Raises StatusError (404, 409 Conflict, 422).
        """
        head = self.store.head(key)
        if head is None:
            raise errors.not_found(served.kind.group, served.kind.plural, key[2])
        old = head.decode()
        wanted = change(old)
        meta.check_preconditions(served, old, wanted.get("metadata") or {})
        new = meta.carry_over(served, old, wanted, context)
        self._make_ready(served, new, old, context)
        if meta.same(old, new):
            return await self._unchanged(head)
        metadata = new["metadata"]
        if "deletionTimestamp" in metadata and not metadata.get("finalizers") and not meta.waits(served, new):
            return await self._append(key, new, Change.DELETED, context)
        return await self._append(key, new, Change.MODIFIED, context)

    def _make_ready(self, served: Served, new: Object, old: Object | None, context: WriteContext) -> None:
        """Everything between what was asked for and what is stored, in place. `old` is None on create."""
        with _explained(served, new, context):
            schema.shape(served, new, old, context)
            ownership.settle(new, old, context)
            self._admission.mutate(served, new, old, context)
            served.strategy.prepare(new, old, context)
            causes = schema.validate(served, new, old, context)
            causes += _validate_metadata(served, new, old)
            causes += served.strategy.validate(new, old, context)
        if causes:
            raise errors.invalid(served.kind.group, served.kind.kind, new["metadata"].get("name", ""), causes)
        self._admission.validate(served, new, old, context)
        _count_generation(served, new, old)
        ownership.record(served, new, old, context)

    async def delete(self, served: Served, key: Key, options: Object, context: WriteContext) -> tuple[bytes, bool]:
        """Delete an object, or mark it where finalizers or a grace period want time: (its bytes, whether it is gone).

        `options` is a DeleteOptions. Raises StatusError (404, 409 when a precondition fails).
        """
        head = self.store.head(key)
        if head is None:
            raise errors.not_found(served.kind.group, served.kind.plural, key[2])
        obj = head.decode()
        metadata = obj["metadata"]
        meta.check_delete_preconditions(served, metadata, options.get("preconditions") or {})
        self._admission.validate_delete(served, obj, context)
        finalizers = meta.propagation_finalizers(metadata, options)
        grace = meta.grace_seconds(served, obj, options)
        if not finalizers and grace == 0 and not served.strategy.waits(obj):
            return await self._append(key, obj, Change.DELETED, context), True
        if not _mark(served, obj, finalizers, grace):
            return await self._unchanged(head), False
        return await self._append(key, obj, Change.MODIFIED, context), False

    def lookup(self, resource: str, namespace: str, name: str) -> Object | None:
        """An object as the next write will find it, decoded."""
        row = self.store.head((resource, namespace, name))
        return row.decode() if row else None

    async def _append(self, key: Key, obj: Object, change: Change, context: WriteContext) -> bytes:
        if context.dry_run:
            return orjson.dumps(_ordered(obj))
        revision = self.store.next_revision()
        obj["metadata"]["resourceVersion"] = str(revision)
        row = Row(key, revision, jsonvalue.encode_to_keep(_ordered(obj)), change, obj["metadata"].get("labels") or {})
        try:
            # A client that goes away does not take back a write that others may already build upon.
            await asyncio.shield(self.store.append(row))
        except StoreError as error:
            raise _refusal(error) from error
        return row.value

    async def _unchanged(self, head: Row) -> bytes:
        try:
            await self.store.settled(head)
        except StoreError as error:
            raise _refusal(error) from error
        return head.value


@contextlib.contextmanager
def _explained(served: Served, obj: Object, context: WriteContext) -> Iterator[None]:
    """Rules are written for objects in their schema's shape: where one fails over another shape, say what is wrong."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        if causes := schema.validate(served, obj, None, context):
            name = str((obj.get("metadata") or {}).get("name", "")) if isinstance(obj.get("metadata"), dict) else ""
            raise errors.invalid(served.kind.group, served.kind.kind, name, causes) from error
        raise


def _validate_metadata(served: Served, new: Object, old: Object | None) -> list[errors.Cause]:
    if old is not None:
        return objectmeta.validate_update(new["metadata"], old["metadata"])
    namespaced, name_check = served.kind.namespaced, served.strategy.name_check
    return objectmeta.validate_create(new["metadata"], namespaced=namespaced, name_check=name_check)


def _count_generation(served: Served, new: Object, old: Object | None) -> None:
    if not meta.counts_generations(served):
        return
    metadata = new["metadata"]
    if old is None:
        metadata["generation"] = 1
    elif meta.spec_changed(old, new):
        metadata["generation"] = int(metadata.get("generation") or 0) + 1


def _refusal(error: StoreError) -> errors.StatusError:
    """507 where there is no room on the disk (RFC 4918, section 11.5), else 500."""
    return errors.StatusError(507, "InsufficientStorage", str(error)) if error.full else errors.internal(str(error))


def _ordered(obj: Object) -> Object:
    """apiVersion, kind and metadata first, as people expect them and `representation` relies on."""
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": obj["metadata"], **obj}


def _start_metadata(metadata: Object) -> None:
    if metadata.get("resourceVersion"):
        raise errors.bad_request("resourceVersion should not be set on objects to be created")
    for name in ("deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "selfLink", "generation"):
        metadata.pop(name, None)
    metadata["uid"] = str(uuid.UUID(int=_random.getrandbits(128), version=4))
    metadata["creationTimestamp"] = clock.timestamp()


def _mark(served: Served, obj: Object, finalizers: list[str], grace: int) -> bool:
    """Write into the object that it is being deleted. False if it says so already."""
    before = orjson.dumps(obj)
    metadata = obj["metadata"]
    served.strategy.mark_deleted(obj)
    meta.put(metadata, "finalizers", finalizers)
    if "deletionTimestamp" not in metadata or grace < metadata.get("deletionGracePeriodSeconds", 0):
        metadata["deletionTimestamp"] = clock.timestamp(time.time() + grace)
        metadata["deletionGracePeriodSeconds"] = grace
        if meta.counts_generations(served):
            metadata["generation"] = int(metadata.get("generation") or 0) + 1
    return orjson.dumps(obj) != before
