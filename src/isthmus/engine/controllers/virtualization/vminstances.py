"""The instance of a VM: adopted, created, deleted, let go. Called by `vm`, which decides; `vmtemplate` builds."""

from isthmus.client.api import Object
from isthmus.client.cached import CachedClient
from isthmus.client.resources import CONTROLLERREVISIONS, VMIS
from isthmus.engine.controllers import ownership
from isthmus.engine.controllers.virtualization import instancetype, runstrategy, vmtemplate
from isthmus.machinery import owners
from isthmus.machinery.errors import StatusError


class Instances:
    """Writes VMIs, and the record of what was started."""

    def __init__(self, cluster: CachedClient) -> None:
        self._cluster = cluster
        cluster.informer(CONTROLLERREVISIONS)

    async def adopt(self, vm: Object, vmi: Object) -> Object:
        """An instance of the VM's name without a controller becomes its own."""
        metadata = {"resourceVersion": vmi["metadata"]["resourceVersion"], "ownerReferences": [owners.reference(vm)]}
        return await self._cluster.patch(VMIS, vmi, {"metadata": metadata})

    async def start(self, vm: Object, expanded: instancetype.Expanded, *, paused: bool) -> None:
        """Create it. Raises StatusError, which an event tells, too."""
        await self._record_start(vm, expanded)
        vmi = vmtemplate.build_instance(vm, expanded.template, paused=paused)
        try:
            created = await self._cluster.create(VMIS, vmi)
        except StatusError as error:
            if error.reason == "AlreadyExists":
                return
            message = f"Error creating virtual machine instance: {error.message}"
            await self._cluster.recorder.warning(vm, "FailedCreate", message)
            raise
        name = created["metadata"]["name"]
        message = f"Started the virtual machine by creating the new virtual machine instance {name}"
        await self._cluster.recorder.normal(vm, "SuccessfulCreate", message)

    async def _record_start(self, vm: Object, expanded: instancetype.Expanded) -> None:
        """Keep what is started; the revision of an earlier start goes."""
        revision = vmtemplate.build_start_revision(vm, expanded.template)
        name, namespace = revision["metadata"]["name"], revision["metadata"]["namespace"]
        if self._cluster.get(CONTROLLERREVISIONS, namespace, name) is not None:
            return
        await self._cluster.create_if_absent(CONTROLLERREVISIONS, revision)
        prefix = f"revision-start-vm-{vm['metadata']['uid']}-"
        for old in self._cluster.informer(CONTROLLERREVISIONS).list(namespace):
            if old["metadata"]["name"].startswith(prefix) and old["metadata"]["name"] != name:
                await self._cluster.delete(CONTROLLERREVISIONS, old)

    async def stop(self, vm: Object, vmi: Object) -> None:
        """Delete it: its node asks the guest to shut down."""
        await self._cluster.delete(VMIS, vmi)
        message = f"Stopped the virtual machine by deleting the virtual machine instance {vmi['metadata']['uid']}"
        await self._cluster.recorder.normal(vm, "SuccessfulDelete", message)

    async def release(self, vmi: Object) -> None:
        """A deleted instance whose guest has ended may go."""
        metadata = vmi["metadata"]
        if not metadata.get("deletionTimestamp"):
            return
        if runstrategy.is_final(vmi) or vmtemplate.VMI_FINALIZER not in (metadata.get("finalizers") or ()):
            await self.disown(vmi)

    async def disown(self, vmi: Object) -> None:
        """The VM has no say any more in when its instance goes."""
        await ownership.drop_finalizer(self._cluster, VMIS, vmi, vmtemplate.VM_FINALIZER)

    async def find_live(self, vm: Object) -> Object | None:
        """Not from the copy: an instance that was orphaned a moment ago must not be deleted."""
        try:
            return await self._cluster.client.get(VMIS, vm["metadata"]["name"], vm["metadata"]["namespace"])
        except StatusError as error:
            if error.code == 404:
                return None
            raise
