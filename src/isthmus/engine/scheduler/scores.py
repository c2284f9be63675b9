"""Which of the nodes that can take a Pod is best: the one with most left, and what the Pod prefers. Pure."""

from typing import Any

from isthmus.engine.scheduler import affinity, filters
from isthmus.engine.scheduler.snapshot import Amounts, NodeInfo
from isthmus.machinery.fieldtree import at

Object = dict[str, Any]

HIGHEST = 100.0
RESOURCES = ("cpu", "memory")
DEFAULT_REQUESTS = {"cpu": 100, "memory": 200 * 1024 * 1024}  # what a Pod without requests is taken to need


def least_allocated(needed: Amounts, node: NodeInfo) -> float:
    """0..100: the mean share of CPU and memory that stays free."""
    allocatable = node.allocatable
    free = []
    for name in RESOURCES:
        whole = allocatable.get(name, 0)
        used = node.used.get(name, 0) + (needed.get(name) or DEFAULT_REQUESTS[name])
        free.append(max(0.0, (whole - used) / whole) if whole else 0.0)
    return HIGHEST * sum(free) / len(free)


def preferred_affinity(pod: Object, node: NodeInfo) -> float:
    """0..100: the share of the weights of preferred node affinity terms that hold."""
    terms = at(pod, "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution") or []
    total = sum(int(t.get("weight") or 1) for t in terms)
    held = sum(int(t.get("weight") or 1) for t in terms if affinity.matches_term(t.get("preference") or {}, node))
    return HIGHEST * held / total if total else 0.0


def preferred_neighbours(request: filters.Request, node: NodeInfo) -> float:
    """-100..100: preferred Pod affinity and anti-affinity, by weight."""
    held = request.neighbours.preferred
    total = sum(abs(weight) for weight, _ in held)
    return HIGHEST * sum(weight for weight, near in held if near.covers(node)) / total if total else 0.0


def untainted(pod: Object, node: NodeInfo) -> float:
    """100 unless the node has a PreferNoSchedule taint that the Pod does not tolerate."""
    soft = [t for t in at(node.node, "spec.taints") or [] if t.get("effect") == "PreferNoSchedule"]
    return HIGHEST if all(filters.tolerates(pod, t) for t in soft) else 0.0


def score(request: filters.Request, node: NodeInfo) -> float:
    """The sum; preferences weigh twice, soft taints three times, as in kube-scheduler's defaults."""
    pod = request.pod
    return (
        least_allocated(request.needed, node)
        + 2 * preferred_affinity(pod, node)
        + 2 * preferred_neighbours(request, node)
        + 3 * untainted(pod, node)
    )


def choose(request: filters.Request, feasible: list[NodeInfo]) -> NodeInfo:
    """The best node; of equals the first by name, so that a decision can be explained and repeated."""
    return max(sorted(feasible, key=lambda n: n.name), key=lambda n: score(request, n))
