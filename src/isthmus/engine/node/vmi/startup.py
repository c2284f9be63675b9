"""A VMI before its machine runs: what it needs is prepared, its Pod runs, then its machine is started."""

from typing import Any

from isthmus.engine.node import launchers, podstatus, probes
from isthmus.engine.node.vm.errors import MachineError
from isthmus.engine.node.vm.machines import Machines
from isthmus.engine.node.vm.process import Exit
from isthmus.engine.node.vmi.backoff import Waiting
from isthmus.engine.node.vmi.cleanup import Cleanup
from isthmus.engine.node.vmi.preparations import Preparations
from isthmus.engine.node.vmi.preparing import Prepared
from isthmus.engine.node.vmi.reporter import Node, Reporter
from isthmus.engine.node.writer import Writer
from isthmus.lib import clock

Object = dict[str, Any]
Key = tuple[str, str]

LOOK_SECONDS = 2.0  # how often it is looked whether a failure's cause is gone


class Startup:
    """Keeps nothing: how far a VMI is say `preparations`, its Pod and its phase."""

    def __init__(
        self,
        node: Node,
        writer: Writer,
        machines: Machines,
        preparations: Preparations,
        reporter: Reporter,
        cleanup: Cleanup,
    ) -> None:
        self._node = node
        self._writer = writer
        self._machines = machines
        self._preparations = preparations
        self._reporter = reporter
        self._cleanup = cleanup

    async def step(self, key: Key, vmi: Object, pod: Object) -> float | None:
        """Take the next step; gives the seconds after which to look again."""
        found = self._preparations.advance(key, vmi, pod)
        if found is None:
            if not (pod.get("status") or {}).get("containerStatuses"):
                await self._writer.patch_pod(pod, podstatus.waiting(pod, "ContainerCreating", "", clock.timestamp()))
            return None
        if isinstance(found, Waiting):
            return await self._report_waiting(vmi, pod, found)
        if ((pod.get("status") or {}).get("phase") or "Pending") == "Pending":
            await self._show_running(vmi, pod, found)
        old = vmi.get("status") or {}
        if old.get("phase") == "Scheduled" and (old.get("nodeName") or self._node.name) == self._node.name:
            await self._start(vmi, pod, found)
        return None

    async def _report_waiting(self, vmi: Object, pod: Object, told: Waiting) -> float:
        """Say why on the pod, where the VM's controller and people look for it."""
        wanted = podstatus.waiting(pod, told.reason, told.message, clock.timestamp())
        if await self._writer.patch_pod(pod, wanted) is not pod:  # it says something new
            reason = "SyncFailed" if told.reason == "InvalidSpec" else told.reason
            await self._writer.recorder.warning(vmi, reason, told.message)
        return min(LOOK_SECONDS, told.seconds)

    async def _show_running(self, vmi: Object, pod: Object, prepared: Prepared) -> None:
        """The Pod runs before its guest does: that is what the VMI's controller waits for."""
        unready = launchers.COMPUTE if vmi["spec"].get(probes.READINESS) else ""  # before it was asked
        addresses, now = prepared.attachment.pod_ips, clock.timestamp()
        await self._writer.patch_pod(pod, podstatus.running(pod, self._node.address, addresses, now, unready=unready))

    async def _start(self, vmi: Object, pod: Object, prepared: Prepared) -> None:
        uid, recorder = vmi["metadata"]["uid"], self._writer.recorder
        try:
            running = await self._machines.start(vmi, prepared.images, prepared.attachment, prepared.kernel_boot)
        except MachineError as error:
            await recorder.warning(vmi, "SyncFailed", str(error))
            await self._cleanup.finish(vmi, pod, Exit.CRASHED, str(error))
            return
        await self._preparations.forget(uid)
        for note in self._machines.records.read(uid).get("notes") or ():
            await recorder.normal(vmi, "Adapted", note)
        await self._reporter.report(vmi, pod, running)
        await recorder.normal(vmi, "Created", "VirtualMachineInstance defined.")
        await recorder.normal(vmi, "Started", "VirtualMachineInstance started.")
