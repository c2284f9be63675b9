"""What the server itself keeps of an object's metadata: which fields a write may not change, when generations count,
which finalizers a deletion adds. Pure; called by `storage`."""

from typing import Any

from isthmus.engine.registry.registry import Served
from isthmus.engine.registry.write import WriteContext
from isthmus.machinery import errors, jsonvalue

Object = dict[str, Any]
OWNED = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
)
ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"


def put(target: Object, name: str, value: Any) -> None:
    """Set a field, or take it away where the value says nothing."""
    if value in (None, [], {}):
        target.pop(name, None)
    else:
        target[name] = value


def counts_generations(served: Served) -> bool:
    """Custom resources always do; built-in kinds where there is a status to tell from the spec."""
    wanted = served.strategy.generation
    return (served.kind.status or served.custom) if wanted is None else wanted


def spec_changed(old: Object, new: Object) -> bool:
    """Anything but metadata and status (kube-apiserver counts generations so for custom resources)."""
    ignored = ("metadata", "status", "apiVersion", "managedFields")
    before = {k: v for k, v in old.items() if k not in ignored}
    after = {k: v for k, v in new.items() if k not in ignored}
    return not same(before, after)


def without_status(obj: Object) -> Object:
    """The object less its status."""
    return {name: value for name, value in obj.items() if name != "status"}


def same(old: Object, new: Object) -> bool:
    """Equal as JSON: `==` settles nearly everything, but takes 1 for true."""
    return old == new and jsonvalue.equal(old, new)


def carry_over(served: Served, old: Object, new: Object, context: WriteContext) -> Object:
    """`new` with put back what a write to this endpoint may not change (managedFields are the business of `ownership`).

    It is in the storage version now, in whichever version of its CRD it lay in the store. The result and its metadata
    are fresh dicts; what lies below may be shared with both arguments.
    """
    metadata = dict(old["metadata"])
    wanted = new.get("metadata") or {}
    if context.subresource == "":
        metadata = dict(wanted)
        for name in OWNED:
            put(metadata, name, old["metadata"].get(name))
    elif context.operation == "Apply":
        metadata["managedFields"] = wanted.get("managedFields", [])
    if context.subresource == "status":
        if served.strategy.status_metadata:
            for name in ("labels", "annotations"):
                put(metadata, name, wanted.get(name))
        kept = {k: v for k, v in old.items() if k != "status"}
        new = kept | ({"status": new["status"]} if "status" in new else {})
    elif context.subresource == "" and served.kind.status:
        new = {k: v for k, v in new.items() if k != "status"} | ({"status": old["status"]} if "status" in old else {})
    return {**new, "apiVersion": served.kind.api_version(), "kind": old["kind"], "metadata": metadata}


def check_preconditions(served: Served, old: Object, wanted: Object) -> None:
    """An update that names a uid or resourceVersion is of that object in that version. Raises StatusError 409."""
    kind, now = served.kind, old["metadata"]
    if wanted.get("uid") and wanted["uid"] != now["uid"]:
        why = f"Precondition failed: UID in precondition: {wanted['uid']}, UID in object meta: {now['uid']}"
        raise errors.conflict(kind.group, kind.plural, now["name"], why)
    if wanted.get("resourceVersion") and wanted["resourceVersion"] != now["resourceVersion"]:
        raise errors.conflict(kind.group, kind.plural, now["name"], errors.MODIFIED)


def check_delete_preconditions(served: Served, metadata: Object, wanted: Object) -> None:
    """As `check_preconditions`, of DeleteOptions. Raises StatusError 409."""
    for field, label in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if wanted.get(field) and wanted[field] != metadata.get(field):
            why = f"the {label} in the precondition ({wanted[field]}) does not match the {label} in record "
            why += f"({metadata.get(field)}). The object might have been deleted and then recreated"
            raise errors.conflict(served.kind.group, served.kind.plural, metadata["name"], why)


def propagation_finalizers(metadata: Object, options: Object) -> list[str]:
    """The finalizers with `orphan` or `foregroundDeletion` as the deletion's propagation policy wants them."""
    kept = [f for f in metadata.get("finalizers") or [] if f not in (ORPHAN, FOREGROUND)]
    policy = options.get("propagationPolicy")
    if policy is None and options.get("orphanDependents") is not None:
        policy = "Orphan" if options["orphanDependents"] else "Background"
    if policy is None:
        return list(metadata.get("finalizers") or [])
    extra = {"Orphan": [ORPHAN], "Foreground": [FOREGROUND]}.get(policy, [])
    return kept + extra


def waits(served: Served, obj: Object) -> bool:
    """Whether a deletion waits although no finalizer is left."""
    return served.strategy.waits(obj) or (
        served.strategy.graceful and obj["metadata"].get("deletionGracePeriodSeconds", 0) > 0
    )


def grace_seconds(served: Served, obj: Object, options: Object) -> int:
    """How long a deletion waits for whoever runs the object: 0 for kinds that nobody runs, and for Pods on no node."""
    if not served.strategy.graceful or not (obj.get("spec") or {}).get("nodeName"):
        return 0
    if (obj.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    if (asked := options.get("gracePeriodSeconds")) is not None:
        return max(0, int(asked))
    configured = obj["spec"].get("terminationGracePeriodSeconds")
    return 30 if configured is None else max(0, int(configured))
