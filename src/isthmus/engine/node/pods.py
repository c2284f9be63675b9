"""Reconcile the Pods of this node that are no launchers: worker pods run as processes; others cannot run here.

Pending -> volumes found, process started -> Running -> process gone -> Succeeded or Failed
deleted -> SIGTERM, after the grace period SIGKILL -> object removed
"""

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isthmus.client import resources
from isthmus.client.cached import CachedClient
from isthmus.engine.node import graceperiods, podstatus
from isthmus.engine.node.disk import files as diskfiles
from isthmus.engine.node.disk.sources import Sources, local_path
from isthmus.engine.node.vm.errors import MachineError
from isthmus.engine.node.worker import process
from isthmus.engine.node.writer import Writer
from isthmus.lib import clock, run
from isthmus.machinery import quantity

Object = dict[str, Any]
Key = tuple[str, str]

LOOK_SECONDS = 0.5
RETRY_SECONDS = 3.0
NO_RUNTIME = "this node runs virtual machines and the image isthmus.dev/worker, no other containers"


class PodReconciler:
    """`environment` is what every worker gets: where the API is, and who it is there."""

    def __init__(
        self, cached: CachedClient, node: str, host_ip: str, directory: Path, environment: Mapping[str, str]
    ) -> None:
        self._cached = cached
        self._node = node
        self._host_ip = host_ip
        self._directory = directory
        self._environment = environment
        self._writer = Writer(cached)
        self._deadlines = graceperiods.Deadlines()
        self._pids: dict[str, int] = {}

    def files(self, uid: str) -> process.Files:
        """Where a worker's log and exit code lie."""
        return process.Files(self._directory / uid)

    async def reconcile(self, key: Key) -> float | None:
        """Take the next step for one Pod."""
        pod = self._cached.get(resources.PODS, *key)
        if pod is None or pod["spec"].get("nodeName") != self._node:
            return None
        if not process.is_worker(pod):
            await self._refuse(pod)
            return None
        if podstatus.is_final(pod):
            await self._delete_if_asked(pod)
            return None
        files = self.files(pod["metadata"]["uid"])
        if not files.started.exists():
            return await self._start(pod, files)
        return await self._look(pod, files)

    async def _refuse(self, pod: Object) -> None:
        if pod["metadata"].get("deletionTimestamp"):
            await self._delete_if_asked(pod)
        elif not podstatus.is_final(pod):
            await self._writer.patch_pod(
                pod, podstatus.waiting(pod, "CreateContainerError", NO_RUNTIME, clock.timestamp())
            )

    async def _start(self, pod: Object, files: process.Files) -> float | None:
        if pod["metadata"].get("deletionTimestamp"):
            await self._delete_if_asked(pod)
            return None
        try:
            volumes = await self._volumes(pod)
            container = pod["spec"]["containers"][0]
            environment = {**process.given_environment(container), **self._environment}
            pid = process.start(files, [str(a) for a in container.get("args") or ()], volumes, environment)
        except (MachineError, run.CommandError) as error:
            reason = error.reason if isinstance(error, MachineError) else "CreateContainerError"
            await self._cached.recorder.warning(pod, reason, str(error))
            await self._writer.patch_pod(pod, podstatus.waiting(pod, reason, str(error), clock.timestamp()))
            return RETRY_SECONDS
        self._pids[pod["metadata"]["uid"]] = pid
        await self._writer.patch_pod(pod, podstatus.running(pod, self._host_ip, [self._host_ip], clock.timestamp()))
        return LOOK_SECONDS

    async def _volumes(self, pod: Object) -> dict[str, str]:
        sources = Sources(self._cached.client, pod["metadata"]["namespace"])
        found = {}
        for volume in pod["spec"].get("volumes") or ():
            if claim := (volume.get("persistentVolumeClaim") or {}).get("claimName"):
                persistent = await sources.claim_volume(claim)
                path = Path(local_path(persistent))
                diskfiles.ensure_volume(path, quantity.whole(persistent["spec"]["capacity"]["storage"]))
                found[volume["name"]] = str(path)
            else:
                found[volume["name"]] = str(await self._small_volume(pod, volume, sources))
        return found

    async def _small_volume(self, pod: Object, volume: Object, sources: Sources) -> Path:
        """emptyDir, Secret and ConfigMap volumes: a directory in the pod's own."""
        path: Path = self.files(pod["metadata"]["uid"]).directory / "volumes" / volume["name"]
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        contents: dict[str, bytes] = {}
        if source := volume.get("secret"):
            contents = await sources.secret(source["secretName"], optional=bool(source.get("optional")))
        elif source := volume.get("configMap"):
            contents = await sources.configmap(source["name"], optional=bool(source.get("optional")))
        for name, data in contents.items():
            diskfiles.write_once(path / name, data)
        return path

    async def _look(self, pod: Object, files: process.Files) -> float | None:
        uid = pod["metadata"]["uid"]
        pid = self._pids.get(uid) or process.find(files)
        if pid is not None and process.is_alive(pid):
            self._pids[uid] = pid
            await self._terminate_if_asked(pod, pid)
            if (pod.get("status") or {}).get("phase") != "Running":
                await self._writer.patch_pod(
                    pod, podstatus.running(pod, self._host_ip, [self._host_ip], clock.timestamp())
                )
            return LOOK_SECONDS
        self._pids.pop(uid, None)
        self._deadlines.forget(uid)
        code = process.read_exit(files)
        end = podstatus.Ended(code, "Completed" if code == 0 else "Error", _last_line(files.log) if code else "")
        pod = await self._writer.patch_pod(pod, podstatus.ended(pod, end, clock.timestamp()))
        await self._delete_if_asked(pod)
        return None

    async def _terminate_if_asked(self, pod: Object, pid: int) -> None:
        deadline = self._deadlines.find(pod["metadata"]["uid"], graceperiods.of_pod(pod))
        if deadline is not None:
            process.terminate(pid, force=not self._deadlines.seconds_to(deadline))

    async def _delete_if_asked(self, pod: Object) -> None:
        if pod["metadata"].get("deletionTimestamp"):
            await self._writer.remove_pod(pod)

    async def collect(self) -> None:
        """Remove what pods that are gone have left; a worker without its Pod is ended."""
        known = {pod["metadata"]["uid"] for pod in self._cached.informer(resources.PODS).list()}
        for entry in list(self._directory.iterdir()) if self._directory.is_dir() else []:
            if entry.name in known:
                continue
            if (pid := process.find(self.files(entry.name))) is not None:
                process.terminate(pid, force=True)
            self._pids.pop(entry.name, None)
            self._deadlines.forget(entry.name)
            await asyncio.to_thread(shutil.rmtree, entry, ignore_errors=True)


def _last_line(log: Path, limit: int = 2048) -> str:
    """The end of a log as a termination message (FallbackToLogsOnError)."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - limit))
            return file.read(limit).decode(errors="replace").strip()
    except OSError:
        return ""
