"""VirtualMachine -> VirtualMachineInstance: the run strategy carried out, DataVolumes created, the status written.

What to do is decided by pure modules: `runstrategy` (start or stop), `vmtemplate` (objects), `vmstatus` (status),
`liveupdate` (changes under a running guest). This module reads, asks them and has it done: by `vminstances`,
`vmvolumes`, `vmrollout`. Woken by VMs, their instances, DataVolumes and PVCs.
"""

import time
from dataclasses import dataclass

from isthmus.client.api import Object
from isthmus.client.cached import CachedClient
from isthmus.client.controller import Controller
from isthmus.client.informer import Key, key_of
from isthmus.client.resources import DATAVOLUMES, PVCS, VMIS, VMS
from isthmus.engine.controllers import ownership
from isthmus.engine.controllers.virtualization import instancetype, liveupdate, runstrategy, vmstatus, vmtemplate
from isthmus.engine.controllers.virtualization.runstrategy import Act
from isthmus.engine.controllers.virtualization.vminstances import Instances
from isthmus.engine.controllers.virtualization.vmrollout import Rollout
from isthmus.engine.controllers.virtualization.vmvolumes import VmVolumes, ready, volume_keys
from isthmus.lib import clock
from isthmus.machinery import conditions, mergepatch, owners

NAME = "virtualmachine-controller"
VOLUMES = "volumes"  # index of VMs by the "namespace/name" of the PVCs and DataVolumes that they use


@dataclass(slots=True)
class _Failure:
    """What becomes the VM's Failure condition."""

    reason: str
    message: str


