"""Reconcile one VMI of this node with its launcher Pod and its machine.

    pod Pending    -> prepare images, volumes, networks     -> pod Running with its addresses
    VMI Scheduled  -> start the machine                     -> VMI Running
    machine ended  -> VMI and pod Succeeded or Failed, networks gone
    VMI or pod deleted -> ask the guest to power off, after the grace period end it
    VMI gone       -> machine, networks and directory removed

Level-triggered: each call looks at all three and takes the one next step. The key is the VMI's namespace and name.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

from isthmus.client import resources
from isthmus.client.cached import CachedClient
from isthmus.engine.node import launchers, podstatus, preparing, probes, status
from isthmus.engine.node.disk import volumes
from isthmus.engine.node.guestcare import GuestCare
from isthmus.engine.node.jobs import Jobs
from isthmus.engine.node.net.model import NetworkError
from isthmus.engine.node.vm.errors import MachineError
from isthmus.engine.node.vm.machines import Machines
from isthmus.engine.node.vm.process import Exit
from isthmus.engine.node.vm.running import Running
from isthmus.lib import clock
from isthmus.machinery.errors import StatusError

log = logging.getLogger(__name__)

Object = dict[str, Any]
Key = tuple[str, str]

RETRY_SECONDS = 2.0
EXIT_MESSAGES = {
    Exit.SHUTDOWN: "the guest shut down",
    Exit.DESTROYED: "the guest did not shut down within its grace period and was ended",
    Exit.CRASHED: "the machine's process ended unexpectedly",
    Exit.PANICKED: "the guest's kernel panicked",
    Exit.WATCHDOG: "the guest's watchdog expired",
    Exit.NODE_SHUTDOWN: "the guest was shut down with its node",
}


class VmiReconciler:
    """Holds what the calls share; keeps no truth of its own."""

    def __init__(
        self,
        cached: CachedClient,
        node: str,
        host_ip: str,
        machines: Machines,
        networks: preparing.Networks,
        images: volumes.ImageStore,
    ) -> None:
        self._cached = cached
        self._node = node
        self._host_ip = host_ip
        self._machines = machines
        self._networks = networks
        self._preparer = preparing.Preparer(cached, machines, networks, images)
        self._preparing: Jobs[preparing.Prepared] = Jobs()
        self._stopping: Jobs[None] = Jobs()
        self._care = GuestCare(cached)
        self._prepared: dict[str, preparing.Prepared] = {}
        self._deadlines: dict[str, float] = {}
        self.enqueue: Callable[[Key], None] = lambda _: None  # set by the agent: the controller's queue

    async def close(self) -> None:
        """End our jobs; machines run on."""
        await self._care.close()
        await self._preparing.close()
        await self._stopping.close()

    def _pods(self, key: Key) -> list[Object]:
        pods = self._cached.informer(resources.PODS).list(key[0])
        return [p for p in pods if (p["spec"].get("nodeName") == self._node) and launchers.launcher_key(p) == key]

    async def reconcile(self, key: Key) -> float | None:
        """Take the next step for one VMI."""
        vmi = self._cached.get(resources.VMIS, *key)
        uid = vmi["metadata"]["uid"] if vmi else ""
        for stale in self._machines.uids_of(key):
            if stale != uid:
                await self._remove(stale)
        mine = None
        for pod in self._pods(key):
            if vmi and launchers.is_of(pod, vmi):
                mine = pod
            elif pod["metadata"].get("deletionTimestamp"):
                await self._delete_pod(pod)
        if vmi is None:
            if self._cached.get(resources.VMS, *key) is None:
                await self._networks.release(*key)  # its addresses were kept over restarts, for it alone
                await self._machines.forget(key)
            return None
        return await self._step(key, vmi, mine)

    async def _step(self, key: Key, vmi: Object, pod: Object | None) -> float | None:
        uid = vmi["metadata"]["uid"]
        if running := self._machines.find(uid):
            return await self._step_running(key, vmi, pod, running)
        if (reason := self._machines.find_exit(uid)) is not None:
            return await self._step_ended(vmi, pod, reason)
        if pod is None:
            return await self._step_lost(vmi)
        if pod["metadata"].get("deletionTimestamp") or vmi["metadata"].get("deletionTimestamp"):
            await self._abandon(vmi)
            return await self._end_pod(pod, podstatus.Ended(0, "Completed"))
        phase = (vmi.get("status") or {}).get("phase")
        if phase in status.FINAL:
            await self._abandon(vmi)
            return await self._end_pod(pod, podstatus.Ended(1 if phase == "Failed" else 0, "Error"))
        return await self._step_start(key, vmi, pod, str(phase or ""))

    async def _step_lost(self, vmi: Object) -> float | None:
        """It was ours and is not here: the directory was lost with the disk, or the pod without a machine."""
        old = vmi.get("status") or {}
        if old.get("nodeName") == self._node and old.get("phase") in ("Scheduled", "Running"):
            await self._write_final(vmi, None, Exit.CRASHED, "the machine and its directory are gone")
        await self._abandon(vmi)
        return None

    # --- before it runs ---------------------------------------------------------------------------------------------

    async def _step_start(self, key: Key, vmi: Object, pod: Object, phase: str) -> float | None:
        uid = vmi["metadata"]["uid"]
        pod_phase = (pod.get("status") or {}).get("phase") or "Pending"
        if phase == "Running":
            await self._write_final(vmi, pod, Exit.CRASHED, "the machine is gone")
            return None
        if uid not in self._prepared:
            return await self._prepare(key, vmi, pod)
        if pod_phase == "Pending":
            addresses = self._prepared[uid].attachment.pod_ips
            unready = launchers.COMPUTE if vmi["spec"].get(probes.READINESS) else ""  # before it was asked
            now = clock.timestamp()
            await self._patch_pod(pod, podstatus.running(pod, self._host_ip, addresses, now, unready=unready))
        if phase != "Scheduled" or (vmi["status"].get("nodeName") or self._node) != self._node:
            return None
        return await self._start(vmi, pod)

    async def _prepare(self, key: Key, vmi: Object, pod: Object) -> float | None:
        uid = vmi["metadata"]["uid"]
        if self._preparing.running(uid):
            return None
        try:
            prepared = self._preparing.take(uid)
        except Exception as error:
            if not isinstance(error, StatusError) and not hasattr(error, "reason"):
                log.exception("preparing %s/%s failed", *key)
            return await self._report_unready(vmi, pod, error)
        if prepared is not None:
            self._prepared[uid] = prepared
            self.enqueue(key)
            return None
        if not (pod.get("status") or {}).get("containerStatuses"):
            await self._patch_pod(pod, podstatus.waiting(pod, "ContainerCreating", "", clock.timestamp()))
        self._preparing.start(uid, lambda: self._preparer.prepare(vmi), lambda: self.enqueue(key))
        return None

    async def _report_unready(self, vmi: Object, pod: Object, error: Exception) -> float | None:
        """Say why on the pod, where the VM's controller and people look for it; then try again."""
        reason = str(getattr(error, "reason", "") or "CreateContainerError")
        message = str(error) or type(error).__name__
        await self._patch_pod(
            pod, podstatus.waiting(pod, launchers.waiting_reason(reason, pod), message, clock.timestamp())
        )
        await self._cached.recorder.warning(vmi, "SyncFailed" if reason == "InvalidSpec" else reason, message)
        return RETRY_SECONDS if isinstance(error, StatusError) else RETRY_SECONDS * 5

    async def _start(self, vmi: Object, pod: Object) -> float | None:
        uid = vmi["metadata"]["uid"]
        prepared = self._prepared[uid]
        try:
            running = await self._machines.start(vmi, prepared.images, prepared.attachment, prepared.kernel_boot)
        except MachineError as error:
            await self._cached.recorder.warning(vmi, "SyncFailed", str(error))
            self._prepared.pop(uid, None)
            await self._write_final(vmi, pod, Exit.CRASHED, str(error))
            return None
        self._prepared.pop(uid, None)
        for note in self._machines.record(uid).get("notes") or ():
            await self._cached.recorder.normal(vmi, "Adapted", note)
        await self._write_status(vmi, pod, running)
        await self._cached.recorder.normal(vmi, "Created", "VirtualMachineInstance defined.")
        await self._cached.recorder.normal(vmi, "Started", "VirtualMachineInstance started.")
        return None

    # --- while it runs ----------------------------------------------------------------------------------------------

    async def _step_running(self, key: Key, vmi: Object, pod: Object | None, running: Running) -> float | None:
        deadline = launchers.find_deadline(vmi, pod)
        if deadline is None:
            deadline = await self._find_failure(key, vmi, pod, running)
        if (vmi.get("status") or {}).get("phase") in status.FINAL:
            running.destroy()  # it was given up (a lost node that came back): it must not run twice
        elif deadline is not None:
            await self._shut_down(key, vmi, running, deadline)
        if running.state and not running.ended:
            await self._write_status(vmi, pod, running)
        return None

    async def _find_failure(self, key: Key, vmi: Object, pod: Object | None, running: Running) -> float | None:
        """Look after the guest; when it must be gone if it is not alive any more."""
        record = self._machines.record(running.uid)
        if await self._care.look_after(vmi, pod, running, record, lambda: self.enqueue(key)):
            return None
        if running.uid not in self._deadlines and pod is not None:
            await self._cached.recorder.normal(pod, "Killing", "Container compute failed liveness probe")
        return self._deadlines.get(running.uid) or time.time() + launchers.grace_seconds(vmi)

    async def _shut_down(self, key: Key, vmi: Object, running: Running, deadline: float) -> None:
        """Ask for a shutdown once; again only if the deadline came nearer (deletion by force)."""
        uid = running.uid
        known = self._deadlines.get(uid)
        if known is not None and deadline >= known - 1:
            return
        if known is None:
            await self._cached.recorder.normal(vmi, "ShuttingDown", "Signaled Graceful Shutdown")
        self._deadlines[uid] = deadline
        await self._stopping.cancel(uid)
        seconds = max(0.0, deadline - time.time())
        self._stopping.start(uid, lambda: running.shut_down(seconds), lambda: self.enqueue(key))

    async def _write_status(self, vmi: Object, pod: Object | None, running: Running) -> None:
        await self._patch_vmi(vmi, status.build_status(vmi, self._facts(vmi, running), clock.timestamp()))
        if pod is not None:
            addresses = self._machines.record(running.uid).get("podIPs") or ()
            wanted = podstatus.running(
                pod,
                self._host_ip,
                addresses,
                clock.timestamp(),
                unready=self._care.unready(vmi, running.uid),
                paused=running.state in status.PAUSED_REASONS,
            )
            await self._patch_pod(pod, wanted)

    def _facts(self, vmi: Object, running: Running) -> status.Facts:
        guest = running.guest
        return status.Facts(
            node=self._node,
            phase="Running",
            record=self._machines.record(running.uid),
            accelerator=self._machines.host.accelerator,
            claims=self._claims(vmi),
            state=running.state or "running",
            agent_connected=running.agent_connected,
            agent_version=guest.version,
            os_info=guest.osinfo,
            guest_interfaces=guest.interfaces,
            frozen=guest.frozen,
            memory=running.memory,
            vcpus=running.vcpus,
            credentials=self._care.credentials_error(running.uid),
        )

    def _claims(self, vmi: Object) -> dict[str, status.Claim]:
        found = {}
        for volume in vmi["spec"].get("volumes") or ():
            source = volume.get("persistentVolumeClaim") or volume.get("dataVolume") or {}
            name = str(source.get("claimName") or source.get("name") or "")
            pvc = self._cached.get(resources.PVCS, vmi["metadata"]["namespace"], name) if name else None
            if not pvc:
                continue
            spec, actual = pvc["spec"], pvc.get("status") or {}
            found[volume["name"]] = status.Claim(
                name,
                tuple(spec.get("accessModes") or ()),
                spec.get("volumeMode") or "Filesystem",
                str((actual.get("capacity") or {}).get("storage", "")),
                str(((spec.get("resources") or {}).get("requests") or {}).get("storage", "")),
            )
        return found

    # --- when it has ended ------------------------------------------------------------------------------------------

    async def _step_ended(self, vmi: Object, pod: Object | None, reason: Exit) -> float | None:
        self._deadlines.pop(vmi["metadata"]["uid"], None)
        await self._stopping.cancel(vmi["metadata"]["uid"])
        await self._care.forget(vmi["metadata"]["uid"])
        await self._write_final(vmi, pod, reason, EXIT_MESSAGES[reason])
        return None

    async def _write_final(self, vmi: Object, pod: Object | None, reason: Exit, message: str) -> None:
        """The machine is no more: networks go, VMI and pod get their last phase."""
        await self._abandon(vmi)
        acpi = self._machines.record(vmi["metadata"]["uid"]).get("acpi", True)
        good = reason.succeeded(acpi=bool(acpi))
        old = vmi.get("status") or {}
        if old.get("phase") not in status.FINAL:
            phase = "Succeeded" if good else "Failed"
            await self._patch_vmi(vmi, status.build_final(vmi, phase, reason.value, message, clock.timestamp()))
            record = self._cached.recorder.normal if good else self._cached.recorder.warning
            await record(vmi, "Stopped", f"The VirtualMachineInstance was shut down: {message}")
        if pod is not None:
            await self._end_pod(pod, podstatus.Ended(0 if good else 1, "Completed" if good else "Error", message))

    async def _end_pod(self, pod: Object, end: podstatus.Ended) -> float | None:
        if not podstatus.is_final(pod):
            pod = await self._patch_pod(pod, podstatus.ended(pod, end, clock.timestamp()))
        if pod["metadata"].get("deletionTimestamp"):
            await self._delete_pod(pod)
        return None

    async def _delete_pod(self, pod: Object) -> None:
        """What a kubelet does last: the containers are gone, so is the object."""
        await self._cached.delete(resources.PODS, pod, options={"gracePeriodSeconds": 0})

    async def _abandon(self, vmi: Object) -> None:
        """Nothing of this VMI shall run: stop preparing, take its networks away."""
        uid = vmi["metadata"]["uid"]
        await self._preparing.cancel(uid)
        self._prepared.pop(uid, None)
        await self._networks.detach(uid)

    async def collect(self) -> None:
        """Remove what VMIs that are gone have left: a directory may have been made without a machine in it."""
        known = {vmi["metadata"]["uid"] for vmi in self._cached.informer(resources.VMIS).list()}
        for uid in self._machines.uids():
            if uid not in known:
                try:
                    await self._remove(uid)
                except NetworkError as error:  # the next round tries again
                    log.warning("what %s has left could not all be removed: %s", uid, error)
        for key in {*self._machines.keepers(), *self._networks.holders()}:
            if self._cached.get(resources.VMS, *key) is None and self._cached.get(resources.VMIS, *key) is None:
                await self._machines.forget(key)  # deleted while no agent ran: a VM of its name is another
                await self._networks.release(*key)

    async def _remove(self, uid: str) -> None:
        """A machine without its VMI: ended at once, its directory and networks removed."""
        self._deadlines.pop(uid, None)
        await self._stopping.cancel(uid)
        await self._preparing.cancel(uid)
        self._prepared.pop(uid, None)
        await self._care.forget(uid)
        await self._machines.remove(uid)
        await self._networks.detach(uid)

    # --- writing ----------------------------------------------------------------------------------------------------

    async def _patch_vmi(self, vmi: Object, wanted: Object) -> None:
        """Guarded by the resourceVersion: the lists in it are replaced whole, so they must be made from the newest."""
        difference = status.changed(vmi.get("status") or {}, wanted)
        if difference:
            guard = {"resourceVersion": vmi["metadata"]["resourceVersion"]}
            await self._cached.patch(resources.VMIS, vmi, {"metadata": guard, "status": difference})

    async def _patch_pod(self, pod: Object, wanted: Object) -> Object:
        difference = status.changed(pod.get("status") or {}, wanted)
        if not difference:
            return pod
        guard = {"resourceVersion": pod["metadata"]["resourceVersion"]}
        body = {"metadata": guard, "status": difference}
        return await self._cached.patch(resources.PODS, pod, body, subresource="status")
