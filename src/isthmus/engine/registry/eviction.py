"""Eviction: a deletion that a PodDisruptionBudget may refuse (policy/v1, pods/eviction).

What a budget allows is taken from its status before the Pod goes; that is one guarded write, so two evictions never
share the last disruption. Rules: `machinery.disruption`.
Called by the server's subresource handler.
"""

import dataclasses
from typing import Any

import orjson

from isthmus.engine.registry.registry import Registry, Served
from isthmus.engine.registry.storage import Storage
from isthmus.engine.registry.write import WriteContext
from isthmus.engine.store.row import Key
from isthmus.lib import clock
from isthmus.machinery import conditions, disruption, errors

Object = dict[str, Any]
PODS, BUDGETS = "pods", "poddisruptionbudgets.policy"
TARGET = "DisruptionTarget"  # the condition of a Pod that somebody has decided to end


async def evict(storage: Storage, registry: Registry, key: Key, options: Object, context: WriteContext) -> None:
    """Delete a Pod if its budget allows it. Raises StatusError (404, 429, 403, 500 for two budgets, 409 as a deletion).

    `options` is a DeleteOptions; `context` that of the request, for the Pod itself.
    """
    pods = registry.by_resource(PODS)
    assert pods
    # What refuses a deletion refuses it before a disruption is spent on it.
    await storage.delete(pods, key, options, dataclasses.replace(context, dry_run=True))
    pod = storage.lookup(*key)
    if pod is not None and not disruption.is_unguarded(pod):
        budget = _find_budget(storage, pod)
        healthy = budget is None or disruption.takes_from(budget, pod)
        if budget is not None and healthy:
            await _take(storage, registry, budget, key[2], context)
        if not context.dry_run:
            marked = await storage.modify(pods, key, _mark, _for_status(context))
            if budget is not None and not healthy:
                return await _delete_unhealthy(storage, pods, key, marked, options, context)
    await storage.delete(pods, key, options, context)
    return None


def _find_budget(storage: Storage, pod: Object) -> Object | None:
    rows = (row for row in storage.store.heads(BUDGETS) if row.key[1] == pod["metadata"]["namespace"])
    return disruption.find_budget((row.decode() for row in rows), pod)


async def _take(storage: Storage, registry: Registry, budget: Object, pod: str, context: WriteContext) -> None:
    """Take one disruption from the budget as it is when it is written."""
    served = registry.by_resource(BUDGETS)
    assert served
    metadata, now = budget["metadata"], clock.timestamp()

    def change(newest: Object) -> Object:
        return newest | {"status": disruption.take(newest, pod, now)}

    await storage.modify(served, (BUDGETS, metadata["namespace"], metadata["name"]), change, _for_status(context))


async def _delete_unhealthy(
    storage: Storage, pods: Served, key: Key, marked: bytes, options: Object, context: WriteContext
) -> None:
    """A Pod for which nothing was taken must not have become healthy meanwhile: then it is to be asked for anew."""
    given = options.get("preconditions") or {}
    revision = given.get("resourceVersion") or orjson.loads(marked)["metadata"]["resourceVersion"]
    try:
        await storage.delete(pods, key, options | {"preconditions": given | {"resourceVersion": revision}}, context)
    except errors.StatusError as error:
        if error.code == 409 and not given.get("resourceVersion"):
            raise disruption.changed(key[2]) from error
        raise


def _mark(pod: Object) -> Object:
    condition = conditions.build(TARGET, True, "EvictionByEvictionAPI", "Eviction API: evicting")
    status = pod.get("status") or {}
    return pod | {
        "status": status | {"conditions": conditions.put(status.get("conditions"), condition, clock.timestamp())}
    }


def _for_status(context: WriteContext) -> WriteContext:
    """The server's own write of a status, in the name of who evicts: they need not be allowed to write it."""
    return WriteContext(
        context.user,
        context.groups,
        subresource="status",
        manager="kube-apiserver",
        dry_run=context.dry_run,
        internal=True,
    )