class VirtualMachineController:
    """Reconciles one VirtualMachine at a time."""

    def __init__(self, cluster: CachedClient) -> None:
        self.cluster = cluster
        self.expander = instancetype.Expander(cluster)
        self.instances = Instances(cluster)
        self.volumes = VmVolumes(cluster)
        self.rollout = Rollout(cluster)
        self.vms = cluster.informer(VMS)
        self.vms.add_indexer(VOLUMES, volume_keys)

    def controller(self) -> Controller:
        """The loop around `reconcile`."""
        controller = Controller(NAME, self.reconcile, workers=4)
        controller.watch(self.vms)
        controller.watch(self.cluster.informer(VMIS), lambda vmi: [*ownership.keys(vmi, "VirtualMachine"), key_of(vmi)])
        for resource in (DATAVOLUMES, PVCS):
            controller.watch(self.cluster.informer(resource), self._users_of_volume)
        return controller

    def _users_of_volume(self, volume: Object) -> list[Key]:
        return [key_of(vm) for vm in self.vms.index(VOLUMES, "/".join(key_of(volume)))]

    async def reconcile(self, key: Key) -> float | None:
        """Bring one VM a step nearer to its run strategy."""
        vm = self.vms.get(*key)
        if vm is None:
            return None
        if vm["metadata"].get("deletionTimestamp"):
            await self._finalize(vm)
            return None
        vmi = self.cluster.get(VMIS, *key)
        if vmi is not None and owners.controller_of(vmi) is None and not vmi["metadata"].get("deletionTimestamp"):
            vmi = await self.instances.adopt(vm, vmi)
        vm = await ownership.ensure_finalizer(self.cluster, VMS, vm, vmtemplate.VM_FINALIZER)
        if vmi is not None:
            await self.instances.release(vmi)
        return await self._carry_out(vm, vmi)

    async def _carry_out(self, vm: Object, vmi: Object | None) -> float | None:
        """Look at all, say in the status what is so, then act."""
        decision = runstrategy.decide(vm, vmi, time.time())
        volumes = await self.volumes.ensure(vm, starting=decision.act is Act.START)
        view = vmstatus.View(vm, vmi, decision, tuple(volumes), self.volumes.claims(vm))
        expanded, failure = await self._expand(view)
        vm = await self._write_status(vm, await self._build_status(view, expanded, failure))
        if failure is not None:
            await self.cluster.recorder.warning(vm, failure.reason, failure.message)
        await self._act(vm, view, expanded)
        return decision.wait

    async def _expand(self, view: vmstatus.View) -> tuple[instancetype.Expanded | None, _Failure | None]:
        """The VM with its instance type and preference, if anybody needs to know; or why there is none."""
        if failure := _foreign_instance(view.vm, view.vmi):
            return None, failure
        if view.decision.act is not Act.START and view.live is None and not vmtemplate.has_types(view.vm):
            return None, None
        try:
            return await self.expander.expand(view.vm), None
        except instancetype.ExpansionError as error:
            return None, _Failure("FailedCreate", str(error))

    async def _act(self, vm: Object, view: vmstatus.View, expanded: instancetype.Expanded | None) -> None:
        act, vmi = view.decision.act, view.vmi
        if act is Act.STOP and vmi is not None and owners.is_controlled_by(vmi, vm):
            await self.instances.stop(vm, vmi)
        elif act is Act.RUN:
            await self.cluster.patch(VMS, vm, {"spec": vmtemplate.strategy_fields(vm, "Always")})
        elif act is Act.START and expanded is not None and ready(view.data_volumes):
            await self.instances.start(vm, expanded, paused=view.decision.paused)
        elif act is Act.NOTHING and view.live is not None and expanded is not None:
            await self.rollout.propagate(vm, view.live, expanded)

    async def _finalize(self, vm: Object) -> None:
        """Deleting a VM: its instance goes first, unless the deletion leaves orphans behind."""
        if vmtemplate.VM_FINALIZER not in (vm["metadata"].get("finalizers") or ()):
            return
        if "orphan" in vm["metadata"]["finalizers"]:
            return  # the garbage collector is about to take our name off the instance
        present = await self.instances.find_live(vm)
        if present is not None and owners.is_controlled_by(present, vm):
            if not present["metadata"].get("deletionTimestamp"):
                await self.instances.stop(vm, present)
            await self.instances.release(present)
            view = vmstatus.View(vm, present, runstrategy.Decision(Act.NOTHING))
            await self._write_status(vm, vmstatus.build_status(view, clock.timestamp()))
            return
        if present is not None and owners.controller_of(present) is None:
            await self.instances.disown(present)
        await ownership.drop_finalizer(self.cluster, VMS, vm, vmtemplate.VM_FINALIZER)

    # --- status -------------------------------------------------------------------------------------------------------

    async def _build_status(
        self, view: vmstatus.View, expanded: instancetype.Expanded | None, failure: _Failure | None
    ) -> Object:
        now = clock.timestamp()
        status = vmstatus.build_status(view, now)
        update = self.rollout.compare(view.live, expanded) if view.live is not None and expanded is not None else None
        status["conditions"] = _own_conditions(status["conditions"], failure, update, now)
        if expanded is not None:
            for which in vmtemplate.TYPES:
                status.pop(f"{which}Ref", None)
            status |= await self.expander.freeze(view.vm, expanded)
        return status

    async def _write_status(self, vm: Object, status: Object) -> Object:
        patch = mergepatch.diff(vm.get("status") or {}, status)
        if not patch:
            return vm
        body = {"metadata": {"resourceVersion": vm["metadata"]["resourceVersion"]}, "status": patch}
        return await self.cluster.patch(VMS, vm, body, subresource="status")


def _own_conditions(
    present: list[Object], failure: _Failure | None, update: liveupdate.LiveUpdate | None, now: str
) -> list[Object]:
    """Failure and RestartRequired, as they are now, among the conditions that there are."""
    out = conditions.drop(present, "Failure") if failure is None else present
    if failure is not None:
        out = conditions.put(out, conditions.build("Failure", True, failure.reason, failure.message), now)
    if update is None or not update.restart_required:
        return conditions.drop(out, "RestartRequired")
    message = f"{liveupdate.MESSAGE} ({', '.join(update.reasons[:5])})"
    return conditions.put(out, conditions.build("RestartRequired", True, "RestartRequired", message), now)


def _foreign_instance(vm: Object, vmi: Object | None) -> _Failure | None:
    if vmi is None or owners.is_controlled_by(vmi, vm):
        return None
    owner = owners.controller_of(vmi) or {}
    name = f"{owner.get('kind')} {owner.get('name')}"
    return _Failure("FailedCreate", f"a virtual machine instance of this name exists and belongs to {name}")
