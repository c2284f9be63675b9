"""VirtualMachineImport: one phase after the other, each a module of `phases`. Objects in, objects out.

Level-triggered: whatever was done before a restart is found again by name. A phase that fails ends the import with a
message in its status, and everything that it had made is deleted. Runs in the engine's control loops, or in a pod.
"""

import logging
import time
from typing import Any

from isthmus.client import resources
from isthmus.client.api import Client
from isthmus.client.cached import CachedClient
from isthmus.client.controller import Controller
from isthmus.importer.phases import converting, creating, inspecting, proving, transferring
from isthmus.importer.phases.phase import LABEL, Import, ImportFailedError, Step
from isthmus.lib import clock
from isthmus.machinery.errors import StatusError

log = logging.getLogger(__name__)
Object = dict[str, Any]

PHASES: dict[str, Step] = {
    "Inspecting": inspecting.step,
    "Transferring": transferring.step,
    "Converting": converting.step,
    "Proving": proving.step,
    "Creating": creating.step,
}
ORDER = [*PHASES, "Succeeded"]
DEADLINES = {
    "Inspecting": 300,
    "Transferring": 24 * 3600,
    "Converting": 1800,
    "Proving": 900,
    "Creating": 120,
}  # seconds
FINAL = ("Succeeded", "Failed")
POLL = 1.0


class ImportController:
    """Reconciles one import at a time by its key."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def reconcile(self, key: tuple[str, str]) -> float | None:
        """Take the next step; seconds until the next look."""
        namespace, name = key
        try:
            obj = await self._client.get(resources.IMPORTS, name, namespace)
        except StatusError as error:
            if error.code == 404:
                return None
            raise
        work = Import(self._client, obj)
        if obj["metadata"].get("deletionTimestamp") or work.phase in FINAL:
            return None
        if work.phase not in PHASES:
            await self._enter(work, ORDER[0], {"startTime": clock.timestamp()})
            return 0.0
        return await self._step(work)

    async def _step(self, work: Import) -> float | None:
        try:
            self._check_deadline(work)
            done = await PHASES[work.phase](work)
        except ImportFailedError as failure:
            await self._fail(work, str(failure))
            return None
        if not done:
            return POLL
        await self._enter(work, ORDER[ORDER.index(work.phase) + 1])
        return 0.0

    def _check_deadline(self, work: Import) -> None:
        limit, spent = DEADLINES[work.phase], work.seconds_in_phase()
        if spent > limit:
            raise ImportFailedError(
                f"{work.phase} took longer than {limit} s; the status and the logs of its pod say how far it came"
            )

    async def _enter(self, work: Import, phase: str, status: Object | None = None) -> None:
        """Begin a phase: note how long the last one took."""
        change: Object = {**(status or {}), "phase": phase, "observedGeneration": work.generation}
        timings = work.finished_timings()
        change["message"] = MESSAGES[phase]
        if phase in FINAL:
            change["completionTime"] = clock.timestamp()
            change["progress"] = {"phase": phase, "percent": 100, "summary": "100%"}
        else:
            timings = [*timings, {"phase": phase, "startTime": clock.micro_timestamp()}]
            change["progress"] = None
        await work.patch_status({**change, "timings": timings})
        log.info("%s/%s: %s", work.namespace, work.name, phase)

    async def _fail(self, work: Import, message: str) -> None:
        """End badly: nothing that was made stays, but for the import itself, which says why."""
        await work.delete_all()
        conditions = [
            {
                "type": "Ready",
                "status": "False",
                "reason": f"{work.phase}Failed",
                "message": message,
                "lastTransitionTime": clock.timestamp(time.time()),
            }
        ]
        status = {"phase": "Failed", "message": message, "completionTime": clock.timestamp(), "conditions": conditions}
        await work.patch_status({**status, "timings": work.finished_timings()})
        log.warning("%s/%s failed: %s", work.namespace, work.name, message)


MESSAGES = {
    "Inspecting": "Reading what the source says of the machine",
    "Transferring": "Copying the disks",
    "Converting": "Making the guest fit for virtio",
    "Proving": "Booting the machine on an isolated network",
    "Creating": "Making the virtual machine",
    "Succeeded": "The virtual machine is here",
}


def build(cluster: CachedClient) -> Controller:
    """The controller on shared informers: it looks again when the import, or a pod or VMI that it made, changes."""
    controller = Controller("virtualmachineimport", ImportController(cluster.client).reconcile, workers=4)
    controller.watch(cluster.informer(resources.IMPORTS))
    for resource in (resources.PODS, resources.VMIS):
        controller.watch(cluster.informer(resource), _import_of)
    return controller


def _import_of(obj: Object) -> list[tuple[str, str]]:
    name = (obj["metadata"].get("labels") or {}).get(LABEL)
    return [(obj["metadata"]["namespace"], name)] if name else []
