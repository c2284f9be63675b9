"""What scheduling looks at: nodes with the Pods on them, and a Pod with its claims. Pure.

`cache` keeps the nodes as Pods come and go; `build` makes them of everything at once, and says what it must come to.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from isthmus.machinery import quantity
from isthmus.machinery.fieldtree import at

Object = dict[str, Any]
Amounts = dict[str, int]

FINAL = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A node and the Pods that are bound to it and have not ended. Made by `node_info`."""

    node: Object
    pods: tuple[Object, ...] = ()
    used: Amounts = field(default_factory=dict)
    allocatable: Amounts = field(default_factory=dict)  # what Pods may have in all
    guarded: tuple[Object, ...] = ()  # those of the Pods that keep others away: required anti-affinity

    @property
    def name(self) -> str:
        """The node's name."""
        return str(self.node["metadata"]["name"])

    @property
    def labels(self) -> dict[str, str]:
        """The node's labels."""
        return self.node["metadata"].get("labels") or {}


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
    needed: Amounts = {}
    for container in spec.get("containers") or []:
        _add(needed, _requested(container))
    for container in spec.get("initContainers") or []:
        first = _requested(container)
        if container.get("restartPolicy") == "Always":  # a sidecar runs beside the containers
            _add(needed, first)
        else:
            for name, value in first.items():
                needed[name] = max(needed.get(name, 0), value)
    _add(needed, amounts(spec.get("overhead") or {}))
    return needed


def _requested(container: Object) -> Amounts:
    limits = at(container, "resources.limits") or {}
    return amounts(limits | (at(container, "resources.requests") or {}))


def _add(total: Amounts, more: Amounts) -> None:
    for name, value in more.items():
        total[name] = total.get(name, 0) + value


def total(parts: Iterable[Amounts]) -> Amounts:
    """The sum, without what comes to nothing."""
    out: Amounts = {}
    for part in parts:
        _add(out, part)
    return {name: value for name, value in out.items() if value}


def placed_on(pod: Object, assumed: Mapping[str, str]) -> str:
    """The node that a Pod takes room of, by its binding or one on its way (`assumed`: uid -> node); "" if none."""
    if at(pod, "status.phase") in FINAL:
        return ""
    return str(pod["spec"].get("nodeName") or assumed.get(pod["metadata"]["uid"]) or "")


def allocatable(node: Object) -> Amounts:
    """What Pods may have of a node in all: CPU in thousandths, the rest in whole units."""
    return amounts(at(node, "status.allocatable") or at(node, "status.capacity") or {})


def node_info(node: Object, pods: Iterable[Object], used: Amounts, offered: Amounts) -> NodeInfo:
    """A node with its Pods, which together use `used`, of `offered`."""
    present = tuple(pods)
    return NodeInfo(node, present, used | {"pods": len(present)}, offered, tuple(filter(_keeps_others_away, present)))


def _keeps_others_away(pod: Object) -> bool:
    return bool(at(pod, "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution"))


def build(nodes: list[Object], pods: list[Object], assumed: Mapping[str, str]) -> list[NodeInfo]:
    """The nodes with their Pods; `assumed` (uid -> node) are bindings that the Pods do not show yet."""
    by_node: dict[str, list[Object]] = {}
    for pod in pods:
        if name := placed_on(pod, assumed):
            by_node.setdefault(name, []).append(pod)
    return [
        node_info(node, found, total(map(requests, found)), allocatable(node))
        for node in nodes
        for found in (by_node.get(node["metadata"]["name"], []),)
    ]
