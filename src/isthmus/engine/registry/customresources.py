"""Makes CustomResourceDefinitions served kinds: follows their rows, adds and removes kinds, empties a kind that goes.

A CRD whose names are free is Established as soon as it is stored: its conditions are written with it (see the strategy
and `customresourcenames`), and the kind is served before the create is answered.
"""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Sequence
from typing import Any

from isthmus.engine.registry import customresourcenames
from isthmus.engine.registry.registry import Registry
from isthmus.engine.registry.storage import Storage
from isthmus.engine.registry.write import WriteContext
from isthmus.engine.store.row import Change, Row
from isthmus.engine.store.store import Store
from isthmus.kinds import catalogue
from isthmus.machinery import errors

log = logging.getLogger(__name__)
Object = dict[str, Any]
CRDS = "customresourcedefinitions.apiextensions.k8s.io"
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 1.0  # seconds between two looks at what is left of a kind that goes


class CustomResources:
    """One a server."""

    def __init__(self, store: Store, registry: Registry, storage: Storage) -> None:
        self._store, self._registry, self._storage = store, registry, storage
        self._built_in = {kind.resource for kind in registry.kinds()}
        self._tasks: set[asyncio.Task[None]] = set()
        self._going: set[str] = set()  # CRDs whose objects are being deleted

    def start(self) -> None:
        """Serve the CRDs that are stored, then follow."""
        rows = self._store.table(CRDS).list(None)
        self._store.subscribe(CRDS, self._follow)
        self._follow(rows)

    def _follow(self, rows: Sequence[Row]) -> None:
        for row in rows:
            crd = row.decode()
            name = crd["metadata"]["name"]
            if name in self._built_in:  # KubeVirt's and our own CRDs may be applied over these, and go: ours serve
                if self._begins_to_go(crd):
                    self._spawn(self._let_go(name))
                continue
            if row.change is Change.DELETED:
                self._registry.remove(name)
                self._store.hub.end(name)
                self._spawn(self._ask_again(crd["spec"]["group"]))
                continue
            before = row.previous.decode() if row.previous is not None else {}
            served = customresourcenames.is_established(crd)
            if served and (before.get("spec") != crd["spec"] or not customresourcenames.is_established(before)):
                self._registry.add(catalogue.kind_from_crd(crd))
            if self._begins_to_go(crd):
                self._spawn(self._empty(name))

    def _begins_to_go(self, crd: Object) -> bool:
        """Whether it waits for its objects to be deleted, and nobody has begun to."""
        metadata = crd["metadata"]
        if "deletionTimestamp" not in metadata or CLEANUP not in metadata.get("finalizers", []):
            return False
        begins = metadata["name"] not in self._going
        self._going.add(metadata["name"])
        return begins

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask_again(self, group: str) -> None:
        """A definition of `group` is gone: its names are free for those that wanted them too."""
        crds = self._registry.by_resource(CRDS)
        assert crds
        context = WriteContext("system:apiserver", ("system:masters",), manager="apiserver")
        for row in self._store.table(CRDS).list(None):
            crd = row.decode()
            if crd["spec"]["group"] == group and not customresourcenames.is_established(crd):
                with contextlib.suppress(errors.StatusError):
                    await self._storage.modify(crds, row.key, lambda crd: crd, context)

    async def _empty(self, name: str) -> None:
        """Delete every object of a kind that goes, then let the CRD go."""
        served, pause = self._registry.by_resource(name), FIRST_PAUSE
        context = WriteContext("system:apiserver", ("system:masters",), manager="apiserver")
        while served and (rows := self._store.table(served.stored_as).list(None)):
            for row in rows:
                try:
                    await self._storage.delete(served, row.key, {}, context)
                except errors.StatusError as error:
                    if error.code != 404:
                        log.warning("cannot delete %s of the kind that goes: %s", row.key, error)
            await asyncio.sleep(pause)  # finalizers of the objects want their time
            pause = min(2 * pause, LONGEST_PAUSE)
        await self._let_go(name)

    async def _let_go(self, name: str) -> None:
        crds = self._registry.by_resource(CRDS)
        assert crds
        context = WriteContext("system:apiserver", ("system:masters",), manager="apiserver")

        def let_go(crd: Object) -> Object:
            kept = [f for f in crd["metadata"].get("finalizers", []) if f != CLEANUP]
            crd["metadata"]["finalizers"] = kept
            return crd

        try:
            await self._storage.modify(crds, (CRDS, "", name), let_go, context)
        except errors.StatusError as error:
            if error.code != 404:
                log.warning("cannot remove the finalizer of CRD %s: %s", name, error)
        finally:
            self._going.discard(name)
