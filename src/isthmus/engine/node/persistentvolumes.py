"""Local volumes: the directory and disk of each PersistentVolume whose path lies in this node's `volumes/`.

A finalizer of ours stands for the directory: it is put on before there is data, and taken off after the data is gone,
so that neither a crash nor a forgotten object leaves a volume behind.
"""

import asyncio
from pathlib import Path
from typing import Any

from isthmus.client import resources
from isthmus.client.cached import CachedClient
from isthmus.engine.node.disk import files
from isthmus.engine.node.disk.sources import local_path
from isthmus.engine.node.vm.errors import DiskError, SpecError
from isthmus.machinery import quantity

Object = dict[str, Any]
Key = tuple[str, str]

RETRY_SECONDS = 30.0
FINALIZER = "isthmus.dev/local-volume"


class PersistentVolumeReconciler:
    """Reconciles one PersistentVolume."""

    def __init__(self, cached: CachedClient, directory: Path) -> None:
        self._cached = cached
        self._directory = directory

    def _path(self, volume: Object) -> Path | None:
        """Where the volume lies, if it is one of ours."""
        try:
            path = Path(local_path(volume))
        except SpecError:
            return None
        return path if path.parent.resolve() == self._directory.resolve() else None

    async def reconcile(self, key: Key) -> float | None:
        """Make, grow or remove the volume's directory."""
        volume = self._cached.get(resources.PVS, *key)
        path = self._path(volume) if volume else None
        if volume is None or path is None:
            return None
        finalizers = list(volume["metadata"].get("finalizers") or [])
        if volume["metadata"].get("deletionTimestamp"):
            if FINALIZER in finalizers:
                await self._release(volume, path, finalizers)
            return None
        if FINALIZER not in finalizers:
            volume = await self._write_finalizers(volume, [*finalizers, FINALIZER])
        size = quantity.whole((volume["spec"].get("capacity") or {}).get("storage", 0))
        try:
            await asyncio.to_thread(files.ensure_volume, path, size)
        except DiskError as error:
            await self._cached.recorder.warning(volume, error.reason, str(error))
            return RETRY_SECONDS
        return None

    async def _release(self, volume: Object, path: Path, finalizers: list[str]) -> None:
        if volume["spec"].get("persistentVolumeReclaimPolicy") != "Retain":
            await asyncio.to_thread(files.remove_volume, path, self._directory)
        await self._write_finalizers(volume, [name for name in finalizers if name != FINALIZER])

    async def _write_finalizers(self, volume: Object, finalizers: list[str]) -> Object:
        guard = {"resourceVersion": volume["metadata"]["resourceVersion"], "finalizers": finalizers}
        return await self._cached.patch(resources.PVS, volume, {"metadata": guard})
