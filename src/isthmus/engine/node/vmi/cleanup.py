"""A VMI whose machine is no more, or shall be: last phases are written, networks and directories go."""

import logging
from typing import Any

from isthmus.client import resources
from isthmus.client.cached import CachedClient
from isthmus.engine.node import podstatus, status
from isthmus.engine.node.net.model import NetworkError
from isthmus.engine.node.vm.machines import Machines, StillRunningError
from isthmus.engine.node.vm.process import Exit
from isthmus.engine.node.vmi.preparations import Preparations
from isthmus.engine.node.vmi.preparing import Networks
from isthmus.engine.node.vmi.supervision import Supervision
from isthmus.engine.node.writer import Writer
from isthmus.lib import clock

log = logging.getLogger(__name__)

Object = dict[str, Any]
Key = tuple[str, str]

MESSAGES = {
    Exit.SHUTDOWN: "the guest shut down",
    Exit.DESTROYED: "the guest did not shut down within its grace period and was ended",
    Exit.CRASHED: "the machine's process ended unexpectedly",
    Exit.PANICKED: "the guest's kernel panicked",
    Exit.WATCHDOG: "the guest's watchdog expired",
    Exit.NODE_SHUTDOWN: "the guest was shut down with its node",
}


class Cleanup:
    """Keeps nothing: what is left shows on the disk and in the API."""

    def __init__(
        self,
        cached: CachedClient,
        writer: Writer,
        machines: Machines,
        networks: Networks,
        preparations: Preparations,
        supervision: Supervision,
    ) -> None:
        self._cached = cached
        self._writer = writer
        self._machines = machines
        self._networks = networks
        self._preparations = preparations
        self._supervision = supervision

    # --- the last phase ---------------------------------------------------------------------------------------------

    async def end(self, vmi: Object, pod: Object | None, reason: Exit) -> None:
        """The machine ran and has ended."""
        await self._supervision.forget(vmi["metadata"]["uid"])
        await self.finish(vmi, pod, reason, MESSAGES[reason])

    async def finish(self, vmi: Object, pod: Object | None, reason: Exit, message: str) -> None:
        """The machine is no more: networks go, VMI and pod get their last phase."""
        await self.abandon(vmi)
        acpi = self._machines.records.read(vmi["metadata"]["uid"]).get("acpi", True)
        good = reason.succeeded(acpi=bool(acpi))
        if (vmi.get("status") or {}).get("phase") not in status.FINAL:
            phase = "Succeeded" if good else "Failed"
            final = status.build_final(vmi, phase, reason.value, message, clock.timestamp())
            await self._writer.patch_vmi(vmi, final)
            record = self._writer.recorder.normal if good else self._writer.recorder.warning
            await record(vmi, "Stopped", f"The VirtualMachineInstance was shut down: {message}")
        if pod is not None:
            await self._end_pod(pod, podstatus.Ended(0 if good else 1, "Completed" if good else "Error", message))

    async def withdraw(self, vmi: Object, pod: Object, end: podstatus.Ended) -> None:
        """Nothing is started any more; the pod ends as it is told."""
        await self.abandon(vmi)
        await self._end_pod(pod, end)

    async def _end_pod(self, pod: Object, end: podstatus.Ended) -> None:
        if not podstatus.is_final(pod):
            pod = await self._writer.patch_pod(pod, podstatus.ended(pod, end, clock.timestamp()))
        if pod["metadata"].get("deletionTimestamp"):
            await self._writer.remove_pod(pod)

    async def abandon(self, vmi: Object) -> None:
        """Nothing of this VMI shall run: stop preparing, take its networks away."""
        uid = vmi["metadata"]["uid"]
        await self._preparations.forget(uid)
        await self._networks.detach(uid)

    # --- what is left -----------------------------------------------------------------------------------------------

    async def remove(self, uid: str) -> None:
        """A machine without its VMI: ended at once, its directory and networks removed.

        Raises StillRunningError: then its networks and files are as they were.
        """
        await self._supervision.forget(uid)
        await self._preparations.forget(uid)
        await self._machines.remove(uid)
        await self._networks.detach(uid)

    async def release(self, key: Key) -> None:
        """What was kept over restarts for a VM of that name, and for it alone, goes with it."""
        if self._cached.get(resources.VMS, *key) is None:
            await self._networks.release(*key)
            await self._machines.state.forget(key)

    async def collect(self) -> None:
        """Remove what VMIs that are gone have left: a directory may have been made without a machine in it."""
        known = {vmi["metadata"]["uid"] for vmi in self._cached.informer(resources.VMIS).list()}
        for uid in self._machines.records.uids():
            if uid not in known:
                try:
                    await self.remove(uid)
                except (NetworkError, StillRunningError) as error:  # the next round tries again
                    log.warning("what %s has left could not all be removed: %s", uid, error)
        for key in {*self._machines.state.keepers(), *self._networks.holders()}:
            if self._cached.get(resources.VMIS, *key) is None and not self._machines.records.uids_of(key):
                await self.release(key)  # deleted while no agent ran: a VM of its name is another
