"""Reconcile one VMI of this node with its launcher Pod and its machine. The key is the VMI's namespace and name.

Level-triggered: each call looks at all three and takes the one next step.
"""

import logging
from typing import Any

from isthmus.client import resources
from isthmus.client.cached import CachedClient
from isthmus.engine.node import launchers, podstatus, status
from isthmus.engine.node.vm.machines import Machines, StillRunningError
from isthmus.engine.node.vm.process import Exit
from isthmus.engine.node.vmi.cleanup import Cleanup
from isthmus.engine.node.vmi.reporter import Node
from isthmus.engine.node.vmi.startup import Startup
from isthmus.engine.node.vmi.supervision import Supervision
from isthmus.engine.node.writer import Writer
from isthmus.lib import clock

log = logging.getLogger(__name__)

Object = dict[str, Any]
Key = tuple[str, str]

STILL_RUNNING_SECONDS = 30.0


class VmiReconciler:
    """Keeps nothing of its own."""

    def __init__(
        self,
        node: Node,
        cached: CachedClient,
        machines: Machines,
        writer: Writer,
        startup: Startup,
        supervision: Supervision,
        cleanup: Cleanup,
    ) -> None:
        self._node = node
        self._cached = cached
        self._machines = machines
        self._writer = writer
        self._startup = startup
        self._supervision = supervision
        self._cleanup = cleanup

    async def reconcile(self, key: Key) -> float | None:
        """Take the next step for one VMI; gives the seconds after which to look again."""
        vmi = self._cached.get(resources.VMIS, *key)
        pod = await self._find_pod(key, vmi)
        earlier = await self._remove_earlier(key, vmi)
        if vmi is not None:
            return await self._step(key, vmi, pod, earlier)
        if earlier is not None:
            return STILL_RUNNING_SECONDS
        await self._cleanup.release(key)
        return None

    async def _find_pod(self, key: Key, vmi: Object | None) -> Object | None:
        """The launcher Pod of this VMI on this node. One of an earlier VMI goes, if it is asked to."""
        mine = None
        for pod in self._cached.informer(resources.PODS).list(key[0]):
            if pod["spec"].get("nodeName") != self._node.name or launchers.launcher_key(pod) != key:
                continue
            if vmi and launchers.is_of(pod, vmi):
                mine = pod
            elif pod["metadata"].get("deletionTimestamp"):
                await self._writer.remove_pod(pod)
        return mine

    async def _remove_earlier(self, key: Key, vmi: Object | None) -> StillRunningError | None:
        """End machines of earlier VMIs of that name. Gives what keeps one from ending; its end will call us."""
        uid = vmi["metadata"]["uid"] if vmi else ""
        for earlier in self._machines.records.uids_of(key):
            if earlier != uid:
                try:
                    await self._cleanup.remove(earlier)
                except StillRunningError as error:
                    log.warning("%s; it is tried again", error)
                    return error
        return None

    async def _step(self, key: Key, vmi: Object, pod: Object | None, earlier: StillRunningError | None) -> float | None:
        uid, phase = vmi["metadata"]["uid"], (vmi.get("status") or {}).get("phase")
        if running := self._machines.find(uid):
            await self._supervision.step(key, vmi, pod, running)
        elif (reason := self._machines.find_exit(uid)) is not None:
            await self._cleanup.end(vmi, pod, reason)
        elif pod is None:
            await self._lose(vmi, str(phase))
        elif pod["metadata"].get("deletionTimestamp") or vmi["metadata"].get("deletionTimestamp"):
            await self._cleanup.withdraw(vmi, pod, podstatus.Ended(0, "Completed"))
        elif phase in status.FINAL:
            await self._cleanup.withdraw(vmi, pod, podstatus.Ended(1 if phase == "Failed" else 0, "Error"))
        elif phase == "Running":
            await self._cleanup.finish(vmi, pod, Exit.CRASHED, "the machine is gone")
        elif earlier is not None:
            return await self._wait_for_earlier(pod, earlier)
        else:
            return await self._startup.step(key, vmi, pod)
        return None

    async def _lose(self, vmi: Object, phase: str) -> None:
        """There is neither machine nor Pod. If it was ours, the directory was lost with the disk."""
        if vmi.get("status", {}).get("nodeName") == self._node.name and phase in ("Scheduled", "Running"):
            await self._cleanup.finish(vmi, None, Exit.CRASHED, "the machine and its directory are gone")
        else:
            await self._cleanup.abandon(vmi)

    async def _wait_for_earlier(self, pod: Object, error: StillRunningError) -> float:
        """Two machines must never write on one disk."""
        await self._writer.patch_pod(pod, podstatus.waiting(pod, error.reason, str(error), clock.timestamp()))
        return STILL_RUNNING_SECONDS
