"""The generic verbs over the store: create, guaranteed update, delete. One path for built-in kinds and CRDs.

Between reading `store.head` and `store.append` nothing awaits, so an update function runs exactly once and no write can
slip in between. Answers are the stored bytes.
"""

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Any

import orjson

from isthmus.engine.registry import schema
from isthmus.engine.registry.admission import Admission
from isthmus.engine.registry.registry import Served
from isthmus.engine.registry.write import WriteContext
from isthmus.engine.store.row import Change, Key, Row
from isthmus.engine.store.store import Store, StoreError
from isthmus.lib import clock
from isthmus.machinery import errors, managedfields, names, objectmeta

Object = dict[str, Any]
Update = Callable[[Object], Object]  # from a fresh copy of the current object to the wanted one

SERVER_OWNED = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink")
ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"


class Storage:
    """The verbs. One instance serves every kind."""

    def __init__(self, store: Store, admission: Admission) -> None:
        self.store = store
        self._admission = admission

    async def create(self, served: Served, obj: Object, context: WriteContext) -> bytes:
        """Store a new object and give its bytes. Raises StatusError (422, 409 AlreadyExists, 403 by admission)."""
        kind = served.kind
        metadata = obj.setdefault("metadata", {})
        _assign_name(metadata)
        for name in ("deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "selfLink"):
            metadata.pop(name, None)
        metadata["uid"] = str(uuid.uuid4())
        metadata["creationTimestamp"] = clock.timestamp()
        obj["apiVersion"] = kind.api_version()
        obj["kind"] = kind.kind
        if kind.status and kind.builtin is False:
            obj.pop("status", None)
        self._admission.mutate(served, obj, None, context)
        served.strategy.prepare(obj, None, context)
        causes = schema.conform(served, obj, context)
        causes += objectmeta.validate_create(
            metadata, namespaced=kind.namespaced, name_check=served.strategy.name_check
        )
        causes += served.strategy.validate(obj, None, context)
        if causes:
            raise errors.invalid(kind.group, kind.kind, metadata.get("name", ""), causes)
        self._admission.validate(served, obj, None, context)
        if _counts_generations(served):
            metadata["generation"] = 1
        if context.operation != "Apply":
            _set_or_drop(metadata, "managedFields", managedfields.update(None, obj, **_field_owner(served, context)))
        key = (served.stored_as, metadata.get("namespace", ""), metadata["name"])
        if self.store.head(key) is not None:
            raise errors.already_exists(kind.group, kind.plural, metadata["name"])
        return await self._append(key, obj, Change.ADDED, context)

    async def update(self, served: Served, key: Key, change: Update, context: WriteContext) -> bytes:
        """Replace an object by what `change` makes of it and give its bytes.

        An update that changes nothing writes nothing. Raises StatusError (404, 409 Conflict, 422).
        """
        head = self.store.head(key)
        if head is None:
            raise errors.not_found(served.kind.group, served.kind.plural, key[2])
        old, new = head.decode(), change(head.decode())
        _check_preconditions(served, old, new.get("metadata") or {})
        new = _carry_over(served, old, new, context)
        self._admission.mutate(served, new, old, context)
        served.strategy.prepare(new, old, context)
        causes = schema.conform(served, new, context)
        causes += objectmeta.validate_update(new["metadata"], old["metadata"])
        causes += served.strategy.validate(new, old, context)
        if causes:
            raise errors.invalid(served.kind.group, served.kind.kind, key[2], causes)
        self._admission.validate(served, new, old, context)
        metadata = new["metadata"]
        if _counts_generations(served) and _spec_changed(old, new):
            metadata["generation"] = int(metadata.get("generation") or 0) + 1
        if context.operation != "Apply":
            _set_or_drop(metadata, "managedFields", managedfields.update(old, new, **_field_owner(served, context)))
        if new == old:
            return await self._unchanged(head)
        if "deletionTimestamp" in metadata and not metadata.get("finalizers") and not _waits(served, new):
            return await self._append(key, new, Change.DELETED, context)
        return await self._append(key, new, Change.MODIFIED, context)

    async def delete(self, served: Served, key: Key, options: Object, context: WriteContext) -> tuple[bytes, bool]:
        """Delete an object, or mark it where finalizers or a grace period want time: (its bytes, whether it is gone).

        `options` is a DeleteOptions. Raises StatusError (404, 409 when a precondition fails).
        """
        kind = served.kind
        head = self.store.head(key)
        if head is None:
            raise errors.not_found(kind.group, kind.plural, key[2])
        obj = head.decode()
        metadata = obj["metadata"]
        _check_delete_preconditions(served, metadata, options.get("preconditions") or {})
        self._admission.validate_delete(served, obj, context)
        finalizers = _propagation_finalizers(metadata, options)
        grace = _grace_seconds(served, obj, options)
        if not finalizers and grace == 0 and not served.strategy.waits(obj):
            return await self._append(key, obj, Change.DELETED, context), True
        before = orjson.dumps(obj)
        served.strategy.mark_deleted(obj)
        _set_or_drop(metadata, "finalizers", finalizers)
        if "deletionTimestamp" not in metadata or grace < metadata.get("deletionGracePeriodSeconds", 0):
            metadata["deletionTimestamp"] = clock.timestamp(time.time() + grace)
            metadata["deletionGracePeriodSeconds"] = grace
            if _counts_generations(served):
                metadata["generation"] = int(metadata.get("generation") or 0) + 1
        if orjson.dumps(obj) == before:
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
        row = Row(key, revision, orjson.dumps(_ordered(obj)), change, obj["metadata"].get("labels") or {})
        try:
            # A client that goes away does not take back a write that others may already build upon.
            await asyncio.shield(self.store.append(row))
        except StoreError as error:
            raise errors.internal(str(error)) from error
        return row.value

    async def _unchanged(self, head: Row) -> bytes:
        try:
            await self.store.settled(head)
        except StoreError as error:
            raise errors.internal(str(error)) from error
        return head.value


def _ordered(obj: Object) -> Object:
    """apiVersion, kind and metadata first, as people and `server.versions` expect them."""
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": obj["metadata"], **obj}


def _assign_name(metadata: Object) -> None:
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = names.generate(metadata["generateName"])


def _counts_generations(served: Served) -> bool:
    wanted = served.strategy.generation
    return (served.kind.status or not served.kind.builtin) if wanted is None else wanted


def _field_owner(served: Served, context: WriteContext) -> dict[str, Any]:
    return {
        "node": served.node(served.kind.storage_version),
        "manager": context.manager,
        "api_version": served.kind.api_version(context.version or None),
        "time": clock.timestamp(),
        "subresource": context.subresource,
    }


def _spec_changed(old: Object, new: Object) -> bool:
    """Anything but metadata and status (kube-apiserver counts generations so for custom resources)."""
    ignored = ("metadata", "status", "apiVersion")
    return {k: v for k, v in old.items() if k not in ignored} != {k: v for k, v in new.items() if k not in ignored}


def _carry_over(served: Served, old: Object, new: Object, context: WriteContext) -> Object:
    """Put back what a write to this endpoint may not change."""
    if context.subresource:
        if context.subresource == "status":
            kept = {k: v for k, v in old.items() if k != "status"}
            new = kept | ({"status": new["status"]} if "status" in new else {})
        metadata = dict(old["metadata"])
        if context.operation == "Apply":
            metadata["managedFields"] = new["metadata"].get("managedFields", [])
        return {**new, "metadata": metadata}
    metadata = dict(new.get("metadata") or {})
    for name in ("name", "namespace", "resourceVersion", *SERVER_OWNED):
        _set_or_drop(metadata, name, old["metadata"].get(name))
    if not metadata.get("managedFields") and "managedFields" in old["metadata"]:
        metadata["managedFields"] = old["metadata"]["managedFields"]
    new = {**new, "apiVersion": old["apiVersion"], "kind": old["kind"], "metadata": metadata}
    if served.kind.status:
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]
    return new


