"""Binds one Pod after another. `filters` and `scores` decide on what `cache` keeps; this module follows and writes.

A Pod whose claims wait for a node gets that node written on them first (`volume.kubernetes.io/selected-node`), and is
bound when they are. A Pod that fits nowhere is told why, and is tried again when nodes, Pods or claims change.
"""

import logging
from collections.abc import Iterator, Mapping

from isthmus.client import paths
from isthmus.client.api import Object
from isthmus.client.cached import CachedClient
from isthmus.client.controller import Controller
from isthmus.client.informer import Informer, Key, key_of
from isthmus.client.resources import NAMESPACES, NODES, PODS, PVCS, PVS, STORAGECLASSES
from isthmus.engine.scheduler import filters, scores, snapshot
from isthmus.engine.scheduler.cache import Cache
from isthmus.lib import clock, logs
from isthmus.machinery import conditions
from isthmus.machinery.errors import StatusError
from isthmus.machinery.fieldtree import at

log = logging.getLogger(__name__)

NAME = "default-scheduler"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
RETRY_SECONDS = 30.0
PENDING, CLAIMS = "pending", "claims"  # indexes of the Pods: those to place; by claim, as the provisioner makes it too


def is_pending(pod: Object) -> bool:
    """Whether the Pod is ours to place, now."""
    spec = pod["spec"]
    return (
        not spec.get("nodeName")
        and not spec.get("schedulingGates")
        and not pod["metadata"].get("deletionTimestamp")
        and (spec.get("schedulerName") or NAME) == NAME
        and at(pod, "status.phase") not in snapshot.FINAL
    )


