"""A node whose agent has stopped renewing its Lease: Ready becomes Unknown and new Pods stay away; and back again.

Nothing is evicted: on one machine an agent that is away says nothing about its VMs, which outlive it.
"""

import time

from isthmus.client.api import Object
from isthmus.client.cached import CachedClient
from isthmus.client.controller import Controller
from isthmus.client.informer import Key
from isthmus.client.resources import LEASES, NODES
from isthmus.lib import clock
from isthmus.machinery import conditions
from isthmus.machinery.fieldtree import at

NAMESPACE = "kube-node-lease"
GRACE_SECONDS = 40.0
UNREACHABLE = "node.kubernetes.io/unreachable"
NOT_READY = "node.kubernetes.io/not-ready"
MESSAGE = "Kubelet stopped posting node status."
KINDS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


class Heartbeats:
    """When each node was last heard of, by our own clock, as in Kubernetes: the nodes' clocks may differ, and a node
    whose Lease ran out while nobody looked has all of the grace period to be heard of again.
    """

    def __init__(self) -> None:
        self._heard: dict[str, tuple[str, float]] = {}  # node -> its Lease's renewTime, when we saw that first

    def silence(self, node: str, lease: Object | None, now: float) -> float:
        """Seconds since the node's Lease was seen to change; 0 at the first look. `now` is monotonic."""
        renewed = str(at(lease, "spec.renewTime") or "")
        known = self._heard.get(node)
        if known is None or known[0] != renewed:
            known = self._heard[node] = (renewed, now)
        return now - known[1]

    def forget(self, node: str) -> None:
        """It is gone."""
        self._heard.pop(node, None)


def wanted_taints(node: Object, *, reachable: bool) -> list[Object]:
    """The node's taints with ours as its condition demands."""
    kept = [t for t in at(node, "spec.taints") or [] if t["key"] not in (UNREACHABLE, NOT_READY)]
    ready = (conditions.of(node, "Ready") or {}).get("status")
    key = UNREACHABLE if not reachable else NOT_READY if ready == "False" else ""
    return [*kept, {"key": key, "effect": "NoSchedule"}] if key else kept


def unknown_status(node: Object, now: str) -> Object | None:
    """The conditions with what can no longer be known; None if they say so already."""
    found: list[Object] = list(at(node, "status.conditions") or [])
    if (conditions.find(found, "Ready") or {}).get("status") == "Unknown":
        return None
    for kind in KINDS:
        if kind == "Ready" or conditions.find(found, kind):
            found = conditions.put(found, conditions.build(kind, "Unknown", "NodeStatusUnknown", MESSAGE), now)
    return {"conditions": found}


def _node_of(lease: Object) -> list[Key]:
    """The node that a Lease tells of: seen later than the node itself, it must be judged by it all the same."""
    metadata = lease["metadata"]
    return [("", metadata["name"])] if metadata["namespace"] == NAMESPACE else []


class NodeLifecycleController:
    """Reconciles one Node at a time, again and again while it lives."""

    def __init__(self, cluster: CachedClient) -> None:
        self.cluster = cluster
        self.nodes = cluster.informer(NODES)
        self.leases = cluster.informer(LEASES)
        self.heartbeats = Heartbeats()

    def controller(self) -> Controller:
        """The loop around `reconcile`."""
        controller = Controller("node-lifecycle-controller", self.reconcile)
        controller.watch(self.nodes)
        controller.watch(self.leases, _node_of)
        return controller

    async def reconcile(self, key: Key) -> float | None:
        """Judge one node by its Lease."""
        node = self.nodes.get(*key)
        if node is None or node["metadata"].get("deletionTimestamp"):
            self.heartbeats.forget(key[1])
            return None
        lease = self.leases.get(NAMESPACE, key[1])
        left = GRACE_SECONDS - self.heartbeats.silence(key[1], lease, time.monotonic())
        if left <= 0 and (status := unknown_status(node, clock.timestamp())) is not None:
            node = await self.cluster.patch(NODES, node, {"status": status}, subresource="status")
            await self.cluster.recorder.warning(node, "NodeNotReady", f"Node {key[1]} status is now: NodeNotReady")
        taints = wanted_taints(node, reachable=left > 0)
        if taints != (at(node, "spec.taints") or []):
            await self.cluster.patch(NODES, node, {"spec": {"taints": taints or None}})
        return max(1.0, left) if left > 0 else GRACE_SECONDS / 4
