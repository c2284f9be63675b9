"""What a home begins with: namespaces, RBAC, our CRDs. Written at every start where missing.

A home that an older version made gets what this one has newer: the schemas of our own CRDs, and rules that our roles
lack (kube-apiserver, too, adds those at its start). Everything else may have been changed by its owner and stays.
"""

import asyncio
import copy
import logging
from collections.abc import Callable
from typing import Any

from isthmus.engine.auth import bootstrappolicy
from isthmus.engine.auth.authorization import CLUSTER_ROLE_BINDINGS
from isthmus.engine.registry.write import WriteContext
from isthmus.engine.server.context import Server
from isthmus.engine.store.row import Key, Row
from isthmus.kinds import catalogue
from isthmus.machinery import errors

log = logging.getLogger(__name__)
Object = dict[str, Any]
AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease", "kubevirt", "cdi")


def objects() -> list[Object]:
    """In the order in which they must be there."""
    out: list[Object] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}} for n in NAMESPACES]
    out += bootstrappolicy.objects()
    out += catalogue.own_crds()
    return out


async def write(server: Server) -> None:
    """Create what is missing; all writes share a few commits."""
    context = WriteContext("system:apiserver", ("system:masters",), manager="apiserver", field_validation="Strict")
    context.internal = True  # what ships with us was checked by its tests: its rules need not be compiled here
    wanted = [(obj, *_find(server, obj)) for obj in objects()]
    await asyncio.gather(*(_create(server, obj, context) for obj, _, found in wanted if found is None))
    await asyncio.gather(*(_withdraw(server, name, context) for name in bootstrappolicy.WITHDRAWN))
    for obj, key, found in wanted:
        if found is not None and (renew := RENEW.get(obj["kind"])) is not None:
            await _renew(server, obj, key, renew, context)


async def _withdraw(server: Server, name: str, context: WriteContext) -> None:
    """Delete a binding that an older version made and that grants too much."""
    served = server.registry.by_resource(CLUSTER_ROLE_BINDINGS)
    assert served
    key = (served.stored_as, "", name)
    if server.store.get(key) is not None:
        await server.storage.delete(served, key, {}, context)


def _find(server: Server, obj: Object) -> tuple[Key, Row | None]:
    served = server.registry.by_kind(obj["apiVersion"], obj["kind"])
    assert served, f"{obj['kind']} is not served"
    metadata = obj["metadata"]
    key = (served.stored_as, metadata.get("namespace", ""), metadata["name"])
    return key, server.store.get(key)


def _new_schema(crd: Object, ours: Object) -> Object:
    return crd | {"spec": ours["spec"]}


def _missing_rules(role: Object, ours: Object) -> Object:
    """Our rules and labels that are not there; none where the owner has said so (kube-apiserver's annotation)."""
    metadata = role["metadata"]
    if (metadata.get("annotations") or {}).get(AUTOUPDATE) == "false":
        return role
    rules = role.get("rules") or []
    labels = ours["metadata"]["labels"] | (metadata.get("labels") or {})
    rules = rules + [rule for rule in ours["rules"] if rule not in rules]
    return role | {"metadata": metadata | {"labels": labels}, "rules": rules}


# kind -> (what is stored, what we ship) -> what is to be stored
RENEW: dict[str, Callable[[Object, Object], Object]] = {
    "CustomResourceDefinition": _new_schema,
    "ClusterRole": _missing_rules,
}


async def _renew(
    server: Server, obj: Object, key: Key, renew: Callable[[Object, Object], Object], context: WriteContext
) -> None:
    """Update what an older version wrote. Writes nothing where nothing differs; a failure is no reason not to start."""
    served = server.registry.by_resource(key[0])
    assert served
    try:
        await server.storage.update(served, key, lambda old: renew(old, copy.deepcopy(obj)), context)
    except errors.StatusError as error:
        log.warning("cannot renew %s %s: %s", obj["kind"], key[2], error)


async def _create(server: Server, obj: Object, context: WriteContext) -> None:
    served = server.registry.by_kind(obj["apiVersion"], obj["kind"])
    assert served
    try:
        await server.storage.create(served, copy.deepcopy(obj), context)
    except errors.StatusError as error:
        if error.reason != "AlreadyExists":
            raise
