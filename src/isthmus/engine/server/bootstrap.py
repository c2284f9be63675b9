"""What a new home begins with: namespaces, RBAC, our CRDs. Written at every start where missing."""

import asyncio
import copy
from typing import Any

from isthmus.engine.auth import bootstrappolicy
from isthmus.engine.registry.write import WriteContext
from isthmus.engine.server.context import Server
from isthmus.kinds import catalogue
from isthmus.machinery import errors

Object = dict[str, Any]
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
    missing = [o for o in objects() if not _exists(server, o)]
    await asyncio.gather(*(_create(server, obj, context) for obj in missing))


def _exists(server: Server, obj: Object) -> bool:
    served = server.registry.by_kind(obj["apiVersion"], obj["kind"])
    assert served, f"{obj['kind']} is not served"
    metadata = obj["metadata"]
    return server.store.get((served.stored_as, metadata.get("namespace", ""), metadata["name"])) is not None


async def _create(server: Server, obj: Object, context: WriteContext) -> None:
    served = server.registry.by_kind(obj["apiVersion"], obj["kind"])
    assert served
    try:
        await server.storage.create(served, copy.deepcopy(obj), context)
    except errors.StatusError as error:
        if error.reason != "AlreadyExists":
            raise
