"""Node selectors and Pod affinity: whether a node or a topology fits. Pure; called by `filters` and `scores`."""

from typing import Any

from isthmus.engine.scheduler.snapshot import NodeInfo
from isthmus.machinery import labels
from isthmus.machinery.errors import StatusError
from isthmus.machinery.fieldtree import at

Object = dict[str, Any]


def matches_terms(terms: list[Object], node: NodeInfo) -> bool:
    """Whether any of the nodeSelectorTerms holds (terms are alternatives; an empty term holds for no node)."""
    return any(matches_term(term, node) for term in terms)


def matches_term(term: Object, node: NodeInfo) -> bool:
    """Whether all expressions of one term hold."""
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    try:
        by_label = labels.Selector(labels.from_expressions(expressions))
        by_field = labels.Selector(labels.from_expressions(fields))
    except StatusError:
        return False  # an expression that nobody can read selects nothing
    return by_label.matches(node.labels) and by_field.matches({"metadata.name": node.name})


def matches_node(pod: Object, node: NodeInfo) -> bool:
    """`nodeSelector` and required node affinity."""
    wanted = pod["spec"].get("nodeSelector") or {}
    if not wanted.items() <= node.labels.items():
        return False
    required = at(pod, "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or matches_terms(required.get("nodeSelectorTerms") or [], node)


def selects(term: Object, owner: Object, other: Object, namespaces: dict[str, Object]) -> bool:
    """Whether a Pod affinity term of `owner` means the Pod `other`."""
    where = other["metadata"]["namespace"]
    named = term.get("namespaces") or []
    if (selector := term.get("namespaceSelector")) is not None:
        namespace_labels = (namespaces.get(where) or {"metadata": {}})["metadata"].get("labels") or {}
        if where not in named and not labels.from_label_selector(selector).matches(namespace_labels):
            return False
    elif where not in (named or [owner["metadata"]["namespace"]]):
        return False
    return labels.from_label_selector(term.get("labelSelector")).matches(other["metadata"].get("labels") or {})


def same_topology(key: str, left: NodeInfo, right: NodeInfo) -> bool:
    """Whether two nodes have the same value of the topology label."""
    return key in left.labels and left.labels[key] == right.labels.get(key)


def required_terms(pod: Object, kind: str) -> list[Object]:
    """The required terms of `podAffinity` or `podAntiAffinity`."""
    return at(pod, f"spec.affinity.{kind}.requiredDuringSchedulingIgnoredDuringExecution") or []


def has_match(term: Object, pod: Object, node: NodeInfo, nodes: list[NodeInfo], namespaces: dict[str, Object]) -> bool:
    """Whether a Pod that `term` means runs in the topology of `node`."""
    key = term.get("topologyKey") or ""
    return any(
        selects(term, pod, other, namespaces)
        for near in nodes
        if near.pods and same_topology(key, node, near)
        for other in near.pods
        if other["metadata"]["uid"] != pod["metadata"]["uid"]
    )


def affinity_holds(pod: Object, node: NodeInfo, nodes: list[NodeInfo], namespaces: dict[str, Object]) -> bool:
    """Required Pod affinity. The first Pod of a group that wants to be together may go anywhere."""
    for term in required_terms(pod, "podAffinity"):
        if (term.get("topologyKey") or "") not in node.labels:
            return False
        if has_match(term, pod, node, nodes, namespaces):
            continue
        anywhere = any(selects(term, pod, other, namespaces) for n in nodes for other in n.pods)
        if anywhere or not selects(term, pod, pod, namespaces):
            return False
    return True


def anti_affinity_holds(pod: Object, node: NodeInfo, nodes: list[NodeInfo], namespaces: dict[str, Object]) -> bool:
    """Required anti-affinity, of the Pod and of those that are there already."""
    if any(has_match(t, pod, node, nodes, namespaces) for t in required_terms(pod, "podAntiAffinity")):
        return False
    return not any(
        same_topology(term.get("topologyKey") or "", node, near) and selects(term, other, pod, namespaces)
        for near in nodes
        for other in near.pods
        for term in required_terms(other, "podAntiAffinity")
    )
