"""Removes Pods that nobody will ever finish: on a node that is gone, or deleted before they had a node."""

from isthmus.client.api import Object
from isthmus.client.cached import CachedClient
from isthmus.client.controller import Controller
from isthmus.client.informer import Key, key_of
from isthmus.client.resources import NODES, PODS

GONE_SECONDS = 90.0  # an agent that lives registers its node anew within 60 s, and gets its pods back


class PodCollector:
    """Reconciles one Pod at a time."""

    def __init__(self, cluster: CachedClient) -> None:
        self.cluster = cluster
        self.pods = cluster.informer(PODS)
        self.nodes = cluster.informer(NODES)
        self._suspects: set[str] = set()  # uids of pods whose node was missing at the last look

    def controller(self) -> Controller:
        """The loop around `reconcile`."""
        controller = Controller("pod-garbage-collector", self.reconcile)
        controller.watch(self.pods)
        controller.watch(self.nodes, self._pods_of)
        return controller

    def _pods_of(self, node: Object) -> list[Key]:
        name = node["metadata"]["name"]
        return [key_of(p) for p in self.pods.list() if p["spec"].get("nodeName") == name]

    async def reconcile(self, key: Key) -> float | None:
        """Remove one Pod if it is lost; a missing node is looked at twice."""
        pod = self.pods.get(*key)
        if pod is None:
            return None
        uid, node = pod["metadata"]["uid"], pod["spec"].get("nodeName")
        if node is None:
            if pod["metadata"].get("deletionTimestamp"):
                await self._remove(pod)
            return None
        if self.nodes.get("", node) is not None:
            self._suspects.discard(uid)
            return None
        if uid not in self._suspects:
            self._suspects.add(uid)
            return GONE_SECONDS
        self._suspects.discard(uid)
        await self._remove(pod)
        return None

    async def _remove(self, pod: Object) -> None:
        await self.cluster.delete(PODS, pod, options={"gracePeriodSeconds": 0})
