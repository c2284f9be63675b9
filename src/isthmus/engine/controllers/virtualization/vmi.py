"""VirtualMachineInstance -> launcher Pod, and the VMI's way from Pending to Scheduled; its end when it is deleted.

Woken by VMIs, launcher Pods, PVCs and DataVolumes. `launcher` builds the Pod, `vmiphase` decides the status; this
module reads and writes. The agent of the VMI's node takes over at Scheduled and writes through the same object, so
every status write here carries the revision it was computed from.
"""

from isthmus.client.api import Object
from isthmus.client.cached import CachedClient
from isthmus.client.controller import Controller
from isthmus.client.informer import Key, key_of
from isthmus.client.resources import DATAVOLUMES, KUBEVIRTS, PODS, PVCS, VMIS, VMS
from isthmus.engine.controllers import ownership
from isthmus.engine.controllers.virtualization import launcher, vmiphase, vmtemplate
from isthmus.lib import clock
from isthmus.machinery import conditions, mergepatch, owners
from isthmus.machinery.errors import StatusError
from isthmus.machinery.fieldtree import at

NAME = "virtualmachineinstance-controller"
CLAIMS = "claims"  # index of VMIs by the "namespace/name" of the PVCs that they use
INSTANCE = "instance"  # index of Pods by the uid of the VMI that they stand for


class VirtualMachineInstanceController:
    """Reconciles one VirtualMachineInstance at a time."""

    def __init__(self, cluster: CachedClient) -> None:
        self.cluster = cluster
        self.vmis = cluster.informer(VMIS)
        self.vmis.add_indexer(CLAIMS, lambda o: [f"{o['metadata']['namespace']}/{n}" for n in vmiphase.volumes_of(o)])
        self.pods = cluster.informer(PODS)
        self.pods.add_indexer(INSTANCE, lambda o: [(o["metadata"].get("labels") or {}).get(launcher.CREATED_BY, "")])
        for resource in (VMS, KUBEVIRTS):
            cluster.informer(resource)

    def controller(self) -> Controller:
        """The loop around `reconcile`."""
        controller = Controller(NAME, self.reconcile, workers=4)
        controller.watch(self.vmis)
        controller.watch(self.pods, lambda pod: ownership.keys(pod, "VirtualMachineInstance"))
        for resource in (PVCS, DATAVOLUMES):
            controller.watch(self.cluster.informer(resource), self._users_of_volume)
        return controller

    def _users_of_volume(self, volume: Object) -> list[Key]:
        return [key_of(vmi) for vmi in self.vmis.index(CLAIMS, "/".join(key_of(volume)))]

    async def reconcile(self, key: Key) -> float | None:
        """Bring one VMI a step nearer to running, or to its end."""
        vmi = self.vmis.get(*key)
        if vmi is None:
            return None
        pods = self.pods.index(INSTANCE, vmi["metadata"]["uid"])
        volumes = self._volumes(vmi)
        if not vmi["metadata"].get("deletionTimestamp"):
            vmi = await ownership.ensure_finalizer(self.cluster, VMIS, vmi, vmtemplate.VMI_FINALIZER)
            try:
                pods = await self._ensure_pod(vmi, pods, volumes)
            except StatusError as error:
                message = f"failed to create virtual machine pod: {error.message}"
                problem = conditions.build("Synchronized", False, "FailedCreate", message)
                await self._write(vmi, None, volumes, problem)
                raise
        vmi = await self._write(vmi, vmiphase.current_pod(vmi, pods), volumes)
        if vmi["metadata"].get("deletionTimestamp"):
            await self._finalize(vmi, pods)
        return None

    def _volumes(self, vmi: Object) -> list[vmiphase.Volume]:
        namespace, get = vmi["metadata"]["namespace"], self.cluster.get
        return [
            vmiphase.Volume(name, get(PVCS, namespace, name), get(DATAVOLUMES, namespace, name))
            for name in vmiphase.volumes_of(vmi)
        ]

    async def _ensure_pod(self, vmi: Object, pods: list[Object], volumes: list[vmiphase.Volume]) -> list[Object]:
        if pods or (at(vmi, "status.phase") or "") not in ("", "Pending"):
            return pods
        missing = [v.name for v in volumes if v.missing]
        for name in missing:
            await self.cluster.recorder.warning(
                vmi, "FailedPvcNotFound", f"PVC {vmi['metadata']['namespace']}/{name} does not exist"
            )
        if missing or not all(v.may_schedule for v in volumes):
            return []
        kubevirt = self.cluster.get(KUBEVIRTS, "kubevirt", "kubevirt")
        silent = at(kubevirt, "spec.configuration.virtualMachineOptions.disableSerialConsoleLog") is not None
        body = launcher.build_pod(vmi, console_log_default=not silent)
        try:
            pod = await self.cluster.create(PODS, body)
        except StatusError as error:
            if error.reason == "AlreadyExists":
                return [await self.cluster.client.get(PODS, body["metadata"]["name"], body["metadata"]["namespace"])]
            message = f"Error creating pod: {error.message}"
            await self.cluster.recorder.warning(vmi, "FailedCreate", message)
            raise
        await self.cluster.recorder.normal(
            vmi, "SuccessfulCreate", f"Created virtual machine pod {pod['metadata']['name']}"
        )
        return [pod]

    async def _write(
        self, vmi: Object, pod: Object | None, volumes: list[vmiphase.Volume], problem: Object | None = None
    ) -> Object:
        old = vmi.get("status") or {}
        status = vmiphase.build_status(vmi, pod, volumes, clock.timestamp(), problem=problem)
        patch = mergepatch.diff(old, status)
        if not patch:
            return vmi
        metadata: Object = {"resourceVersion": vmi["metadata"]["resourceVersion"]}
        handed_over = status["phase"] == "Scheduled" and old.get("phase") != "Scheduled"
        if handed_over:
            metadata["labels"] = {launcher.NODE_NAME: status["nodeName"]}
        vmi = await self.cluster.patch(VMIS, vmi, {"metadata": metadata, "status": patch})
        if handed_over:
            message = f"Pod ownership transferred to the node {status['nodeName']}"
            await self.cluster.recorder.normal(vmi, "SuccessfulHandOver", message)
        return vmi

    async def _finalize(self, vmi: Object, pods: list[Object]) -> None:
        """A deleted VMI: before the agent has it, its pod goes at once; afterwards when the guest has ended."""
        phase = at(vmi, "status.phase") or ""
        if phase in vmiphase.WITH_AGENT:
            return  # the agent shuts the guest down and reports its end
        for pod in pods:
            asked = bool(pod["metadata"].get("deletionTimestamp"))
            if not asked or at(pod, "status.phase") in vmiphase.FINAL:  # nothing of it is left to wait for
                await self.cluster.delete(PODS, pod, options={"gracePeriodSeconds": 0})
            if not asked:
                message = f"Deleted virtual machine pod {pod['metadata']['name']}"
                await self.cluster.recorder.normal(vmi, "SuccessfulDelete", message)
        if pods or phase not in vmiphase.FINAL:
            return
        finalizers = [vmtemplate.VMI_FINALIZER]
        owner = owners.controller_of(vmi)
        vm = self.cluster.get(VMS, vmi["metadata"]["namespace"], owner["name"]) if owner else None
        if vm is None or owner is None or vm["metadata"]["uid"] != owner["uid"]:
            finalizers.append(vmtemplate.VM_FINALIZER)  # nobody is left to take it off
        await ownership.drop_finalizer(self.cluster, VMIS, vmi, *finalizers)
