"""The KubeVirt object by which clients see that virtualisation is there: `kubectl wait kv kubevirt --for ...`."""

from isthmus.client.api import Object
from isthmus.client.cached import CachedClient
from isthmus.client.controller import Controller
from isthmus.client.informer import Key
from isthmus.client.resources import KUBEVIRTS, NAMESPACES
from isthmus.lib import clock
from isthmus.machinery import conditions, mergepatch

NAMESPACE = NAME = "kubevirt"
VERSION = "v1.9.0"


def build_kubevirt() -> Object:
    """The installation's object; its configuration is the administrator's."""
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "KubeVirt",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"configuration": {"developerConfiguration": {"useEmulation": True}}},
    }


def build_status(kubevirt: Object, now: str) -> Object:
    """Deployed: every part of it runs in this process and in the agents."""
    old = kubevirt.get("status") or {}
    found: list[Object] = list(old.get("conditions") or [])
    for kind, value, reason, message in (
        ("Available", True, "AllComponentsReady", "All components are ready."),
        ("Progressing", False, "AllComponentsReady", "All components are ready."),
        ("Degraded", False, "AllComponentsReady", "All components are ready."),
        ("Created", True, "AllResourcesCreated", "All resources were created."),
    ):
        found = conditions.put(found, conditions.build(kind, value, reason, message), now)
    versions = {f"{prefix}KubeVirtVersion": VERSION for prefix in ("observed", "target")}
    return old | versions | {
        "phase": "Deployed",
        "conditions": found,
        "operatorVersion": VERSION,
        "observedGeneration": kubevirt["metadata"].get("generation", 1),
    }  # fmt: skip


class KubeVirtController:
    """Keeps the status of every KubeVirt object (there is one)."""

    def __init__(self, cluster: CachedClient) -> None:
        self.cluster = cluster
        self.kubevirts = cluster.informer(KUBEVIRTS)

    def controller(self) -> Controller:
        """The loop around `reconcile`."""
        controller = Controller("kubevirt-controller", self.reconcile)
        controller.watch(self.kubevirts)
        return controller

    async def ensure(self) -> None:
        """Create namespace and object where they lack."""
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        await self.cluster.create_if_absent(NAMESPACES, namespace)
        await self.cluster.create_if_absent(KUBEVIRTS, build_kubevirt())

    async def reconcile(self, key: Key) -> float | None:
        """Write the status."""
        kubevirt = self.kubevirts.get(*key)
        if kubevirt is None or kubevirt["metadata"].get("deletionTimestamp"):
            return None
        status = build_status(kubevirt, clock.timestamp())
        if patch := mergepatch.diff(kubevirt.get("status") or {}, status):
            await self.cluster.patch(KUBEVIRTS, kubevirt, {"status": patch}, subresource="status")
        return None
