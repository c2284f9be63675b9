"""The cluster as the scheduler sees it, kept by small steps: what an event does not touch is not worked out again.

Fed by the scheduler with changes of nodes and Pods, and with bindings before the copy of the API shows them (assumed
Pods); `snapshot` gives the nodes as the pure `filters` and `scores` take them. Pure. After kube-scheduler's
internal/cache; what it must come to is `snapshot.build` of everything.
"""

from dataclasses import dataclass, field
from typing import Any

from isthmus.engine.scheduler import snapshot
from isthmus.engine.scheduler.snapshot import Amounts, NodeInfo

Object = dict[str, Any]


@dataclass(slots=True)
class _Node:
    """What is known of one node, or of one that only Pods name. `info` is None where it must be made anew."""

    node: Object | None = None
    offered: Amounts = field(default_factory=dict)
    pods: dict[str, Object] = field(default_factory=dict)  # by uid
    used: Amounts = field(default_factory=dict)
    info: NodeInfo | None = None


class Cache:
    """Nodes, and the Pods that take room on them."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}
        self._placed: dict[str, tuple[str, Amounts]] = {}  # uid of a Pod -> its node, and what it takes of it
        self._assumed: dict[str, str] = {}
        self._snapshot: tuple[NodeInfo, ...] | None = None
        self.computed = 0  # nodes that were made anew so far

    # -- changes ------------------------------------------------------------------------------------------------------

    def set_node(self, old: Object | None, new: Object | None) -> None:
        """A node came, changed or went (an informer's handler)."""
        name = (new or old or {})["metadata"]["name"]
        known = self._nodes.setdefault(name, _Node())
        known.node = new
        known.offered = snapshot.allocatable(new) if new is not None else {}
        self._touch(name)

    def set_pod(self, old: Object | None, new: Object | None) -> None:
        """A Pod came, changed or went (an informer's handler)."""
        uid = new["metadata"]["uid"] if new is not None else ""
        if old is not None and old["metadata"]["uid"] != uid:  # gone, perhaps with a successor of its name
            self._assumed.pop(old["metadata"]["uid"], None)
            self._remove(old["metadata"]["uid"])
        if new is not None:
            if new["spec"].get("nodeName") or not snapshot.placed_on(new, self._assumed):
                self._assumed.pop(uid, None)
            self._put(new)

    def assume(self, pod: Object, node: str) -> None:
        """The Pod is about to be bound to `node`: it takes its room from now on."""
        self._assumed[pod["metadata"]["uid"]] = node
        self._put(pod)

    def forget(self, pod: Object) -> None:
        """It was not bound. Harmless if the copy shows it bound meanwhile."""
        if self._assumed.pop(pod["metadata"]["uid"], None) is not None:
            self._remove(pod["metadata"]["uid"])

    def is_assumed(self, pod: Object) -> bool:
        """Whether a binding of the Pod is on its way."""
        return pod["metadata"]["uid"] in self._assumed

    # -- the picture --------------------------------------------------------------------------------------------------

    def snapshot(self) -> tuple[NodeInfo, ...]:
        """All nodes with their Pods. What has not changed is the same object as before."""
        if self._snapshot is None:
            self._snapshot = tuple(self._info(n, n.node) for n in self._nodes.values() if n.node is not None)
        return self._snapshot

    def _info(self, known: _Node, node: Object) -> NodeInfo:
        if known.info is None:
            self.computed += 1
            known.info = snapshot.node_info(node, known.pods.values(), snapshot.total([known.used]), known.offered)
        return known.info

    def _put(self, pod: Object) -> None:
        uid, name = pod["metadata"]["uid"], snapshot.placed_on(pod, self._assumed)
        if self._placed.get(uid, ("",))[0] == name != "" and self._nodes[name].pods[uid]["spec"] == pod["spec"]:
            self._nodes[name].pods[uid] = pod  # its labels may have changed, not what it takes
            self._touch(name)
            return
        self._remove(uid)
        if not name:
            return
        needed = snapshot.requests(pod)
        known = self._nodes.setdefault(name, _Node())
        known.pods[uid] = pod
        for resource, amount in needed.items():
            known.used[resource] = known.used.get(resource, 0) + amount
        self._placed[uid] = name, needed
        self._touch(name)

    def _remove(self, uid: str) -> None:
        name, needed = self._placed.pop(uid, ("", {}))
        if not name:
            return
        known = self._nodes[name]
        del known.pods[uid]
        for resource, amount in needed.items():
            known.used[resource] -= amount
        self._touch(name)

    def _touch(self, name: str) -> None:
        known = self._nodes[name]
        if known.node is None and not known.pods:
            del self._nodes[name]
        known.info = self._snapshot = None
