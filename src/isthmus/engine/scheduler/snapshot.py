"""What scheduling looks at: nodes with the Pods on them, and a Pod with its claims. Pure."""

from dataclasses import dataclass, field
from typing import Any

from isthmus.machinery import quantity
from isthmus.machinery.fieldtree import at

Object = dict[str, Any]
Amounts = dict[str, int]

FINAL = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A node and the Pods that are bound to it and have not ended."""

    node: Object
    pods: tuple[Object, ...] = ()
    used: Amounts = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The node's name."""
        return str(self.node["metadata"]["name"])

    @property
    def labels(self) -> dict[str, str]:
        """The node's labels."""
        return self.node["metadata"].get("labels") or {}

    @property
    def allocatable(self) -> Amounts:
        """What Pods may have in all: CPU in thousandths, the rest in whole units."""
        return amounts(at(self.node, "status.allocatable") or at(self.node, "status.capacity") or {})


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim of the Pod: the PVC, and its PV when bound. `waits`: it is bound only once a node is chosen."""

    name: str
    claim: Object | None
    volume: Object | None = None
    waits: bool = False


def amounts(resources: dict[str, Any]) -> Amounts:
    """Quantities as integers: CPU in thousandths."""
    return {
        name: quantity.to_milli(value) if name == "cpu" else quantity.whole(value) for name, value in resources.items()
    }


def requests(pod: Object) -> Amounts:
    """What a Pod needs: its containers together, or its largest init container where that needs more; and overhead."""
    spec = pod["spec"]
    total: Amounts = {}
    for container in spec.get("containers") or []:
        _add(total, _requested(container))
    for container in spec.get("initContainers") or []:
        needed = _requested(container)
        if container.get("restartPolicy") == "Always":  # a sidecar runs beside the containers
            _add(total, needed)
        else:
            for name, value in needed.items():
                total[name] = max(total.get(name, 0), value)
    _add(total, amounts(spec.get("overhead") or {}))
    return total


def _requested(container: Object) -> Amounts:
    limits = at(container, "resources.limits") or {}
    return amounts(limits | (at(container, "resources.requests") or {}))


def _add(total: Amounts, more: Amounts) -> None:
    for name, value in more.items():
        total[name] = total.get(name, 0) + value


def build(nodes: list[Object], pods: list[Object], assumed: dict[str, str]) -> list[NodeInfo]:
    """The nodes with their Pods; `assumed` (uid -> node) are bindings that the Pods do not show yet."""
    by_node: dict[str, list[Object]] = {}
    for pod in pods:
        name = pod["spec"].get("nodeName") or assumed.get(pod["metadata"]["uid"])
        if name and at(pod, "status.phase") not in FINAL:
            by_node.setdefault(name, []).append(pod)
    return [_node_info(node, by_node.get(node["metadata"]["name"], [])) for node in nodes]


def _node_info(node: Object, pods: list[Object]) -> NodeInfo:
    used: Amounts = {"pods": len(pods)}
    for pod in pods:
        _add(used, requests(pod))
    return NodeInfo(node, tuple(pods), used)
