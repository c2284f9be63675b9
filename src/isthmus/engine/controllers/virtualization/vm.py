"""VirtualMachine -> VirtualMachineInstance: the run strategy carried out, DataVolumes created, the status written.

What to do is decided by pure modules: `runstrategy` (start or stop), `vmtemplate` (objects), `vmstatus` (status),
`liveupdate` (changes under a running guest). This module reads, asks them and writes. Woken by VMs, their instances,
DataVolumes and PVCs.
"""

import copy
import time
from dataclasses import dataclass

from isthmus.client.api import Object
from isthmus.client.cached import CachedClient
from isthmus.client.controller import Controller
from isthmus.client.informer import Key, key_of
from isthmus.client.resources import CONTROLLERREVISIONS, DATASOURCES, DATAVOLUMES, KUBEVIRTS, PVCS, VMIS, VMS
from isthmus.engine.controllers import ownership
from isthmus.engine.controllers.virtualization import instancetype, liveupdate, runstrategy, vmstatus, vmtemplate
from isthmus.engine.controllers.virtualization.runstrategy import Act
from isthmus.lib import clock
from isthmus.machinery import conditions, mergepatch, owners
from isthmus.machinery.errors import StatusError
from isthmus.machinery.fieldtree import at, put

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
        self.vms = cluster.informer(VMS)
        self.vms.add_indexer(VOLUMES, _volumes_of)
        for resource in (CONTROLLERREVISIONS, DATASOURCES, KUBEVIRTS):
            cluster.informer(resource)

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
        vmi = self.cluster.get(VMIS, *key)
        if vm["metadata"].get("deletionTimestamp"):
            return await self._finalize(vm)
        if vmi is not None and owners.controller_of(vmi) is None and not vmi["metadata"].get("deletionTimestamp"):
            vmi = await self._adopt(vm, vmi)
        vm = await ownership.ensure_finalizer(self.cluster, VMS, vm, vmtemplate.VM_FINALIZER)
        if vmi is not None:
            await self._release(vmi)
        return await self._carry_out(vm, vmi)

    async def _adopt(self, vm: Object, vmi: Object) -> Object:
        """An instance of our name without a controller becomes ours."""
        metadata = {"resourceVersion": vmi["metadata"]["resourceVersion"], "ownerReferences": [owners.reference(vm)]}
        return await self.cluster.patch(VMIS, vmi, {"metadata": metadata})

    async def _carry_out(self, vm: Object, vmi: Object | None) -> float | None:
        decision = runstrategy.decide(vm, vmi, time.time())
        template_spec = at(vm, "spec.template.spec") or {}
        volumes = await self._data_volumes(vm, decision)
        claims = {
            n: self.cluster.get(PVCS, vm["metadata"]["namespace"], n) for n in vmtemplate.claim_names(template_spec)
        }
        view = vmstatus.View(vm, vmi, decision, tuple(volumes), claims)
        failure = _foreign_instance(vm, vmi)
        expanded: instancetype.Expanded | None = None
        if failure is None and (decision.act is Act.START or view.live is not None or vmtemplate.has_types(vm)):
            try:
                expanded = await self.expander.expand(vm)
            except instancetype.ExpansionError as error:
                failure = _Failure("FailedCreate", str(error))
        status = vmstatus.build_status(view, clock.timestamp())
        status["conditions"] = self._own_conditions(status["conditions"], view, expanded, failure)
        if expanded is not None:
            for which in vmtemplate.TYPES:
                status.pop(f"{which}Ref", None)
            status |= await self.expander.freeze(vm, expanded)
        vm = await self._write_status(vm, status)
        if failure is not None:
            await self.cluster.recorder.warning(vm, failure.reason, failure.message)
        await self._act(vm, view, expanded)
        return decision.wait

    async def _act(self, vm: Object, view: vmstatus.View, expanded: instancetype.Expanded | None) -> None:
        act, vmi = view.decision.act, view.vmi
        if act is Act.STOP and vmi is not None and owners.is_controlled_by(vmi, vm):
            await self._stop(vm, vmi)
        elif act is Act.RUN:
            await self.cluster.patch(VMS, vm, {"spec": vmtemplate.strategy_fields(vm, "Always")})
        elif act is Act.START and expanded is not None and _volumes_ready(view):
            await self._start(vm, expanded, paused=view.decision.paused)
        elif act is Act.NOTHING and view.live is not None and expanded is not None:
            await self._propagate(vm, view.live, expanded)

    # Starting and stopping

    async def _start(self, vm: Object, expanded: instancetype.Expanded, *, paused: bool) -> None:
        await self._record_start(vm, expanded)
        vmi = vmtemplate.build_instance(vm, expanded.template, paused=paused)
        try:
            created = await self.cluster.create(VMIS, vmi)
        except StatusError as error:
            if error.reason == "AlreadyExists":
                return
            await self.cluster.recorder.warning(
                vm, "FailedCreate", f"Error creating virtual machine instance: {error.message}"
            )
            raise
        name = created["metadata"]["name"]
        message = f"Started the virtual machine by creating the new virtual machine instance {name}"
        await self.cluster.recorder.normal(vm, "SuccessfulCreate", message)

    async def _record_start(self, vm: Object, expanded: instancetype.Expanded) -> None:
        """Keep what is started; the revision of an earlier start goes."""
        revision = vmtemplate.build_start_revision(vm, expanded.template)
        name, namespace = revision["metadata"]["name"], revision["metadata"]["namespace"]
        if self.cluster.get(CONTROLLERREVISIONS, namespace, name) is not None:
            return
        await self.cluster.create_if_absent(CONTROLLERREVISIONS, revision)
        prefix = f"revision-start-vm-{vm['metadata']['uid']}-"
        for old in self.cluster.informer(CONTROLLERREVISIONS).list(namespace):
            if old["metadata"]["name"].startswith(prefix) and old["metadata"]["name"] != name:
                await self.cluster.delete(CONTROLLERREVISIONS, old)

    async def _stop(self, vm: Object, vmi: Object) -> None:
        await self.cluster.delete(VMIS, vmi)
        message = f"Stopped the virtual machine by deleting the virtual machine instance {vmi['metadata']['uid']}"
        await self.cluster.recorder.normal(vm, "SuccessfulDelete", message)

    async def _release(self, vmi: Object) -> None:
        """A deleted instance whose guest has ended may go."""
        metadata = vmi["metadata"]
        if not metadata.get("deletionTimestamp"):
            return
        if runstrategy.is_final(vmi) or vmtemplate.VMI_FINALIZER not in (metadata.get("finalizers") or ()):
            await ownership.drop_finalizer(self.cluster, VMIS, vmi, vmtemplate.VM_FINALIZER)

    async def _finalize(self, vm: Object) -> float | None:
        """Deleting a VM: its instance goes first, unless the deletion leaves orphans behind."""
        if vmtemplate.VM_FINALIZER not in (vm["metadata"].get("finalizers") or ()):
            return None
        if "orphan" in vm["metadata"]["finalizers"]:
            return None  # the garbage collector is about to take our name off the instance
        present = await self._live_instance(vm)
        if present is not None and owners.is_controlled_by(present, vm):
            if not present["metadata"].get("deletionTimestamp"):
                await self._stop(vm, present)
            await self._release(present)
            decision = runstrategy.Decision(Act.NOTHING)
            await self._write_status(vm, vmstatus.build_status(vmstatus.View(vm, present, decision), clock.timestamp()))
            return None
        if present is not None and owners.controller_of(present) is None:
            await ownership.drop_finalizer(self.cluster, VMIS, present, vmtemplate.VM_FINALIZER)
        await ownership.drop_finalizer(self.cluster, VMS, vm, vmtemplate.VM_FINALIZER)
        return None

    async def _live_instance(self, vm: Object) -> Object | None:
        """Not from the copy: an instance that was orphaned a moment ago must not be deleted."""
        try:
            return await self.cluster.client.get(VMIS, vm["metadata"]["name"], vm["metadata"]["namespace"])
        except StatusError as error:
            if error.code == 404:
                return None
            raise

    # DataVolumes

    async def _data_volumes(self, vm: Object, decision: runstrategy.Decision) -> list[Object]:
        """The DataVolumes that the VM uses; those of its templates are created when it is time."""
        namespace = vm["metadata"]["namespace"]
        deferred = (vm["metadata"].get("annotations") or {}).get(vmtemplate.IMMEDIATE_DATA_VOLUMES) == "false"
        found = {}
        for template in vm["spec"].get("dataVolumeTemplates") or []:
            name = template["metadata"]["name"]
            volume = self.cluster.get(DATAVOLUMES, namespace, name)
            if volume is None and (not deferred or decision.act is Act.START):
                volume = await self._create_data_volume(vm, template)
            if volume is not None:
                found[name] = volume
                if at(volume, "status.phase") == "Failed":
                    message = f"DataVolume {name} failed to import disk image"
                    await self.cluster.recorder.warning(vm, "FailedDataVolumeImport", message)
        for name in vmtemplate.data_volume_names(at(vm, "spec.template.spec") or {}):
            if name not in found and (volume := self.cluster.get(DATAVOLUMES, namespace, name)) is not None:
                found[name] = volume
        return list(found.values())

    async def _create_data_volume(self, vm: Object, template: Object) -> Object:
        """A PVC of that name that is there already (its DataVolume was deleted) is adopted, not filled again."""
        body = vmtemplate.build_data_volume(vm, template)
        name = body["metadata"]["name"]
        try:
            volume = await self.cluster.create_if_absent(DATAVOLUMES, body)
        except StatusError as error:
            message = f"Error creating DataVolume {name}: {error.message}"
            await self.cluster.recorder.warning(vm, "FailedDataVolumeCreate", message)
            raise
        if volume is not None:
            await self.cluster.recorder.normal(vm, "SuccessfulDataVolumeCreate", f"Created DataVolume {name}")
        return volume or body

    # Changes under a running guest

    def _start_revision(self, vmi: Object) -> Object | None:
        name = at(vmi, "status.virtualMachineRevisionName")
        return self.cluster.get(CONTROLLERREVISIONS, vmi["metadata"]["namespace"], name) if name else None

    def _compare(self, vmi: Object, expanded: instancetype.Expanded) -> liveupdate.LiveUpdate | None:
        started = at(self._start_revision(vmi), "data.expandedTemplate.spec")
        if started is None:
            return None
        return liveupdate.compare(started, expanded.template.get("spec") or {}, vmi, strategy=self._rollout())

    def _rollout(self) -> str:
        kubevirt = self.cluster.get(KUBEVIRTS, "kubevirt", "kubevirt")
        return at(kubevirt, "spec.configuration.vmRolloutStrategy") or "LiveUpdate"

    async def _propagate(self, vm: Object, vmi: Object, expanded: instancetype.Expanded) -> None:
        if vmi["metadata"].get("deletionTimestamp"):
            return
        update = self._compare(vmi, expanded)
        if update is None or update.restart_required:
            return
        annotations = vmi["metadata"].get("annotations") or {}
        wanted = vmtemplate.live_annotations(vm, annotations, self._start_revision(vmi))
        if not update.spec and annotations == wanted:
            return
        new = copy.deepcopy(vmi)
        new["metadata"]["annotations"] = wanted
        for path, value in update.spec.items():
            put(new["spec"], path, value)
        await self.cluster.update(VMIS, new)

    # Status

    def _own_conditions(
        self,
        present: list[Object],
        view: vmstatus.View,
        expanded: instancetype.Expanded | None,
        failure: _Failure | None,
    ) -> list[Object]:
        now = clock.timestamp()
        out = conditions.drop(present, *(() if failure else ("Failure",)))
        if failure:
            out = conditions.put(out, conditions.build("Failure", True, failure.reason, failure.message), now)
        update = self._compare(view.live, expanded) if view.live is not None and expanded is not None else None
        if update is not None and update.restart_required:
            message = f"{liveupdate.MESSAGE} ({', '.join(update.reasons[:5])})"
            return conditions.put(out, conditions.build("RestartRequired", True, "RestartRequired", message), now)
        return conditions.drop(out, "RestartRequired")

    async def _write_status(self, vm: Object, status: Object) -> Object:
        patch = mergepatch.diff(vm.get("status") or {}, status)
        if not patch:
            return vm
        body = {"metadata": {"resourceVersion": vm["metadata"]["resourceVersion"]}, "status": patch}
        return await self.cluster.patch(VMS, vm, body, subresource="status")


def _volumes_of(vm: Object) -> list[str]:
    namespace = vm["metadata"]["namespace"]
    templates = [t["metadata"]["name"] for t in vm["spec"].get("dataVolumeTemplates") or []]
    names = {*vmtemplate.claim_names(at(vm, "spec.template.spec") or {}), *templates}
    return [f"{namespace}/{name}" for name in names]


def _volumes_ready(view: vmstatus.View) -> bool:
    return all((v.get("status") or {}).get("phase") in vmstatus.DATA_VOLUME_READY for v in view.data_volumes)


def _foreign_instance(vm: Object, vmi: Object | None) -> _Failure | None:
    if vmi is None or owners.is_controlled_by(vmi, vm):
        return None
    owner = owners.controller_of(vmi) or {}
    name = f"{owner.get('kind')} {owner.get('name')}"
    return _Failure("FailedCreate", f"a virtual machine instance of this name exists and belongs to {name}")