def _set_or_drop(target: Object, name: str, value: Any) -> None:
    if value in (None, [], {}):
        target.pop(name, None)
    else:
        target[name] = value


def _check_preconditions(served: Served, old: Object, wanted: Object) -> None:
    kind, now = served.kind, old["metadata"]
    if wanted.get("uid") and wanted["uid"] != now["uid"]:
        why = f"Precondition failed: UID in precondition: {wanted['uid']}, UID in object meta: {now['uid']}"
        raise errors.conflict(kind.group, kind.plural, now["name"], why)
    if wanted.get("resourceVersion") and wanted["resourceVersion"] != now["resourceVersion"]:
        raise errors.conflict(kind.group, kind.plural, now["name"], errors.MODIFIED)


def _check_delete_preconditions(served: Served, metadata: Object, wanted: Object) -> None:
    for field, label in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if wanted.get(field) and wanted[field] != metadata.get(field):
            why = f"the {label} in the precondition ({wanted[field]}) does not match the {label} in record "
            why += f"({metadata.get(field)}). The object might have been deleted and then recreated"
            raise errors.conflict(served.kind.group, served.kind.plural, metadata["name"], why)


def _propagation_finalizers(metadata: Object, options: Object) -> list[str]:
    """The finalizers with `orphan` or `foregroundDeletion` as the deletion's propagation policy wants them."""
    kept = [f for f in metadata.get("finalizers") or [] if f not in (ORPHAN, FOREGROUND)]
    policy = options.get("propagationPolicy")
    if policy is None and "orphanDependents" in options:
        policy = "Orphan" if options["orphanDependents"] else "Background"
    if policy is None:
        return list(metadata.get("finalizers") or [])
    extra = {"Orphan": [ORPHAN], "Foreground": [FOREGROUND]}.get(policy, [])
    return kept + extra


def _waits(served: Served, obj: Object) -> bool:
    return served.strategy.waits(obj) or (
        served.strategy.graceful and obj["metadata"].get("deletionGracePeriodSeconds", 0) > 0
    )


def _grace_seconds(served: Served, obj: Object, options: Object) -> int:
    """How long a deletion waits for whoever runs the object: 0 for kinds that nobody runs, and for Pods on no node."""
    if not served.strategy.graceful or not (obj.get("spec") or {}).get("nodeName"):
        return 0
    if (obj.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    if (asked := options.get("gracePeriodSeconds")) is not None:
        return max(0, int(asked))
    configured = obj["spec"].get("terminationGracePeriodSeconds")
    return 30 if configured is None else max(0, int(configured))
