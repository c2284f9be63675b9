"""VirtualMachineImport: one phase after the other, each a module of `phases`. Objects in, objects out.

Level-triggered: whatever was done before a restart is found again by name. A phase that fails ends the import with a
message in its status, and everything that it had made is deleted; so it is when the import itself is deleted, as it
owns all that it made until the VM is complete. Runs in the engine's control loops, or in a pod.
"""

import logging
from typing import Any

from isthmus.client import resources
from isthmus.client.api import Client
from isthmus.client.cached import CachedClient
from isthmus.client.controller import Controller
from isthmus.client.events import Recorder
from isthmus.importer.phases import (
    condition,
    converting,
    creating,
    deadline,
    inspecting,
    proving,
    transferring,
    uploading,
)
from isthmus.importer.phases.phase import KIND, Import, ImportFailedError, Next, Step
from isthmus.lib import clock
from isthmus.machinery.errors import StatusError

log = logging.getLogger(__name__)
Object = dict[str, Any]

PHASES: dict[str, Step] = {
    "AwaitingUpload": uploading.step,
    "Inspecting": inspecting.step,
    "Transferring": transferring.step,
    "Converting": converting.step,
    "Proving": proving.step,
    "Creating": creating.step,
}
ORDER = [*PHASES, "Succeeded"]
MESSAGES = {
    "AwaitingUpload": "Waiting for the file to be uploaded",
    "Inspecting": "Reading what the source says of the machine",
    "Transferring": "Copying the disks",
    "Converting": "Making the guest fit for virtio",
    "Proving": "Booting the machine on an isolated network",
    "Creating": "Making the virtual machine",
    "Succeeded": "The virtual machine is here",
}
FINAL = ("Succeeded", "Failed")
COMPONENT = "isthmus-importer"
POLL = 1.0
AWAY, AGAIN = (500, 502, 503, 504), 5.0  # what is answered for a node that is away; seconds until it is asked again


class ImportController:
    """Reconciles one import at a time by its key."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._recorder = Recorder(client, COMPONENT)

    async def reconcile(self, key: tuple[str, str]) -> float | None:
        """Take the next step; seconds until the next look."""
        namespace, name = key
        try:
            obj = await self._client.get(resources.IMPORTS, name, namespace)
        except StatusError as error:
            if error.code == 404:
                return None
            raise
        work = Import(self._client, self._recorder, obj)
        if obj["metadata"].get("deletionTimestamp") or work.phase == "Succeeded":
            return None
        if work.phase == "Failed":
            await work.delete_all()  # again, as we may have been stopped half way
            return None
        if work.phase not in PHASES:
            await self._begin(work)
            return 0.0
        return await self._step(work)

    async def _begin(self, work: Import) -> None:
        first = "AwaitingUpload" if work.spec["source"].get("upload") is not None else "Inspecting"
        start = {"startTime": clock.timestamp(), "conditions": condition.begun(clock.timestamp(), work.generation)}
        await self._enter(work, first, start)

    async def _step(self, work: Import) -> float | None:
        try:
            check_deadline(work)
            following = await PHASES[work.phase](work)
        except ImportFailedError as failure:
            await self._fail(work, str(failure))
            return None
        except StatusError as refusal:
            if refusal.code in AWAY:
                return AGAIN  # a node that does not answer yet is no failure to back off from
            if refusal.code not in (400, 403, 422):
                raise
            await self._fail(work, f"the API refused what the import needs: {refusal.message}")
            return None
        if following is Next.STAY:
            return POLL
        await self._leave(work, following)
        return 0.0

    async def _leave(self, work: Import, following: Next) -> None:
        now, found = clock.timestamp(), work.status.get("conditions") or []
        if following is Next.TRANSFER:
            await self._enter(work, "Transferring", {"conditions": condition.again(found, now)})
            return
        phase = ORDER[ORDER.index(work.phase) + 1]
        found = condition.after(found, work.phase, work.status, now)
        if phase in FINAL:
            found = condition.succeeded(found, now, work.generation)
        await self._enter(work, phase, {"conditions": found})

    async def _enter(self, work: Import, phase: str, status: Object) -> None:
        """Begin a phase: note how long the last one took."""
        change: Object = {**status, "phase": phase, "observedGeneration": work.generation}
        timings = work.finished_timings()
        change["message"] = MESSAGES[phase]
        if phase in FINAL:
            change["completionTime"] = clock.timestamp()
            change["progress"] = {"phase": phase, "percent": 100, "summary": "100%", "etaSeconds": None}
        else:
            timings = [*timings, {"phase": phase, "startTime": clock.micro_timestamp()}]
            change["progress"] = None
        await work.patch_status({**change, "timings": timings})
        await self._recorder.normal(work.obj, phase, MESSAGES[phase])
        log.info("%s/%s: %s", work.namespace, work.name, phase)

    async def _fail(self, work: Import, message: str) -> None:
        """End badly: nothing that was made stays, but for the import itself, which says why."""
        now, found = clock.timestamp(), work.status.get("conditions") or []
        status = {
            "phase": "Failed",
            "message": message,
            "completionTime": now,
            "conditions": condition.failed(found, work.phase, message, now, work.generation),
            "timings": work.finished_timings(),
        }
        await work.patch_status(status)
        await work.delete_all()
        await self._recorder.warning(work.obj, "Failed", message)
        log.warning("%s/%s failed: %s", work.namespace, work.name, message)


def check_deadline(work: Import) -> None:
    """Raise ImportFailedError if the phase has taken too long."""
    limit = deadline.deadline(work.phase, work.spec, work.status)
    if work.seconds_in_phase() > limit:
        raise ImportFailedError(f"{work.phase} took longer than {limit:.0f} s; the last word was: {work.message}")


def build(cluster: CachedClient) -> Controller:
    """The controller on shared informers: it looks again when the import, or something that it made, changes."""
    controller = Controller("virtualmachineimport", ImportController(cluster.client).reconcile, workers=4)
    controller.watch(cluster.informer(resources.IMPORTS))
    for resource in (resources.PODS, resources.VMIS, resources.PVCS):
        controller.watch(cluster.informer(resource), import_of)
    return controller


def import_of(obj: Object) -> list[tuple[str, str]]:
    """The key of the import that has made `obj`."""
    owners = obj["metadata"].get("ownerReferences") or []
    return [(obj["metadata"]["namespace"], owner["name"]) for owner in owners if owner.get("kind") == KIND]
