"""VirtualMachineInstanceReplicaSet -> as many live instances of one template as `replicas` says."""

import copy
from dataclasses import dataclass

from isthmus.client.api import Object
from isthmus.client.cached import CachedClient
from isthmus.client.controller import Controller
from isthmus.client.informer import Key
from isthmus.client.resources import VMIRS, VMIS
from isthmus.engine.controllers import ownership
from isthmus.engine.controllers.virtualization import runstrategy, vmtemplate
from isthmus.lib import clock
from isthmus.machinery import conditions, labels, mergepatch, owners

NAME = "virtualmachineinstancereplicaset-controller"
BURST = 250  # instances created or deleted in one pass


@dataclass(frozen=True, slots=True)
class Plan:
    """How many to create, which to delete."""

    create: int
    delete: tuple[Object, ...]


def plan(replicas: int, instances: list[Object]) -> Plan:
    """Ended instances go; of too many the ones that are not ready go first, then the youngest."""
    present = [i for i in instances if not i["metadata"].get("deletionTimestamp")]
    ended = [i for i in present if runstrategy.is_final(i)]
    active = [i for i in present if not runstrategy.is_final(i)]
    ranked = sorted(active, key=lambda i: i["metadata"].get("creationTimestamp", ""), reverse=True)
    ranked.sort(key=lambda i: conditions.is_true(i, "Ready"))
    surplus = ranked[: max(0, len(active) - replicas)]
    return Plan(min(BURST, max(0, replicas - len(active))), tuple((ended + surplus)[:BURST]))


def build_instance(replica_set: Object) -> Object:
    """One instance of the template; the server completes its name."""
    template = replica_set["spec"]["template"]
    metadata = template.get("metadata") or {}
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {
            "generateName": replica_set["metadata"]["name"],
            "namespace": replica_set["metadata"]["namespace"],
            "labels": dict(metadata.get("labels") or {}),
            "annotations": dict(metadata.get("annotations") or {}),
            "finalizers": [vmtemplate.VMI_FINALIZER],
            "ownerReferences": [owners.reference(replica_set)],
        },
        "spec": copy.deepcopy(template["spec"]),
    }


def build_status(replica_set: Object, instances: list[Object], now: str) -> Object:
    """Counts of the instances that have not ended."""
    active = [i for i in instances if not runstrategy.is_final(i)]
    old = replica_set.get("status") or {}
    paused = conditions.build("ReplicaPaused", True, "Paused", "Controller got paused")
    kept = conditions.drop(old.get("conditions"), "ReplicaPaused")
    return old | {
        "replicas": len(active),
        "readyReplicas": sum(conditions.is_true(i, "Ready") for i in active),
        "labelSelector": str(labels.from_label_selector(replica_set["spec"]["selector"])),
        "conditions": conditions.put(kept, paused, now) if replica_set["spec"].get("paused") else kept,
    }


class ReplicaSetController:
    """Reconciles one VirtualMachineInstanceReplicaSet at a time."""

    def __init__(self, cluster: CachedClient) -> None:
        self.cluster = cluster
        self.replica_sets = cluster.informer(VMIRS)
        self.vmis = cluster.informer(VMIS)

    def controller(self) -> Controller:
        """The loop around `reconcile`."""
        controller = Controller(NAME, self.reconcile, workers=2)
        controller.watch(self.replica_sets)
        controller.watch(self.vmis, lambda vmi: ownership.keys(vmi, "VirtualMachineInstanceReplicaSet"))
        return controller

    async def reconcile(self, key: Key) -> float | None:
        """Create what lacks, delete what is too much, count."""
        replica_set = self.replica_sets.get(*key)
        if replica_set is None:
            return None
        instances = [i for i in self.vmis.list(key[0]) if owners.is_controlled_by(i, replica_set)]
        spec = replica_set["spec"]
        if not replica_set["metadata"].get("deletionTimestamp") and not spec.get("paused"):
            # Every instance that we have created is in the copy: writes go through the cache.
            todo = plan(int(spec.get("replicas", 1)), instances)
            for instance in todo.delete:
                await self.cluster.delete(VMIS, instance)
            for _ in range(todo.create):
                created = await self.cluster.create(VMIS, build_instance(replica_set))
                message = f"Started the virtual machine instance by creating {created['metadata']['name']}"
                await self.cluster.recorder.normal(replica_set, "SuccessfulCreate", message)
        instances = [i for i in self.vmis.list(key[0]) if owners.is_controlled_by(i, replica_set)]
        status = build_status(replica_set, instances, clock.timestamp())
        if patch := mergepatch.diff(replica_set.get("status") or {}, status):
            await self.cluster.patch(VMIRS, replica_set, {"status": patch}, subresource="status")
        return None
