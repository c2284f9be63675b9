"""Where a Pod can go, and in words why not elsewhere. Pure.

Each filter gives the reason why the node will not do, in kube-scheduler's words, or None. `FILTERS` is their order;
the first reason counts.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from isthmus.engine.scheduler import affinity
from isthmus.engine.scheduler.snapshot import Amounts, Claim, NodeInfo, requests
from isthmus.machinery import conditions
from isthmus.machinery.fieldtree import at

Object = dict[str, Any]

UNSCHEDULABLE_TAINT = "node.kubernetes.io/unschedulable"


@dataclass(frozen=True)
class Request:
    """A Pod to be placed, and what surrounds it. What all nodes are judged by is worked out once, when first asked."""

    pod: Object
    claims: tuple[Claim, ...] = ()
    nodes: tuple[NodeInfo, ...] = ()
    namespaces: Mapping[str, Object] = field(default_factory=dict)

    @cached_property
    def needed(self) -> Amounts:
        """What the Pod requests."""
        return requests(self.pod)

    @cached_property
    def neighbours(self) -> affinity.Neighbours:
        """Where the Pods are that this one wants near or far, and those that want it far."""
        return affinity.Neighbours(self.pod, self.nodes, self.namespaces)


Filter = Callable[[Request, NodeInfo], str | None]


def _ready(_request: Request, node: NodeInfo) -> str | None:
    return None if conditions.is_true(node.node, "Ready") else "node(s) were not ready"


def _schedulable(request: Request, node: NodeInfo) -> str | None:
    if not at(node.node, "spec.unschedulable"):
        return None
    taint = {"key": UNSCHEDULABLE_TAINT, "effect": "NoSchedule"}
    return None if tolerates(request.pod, taint) else "node(s) were unschedulable"


def _node_name(request: Request, node: NodeInfo) -> str | None:
    wanted = request.pod["spec"].get("nodeName")
    return None if not wanted or wanted == node.name else "node(s) didn't match the requested node name"


def _taints(request: Request, node: NodeInfo) -> str | None:
    for taint in at(node.node, "spec.taints") or []:
        if taint.get("effect") in ("NoSchedule", "NoExecute") and not tolerates(request.pod, taint):
            return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
    return None


def tolerates(pod: Object, taint: Object) -> bool:
    """Whether one of the Pod's tolerations covers the taint."""
    return any(_covers(t, taint) for t in pod["spec"].get("tolerations") or [])


def _covers(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    key, operator = toleration.get("key") or "", toleration.get("operator") or "Equal"
    if key and key != taint["key"]:
        return False
    if operator == "Exists":
        return True
    return bool(key) and (toleration.get("value") or "") == (taint.get("value") or "")


def _node_affinity(request: Request, node: NodeInfo) -> str | None:
    fits = affinity.matches_node(request.pod, node)
    return None if fits else "node(s) didn't match Pod's node affinity/selector"


def _resources(request: Request, node: NodeInfo) -> str | None:
    allocatable = node.allocatable
    if node.used.get("pods", 0) + 1 > allocatable.get("pods", 110):
        return "Too many pods"
    lacking = [n for n, v in request.needed.items() if v and v > allocatable.get(n, 0) - node.used.get(n, 0)]
    return ", ".join(f"Insufficient {name}" for name in sorted(lacking)) or None


def _resource_claims(request: Request, _node: NodeInfo) -> str | None:
    """No driver for dynamic resource allocation runs here, so no claim is ever allocated."""
    return "cannot allocate all claims" if request.pod["spec"].get("resourceClaims") else None


def _volumes(request: Request, node: NodeInfo) -> str | None:
    for claim in request.claims:
        required = at(claim.volume, "spec.nodeAffinity.required")
        if required and not affinity.matches_terms(required.get("nodeSelectorTerms") or [], node):
            return "node(s) didn't match PersistentVolume's node affinity"
    return None


def _pod_affinity(request: Request, node: NodeInfo) -> str | None:
    holds = request.neighbours.affinity_holds(node)
    return None if holds else "node(s) didn't match pod affinity rules"


def _pod_anti_affinity(request: Request, node: NodeInfo) -> str | None:
    holds = request.neighbours.anti_affinity_holds(node)
    return None if holds else "node(s) didn't match pod anti-affinity rules"


FILTERS: tuple[Filter, ...] = (
    _node_name,
    _schedulable,
    _taints,
    _ready,
    _node_affinity,
    _volumes,
    _resources,
    _resource_claims,
    _pod_affinity,
    _pod_anti_affinity,
)


def reason_against(request: Request, node: NodeInfo) -> str | None:
    """Why the Pod cannot go to `node`; None if it can."""
    return next((reason for check in FILTERS if (reason := check(request, node))), None)


def claim_problem(claims: tuple[Claim, ...]) -> str | None:
    """What is wrong with the Pod's claims whatever the node."""
    for claim in claims:
        if claim.claim is None:
            return f'persistentvolumeclaim "{claim.name}" not found'
        if claim.claim["metadata"].get("deletionTimestamp"):
            return f'persistentvolumeclaim "{claim.name}" is being deleted'
    if any(c.volume is None and not c.waits for c in claims):
        return "pod has unbound immediate PersistentVolumeClaims"
    return None


def explain(total: int, reasons: list[str]) -> str:
    """`0/3 nodes are available: 1 Insufficient memory, 2 node(s) were unschedulable.`"""
    if not total:
        return "no nodes available to schedule pods"
    counts = Counter(part for reason in reasons for part in reason.split(", "))
    listing = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
    return f"0/{total} nodes are available: {listing}."
