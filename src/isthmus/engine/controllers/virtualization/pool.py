"""VirtualMachinePool -> as many VMs of one template as `replicas` says, kept up to date with it.

`poolplan` decides. Woken by pools, their VMs and those VMs' instances.
"""

import time

from isthmus.client.api import Object
from isthmus.client.cached import CachedClient
from isthmus.client.controller import Controller
from isthmus.client.informer import Key
from isthmus.client.resources import CONTROLLERREVISIONS, VMIS, VMPOOLS, VMS
from isthmus.engine.controllers import ownership
from isthmus.engine.controllers.virtualization import poolplan
from isthmus.lib import clock
from isthmus.machinery import conditions, mergepatch, owners
from isthmus.machinery.errors import StatusError

NAME = "virtualmachinepool-controller"
KIND = "VirtualMachinePool"
HEALING_SECONDS = 30.0


class PoolController:
    """Reconciles one VirtualMachinePool at a time."""

    def __init__(self, cluster: CachedClient) -> None:
        self.cluster = cluster
        self.pools = cluster.informer(VMPOOLS)
        self.vms = cluster.informer(VMS)
        self.vmis = cluster.informer(VMIS)
        self.revisions = cluster.informer(CONTROLLERREVISIONS)

    def controller(self) -> Controller:
        """The loop around `reconcile`."""
        controller = Controller(NAME, self.reconcile, workers=2)
        controller.watch(self.pools)
        controller.watch(self.vms, lambda vm: ownership.keys(vm, KIND))
        controller.watch(self.vmis, self._pool_of_instance)
        return controller

    def _pool_of_instance(self, vmi: Object) -> list[Key]:
        owner = owners.controller_of(vmi)
        vm = self.vms.get(vmi["metadata"]["namespace"], owner["name"]) if owner else None
        return ownership.keys(vm, KIND) if vm else []

    async def reconcile(self, key: Key) -> float | None:
        """Carry out the plan and count."""
        pool = self.pools.get(*key)
        if pool is None or pool["metadata"].get("deletionTimestamp"):
            return None  # the garbage collector takes its VMs
        failure: Object | None = None
        if not pool["spec"].get("paused"):
            try:
                await self._carry_out(pool, poolplan.plan(self._view(pool), time.time()))
            except StatusError as error:
                failure = conditions.build("ReplicaFailure", True, "FailedCreate", error.message)
                await self.cluster.recorder.warning(pool, "FailedCreate", error.message)
        status = poolplan.build_status(self._view(pool), failure, clock.timestamp())
        if patch := mergepatch.diff(pool.get("status") or {}, status):
            await self.cluster.patch(VMPOOLS, pool, {"status": patch}, subresource="status")
        return HEALING_SECONDS if failure or pool["spec"].get("autohealing") is not None else None

    def _view(self, pool: Object) -> poolplan.View:
        namespace = pool["metadata"]["namespace"]
        vms = tuple(vm for vm in self.vms.list(namespace) if owners.is_controlled_by(vm, pool))
        names = (vm["metadata"]["name"] for vm in vms)
        vmis = {name: vmi for name in names if (vmi := self.vmis.get(namespace, name)) is not None}
        known = {poolplan.revision_of(obj) for obj in (*vms, *vmis.values())}
        kept = {name: found["data"] for name in known if (found := self.revisions.get(namespace, name)) is not None}
        return poolplan.View(pool, vms, vmis, kept)

    async def _carry_out(self, pool: Object, plan: poolplan.Plan) -> None:
        recorder = self.cluster.recorder
        if plan.create or plan.update:
            await self._keep_revision(pool)
        for index in plan.create:
            vm = await self.cluster.create(VMS, poolplan.build_vm(pool, index))
            await recorder.normal(pool, "SuccessfulCreate", f"Created VM {_name(vm)}")
        for vm in plan.update:
            await self._update(pool, vm)
            await recorder.normal(pool, "SuccessfulUpdate", f"Updated VM {_name(vm)}")
        for vmi in plan.restart:
            await self.cluster.delete(VMIS, vmi)
            message = f"Proactive update of VM {_name(vmi)} by deleting outdated VMI"
            await recorder.normal(pool, "SuccessfulDelete", message)
        for vm in plan.delete:
            await self.cluster.delete(VMS, vm)
            message = f"Deleted VM {_name(vm)} with uid {vm['metadata']['uid']} from pool"
            await recorder.normal(pool, "SuccessfulDelete", message)

    async def _keep_revision(self, pool: Object) -> None:
        """The revision of this generation; those that no VM or instance is of any more go."""
        revision = poolplan.build_revision(pool)
        name, namespace = revision["metadata"]["name"], pool["metadata"]["namespace"]
        if self.revisions.get(namespace, name) is None:
            await self.cluster.create_if_absent(CONTROLLERREVISIONS, revision)
        used = self._view(pool).revisions.keys() | {name}
        for old in self.revisions.list(namespace):
            if owners.is_controlled_by(old, pool) and old["metadata"]["name"] not in used:
                await self.cluster.delete(CONTROLLERREVISIONS, old)

    async def _update(self, pool: Object, vm: Object) -> None:
        """The VM's spec, labels and annotations anew."""
        wanted = poolplan.build_vm(pool, poolplan.index_of(vm))
        metadata = vm["metadata"] | {key: wanted["metadata"][key] for key in ("labels", "annotations")}
        await self.cluster.update(VMS, vm | {"metadata": metadata, "spec": wanted["spec"]})


def _name(obj: Object) -> str:
    return f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"
