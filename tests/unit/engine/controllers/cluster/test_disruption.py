"""The disruption controller: whose scale it asks for, and what it writes."""

import orjson
import pytest

from isthmus.client.resources import PDBS, PODS
from isthmus.engine.controllers.cluster import disruption
from isthmus.machinery import mergepatch
from isthmus.machinery.errors import StatusError

SERVED = {
    ("apps/v1", "ReplicaSet"): disruption.REPLICASETS,
    ("apps/v1", "Deployment"): disruption.DEPLOYMENTS,
    ("kubevirt.io/v1", "VirtualMachineInstance"): disruption.Resource("kubevirt.io", "v1", "virtualmachineinstances"),
}


class Informer(dict):
    """Objects by name."""

    def list(self, _namespace):
        return list(self.values())

    def get(self, _namespace, name):
        return super().get(name)


class Cluster:
    """Objects in memory; a scale for each path; the patches that were sent."""

    def __init__(self):
        self.informers = {PDBS: Informer(), PODS: Informer()}
        self.scales, self.replica_sets, self.patches, self.client = {}, {}, [], self

    def informer(self, resource):
        return self.informers[resource]

    async def get(self, _resource, name, _namespace):
        return self.replica_sets[name]

    async def call(self, _method, path):
        if path not in self.scales:
            raise StatusError(404, "NotFound", "the server could not find the requested resource")
        return orjson.dumps({"spec": {"replicas": self.scales[path]}})

    async def patch(self, _resource, obj, body, *, subresource):
        assert subresource == "status" and body["metadata"]["resourceVersion"] == "7"
        self.patches.append(body["status"])
        obj["status"] = mergepatch.apply(obj.get("status") or {}, body["status"])


@pytest.fixture
def cluster():
    return Cluster()


@pytest.fixture
def loop(cluster):
    loop = disruption.DisruptionController(cluster)
    loop._resources = dict(SERVED)
    return loop


def add_pods(cluster, count, owner=None):
    for number in range(count):
        metadata = {"name": f"p{number}", "namespace": "n", "labels": {"app": "a"}}
        if owner:
            kind, version, name = owner
            metadata["ownerReferences"] = [
                {"apiVersion": version, "kind": kind, "name": name, "uid": f"u-{name}", "controller": True}
            ]
        ready = [{"type": "Ready", "status": "True"}]
        pod = {"metadata": metadata, "spec": {}, "status": {"phase": "Running", "conditions": ready}}
        cluster.informers[PODS][metadata["name"]] = pod


def add_budget(cluster, **spec):
    metadata = {"name": "b", "namespace": "n", "generation": 2, "resourceVersion": "7"}
    budget = {"metadata": metadata, "spec": {"selector": {"matchLabels": {"app": "a"}}} | spec}
    cluster.informers[PDBS]["b"] = budget
    return budget


async def test_a_number_needs_no_controller_and_an_unchanged_status_is_not_written(cluster, loop):
    budget = add_budget(cluster, minAvailable=2)
    add_pods(cluster, 3)
    assert await loop.reconcile(("n", "b")) is None
    status = budget["status"]
    assert (status["disruptionsAllowed"], status["expectedPods"], status["observedGeneration"]) == (1, 3, 2)
    assert status["conditions"][0]["reason"] == "SufficientPods"
    await loop.reconcile(("n", "b"))
    assert len(cluster.patches) == 1


async def test_a_percentage_is_of_the_deployments_scale_not_of_its_replica_sets(cluster, loop):
    budget = add_budget(cluster, maxUnavailable="50%")
    add_pods(cluster, 3, ("ReplicaSet", "apps/v1", "rs"))
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": "u-d", "controller": True}
    cluster.replica_sets["rs"] = {"metadata": {"ownerReferences": [owner]}}
    cluster.scales["/apis/apps/v1/namespaces/n/deployments/d/scale"] = 4
    assert await loop.reconcile(("n", "b")) == disruption.SCALE_SECONDS
    status = budget["status"]
    assert (status["expectedPods"], status["desiredHealthy"], status["disruptionsAllowed"]) == (4, 2, 1)


async def test_pods_whose_controller_has_no_scale_may_not_be_evicted_and_the_budget_says_why(cluster, loop):
    budget = add_budget(cluster, maxUnavailable=1)
    add_pods(cluster, 2, ("VirtualMachineInstance", "kubevirt.io/v1", "vm"))
    await loop.reconcile(("n", "b"))
    (condition,) = budget["status"]["conditions"]
    assert (budget["status"]["disruptionsAllowed"], condition["reason"]) == (0, "SyncFailed")
    assert "virtualmachineinstances.kubevirt.io vm" in condition["message"]


async def test_a_budget_of_no_pods_allows_nothing(cluster, loop):
    budget = add_budget(cluster, minAvailable=0)
    await loop.reconcile(("n", "b"))
    assert budget["status"]["disruptionsAllowed"] == 0
    assert await loop.reconcile(("n", "gone")) is None