class Scheduler:
    """One worker: places are given out one at a time."""

    def __init__(self, cluster: CachedClient) -> None:
        self.cluster = cluster
        self.pods = cluster.informer(PODS)
        self.nodes = cluster.informer(NODES)
        self.claims = cluster.informer(PVCS)
        self.namespaces = cluster.informer(NAMESPACES)
        for resource in (PVS, STORAGECLASSES):
            cluster.informer(resource)
        self.cache = Cache()
        self._controller = Controller(NAME, self.reconcile)

    def controller(self) -> Controller:
        """The loop around `reconcile`."""
        self.pods.add_indexer(PENDING, lambda pod: [PENDING] if is_pending(pod) else [])
        self.pods.add_indexer(CLAIMS, _claims_of)
        self.pods.on_change(self._pod_changed)
        self.nodes.on_change(self._node_changed)
        self.claims.on_change(self._claim_changed)
        self.cluster.informer(PVS).on_change(self._volume_changed)
        return self._controller

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        self.cache.set_pod(old, new)
        if new is not None and is_pending(new):
            self._controller.queue.add(key_of(new))
        freed = new is None or at(new, "status.phase") in snapshot.FINAL
        if freed and old is not None and old["spec"].get("nodeName"):
            self._try_all()

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        self.cache.set_node(old, new)
        if new is not None and (old is None or _offer(old) != _offer(new)):
            self._try_all()

    def _claim_changed(self, old: Object | None, new: Object | None) -> None:
        """Only the Pods that use the claim can gain by it."""
        metadata = (new or old or {})["metadata"]
        self._try_users(metadata["namespace"], metadata["name"])

    def _volume_changed(self, old: Object | None, new: Object | None) -> None:
        reference = at(new or old or {}, "spec.claimRef") or {}
        if reference.get("name"):
            self._try_users(reference.get("namespace") or "", reference["name"])

    def _try_users(self, namespace: str, claim: str) -> None:
        for pod in self.pods.index(CLAIMS, f"{namespace}/{claim}"):
            if is_pending(pod):
                self._controller.queue.add(key_of(pod))

    def _try_all(self) -> None:
        for pod in self.pods.index(PENDING, PENDING):
            self._controller.queue.add(key_of(pod))

    async def reconcile(self, key: Key) -> float | None:
        """Place one Pod, or say why it cannot be placed."""
        pod = self.pods.get(*key)
        if pod is None or not is_pending(pod) or self.cache.is_assumed(pod):
            return None
        claims = self._claims(pod)
        nodes = self.cache.snapshot()
        request = filters.Request(pod, claims, nodes, _Namespaces(self.namespaces))
        if (problem := filters.claim_problem(claims)) is not None:
            return await self._refuse(pod, f"0/{len(nodes)} nodes are available: {problem}.")
        reasons = {node.name: filters.reason_against(request, node) for node in nodes}
        feasible = [node for node in nodes if reasons[node.name] is None]
        if not feasible:
            return await self._refuse(pod, filters.explain(len(nodes), [r for r in reasons.values() if r]))
        chosen = scores.choose(request, feasible)
        if await self._volumes_are_ready(claims, chosen.name):
            await self._bind(pod, chosen.name)
        return None

    def _claims(self, pod: Object) -> tuple[snapshot.Claim, ...]:
        names = (at(v, "persistentVolumeClaim.claimName") for v in pod["spec"].get("volumes") or [])
        return tuple(self._claim(pod["metadata"]["namespace"], name) for name in names if name)

    def _claim(self, namespace: str, name: str) -> snapshot.Claim:
        claim = self.claims.get(namespace, name)
        if claim is None:
            return snapshot.Claim(name, None)
        if at(claim, "status.phase") == "Bound":
            volume = self.cluster.get(PVS, "", claim["spec"].get("volumeName") or "")
            return snapshot.Claim(name, claim, volume)
        storage_class = self.cluster.get(STORAGECLASSES, "", claim["spec"].get("storageClassName") or "")
        waits = at(storage_class, "volumeBindingMode") == "WaitForFirstConsumer"
        return snapshot.Claim(name, claim, waits=waits)

    async def _volumes_are_ready(self, claims: tuple[snapshot.Claim, ...], node: str) -> bool:
        """Have unbound claims made on `node`; False while they are not bound (their change brings the Pod back)."""
        waiting = [c.claim for c in claims if c.volume is None and c.claim is not None]
        for claim in waiting:
            if (claim["metadata"].get("annotations") or {}).get(SELECTED_NODE) != node:
                await self.cluster.patch(PVCS, claim, {"metadata": {"annotations": {SELECTED_NODE: node}}})
        return not waiting

    async def _bind(self, pod: Object, node: str) -> None:
        metadata = pod["metadata"]
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        self.cache.assume(pod, node)
        try:
            await self.cluster.client.call("POST", paths.object_path(PODS, pod, "binding"), body=body)
        except StatusError as error:
            self.cache.forget(pod)
            if error.code != 409:  # bound already: its event is on the way
                raise
            return
        name = f"{metadata['namespace']}/{metadata['name']}"
        log.info("bound", extra=logs.fields(pod=name, node=node))
        await self.cluster.recorder.normal(pod, "Scheduled", f"Successfully assigned {name} to {node}")

    async def _refuse(self, pod: Object, message: str) -> float:
        known = conditions.of(pod, "PodScheduled") or {}
        if (known.get("status"), known.get("message")) != ("False", message):
            condition = conditions.build("PodScheduled", False, "Unschedulable", message)
            found = conditions.put(at(pod, "status.conditions"), condition, clock.timestamp())
            body = {
                "metadata": {"resourceVersion": pod["metadata"]["resourceVersion"]},
                "status": {"conditions": found},
            }
            pod = await self.cluster.patch(PODS, pod, body, subresource="status")
            await self.cluster.recorder.warning(pod, "FailedScheduling", message)
        return RETRY_SECONDS


def _claims_of(pod: Object) -> list[str]:
    namespace = pod["metadata"]["namespace"]
    names = (at(v, "persistentVolumeClaim.claimName") for v in pod["spec"].get("volumes") or [])
    return [f"{namespace}/{name}" for name in names if name]


class _Namespaces(Mapping[str, Object]):
    """The informer's namespaces by name: few Pods ask for any."""

    def __init__(self, informer: Informer) -> None:
        self._informer = informer

    def __getitem__(self, name: str) -> Object:
        if (found := self._informer.get("", name)) is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return (namespace["metadata"]["name"] for namespace in self._informer.list())

    def __len__(self) -> int:
        return len(self._informer.list())


def _offer(node: Object) -> tuple[object, ...]:
    """What of a node matters to scheduling: its heartbeats do not."""
    return (
        node["metadata"].get("labels"),
        at(node, "spec.taints"),
        at(node, "spec.unschedulable"),
        at(node, "status.allocatable"),
        conditions.is_true(node, "Ready"),
    )
