"""Node selectors and Pod affinity: whether a node or a topology fits. Pure; called by `filters` and `scores`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
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


def selects(term: Object, owner: Object, other: Object, namespaces: Mapping[str, Object]) -> bool:
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


def required_terms(pod: Object, kind: str) -> list[Object]:
    """The required terms of `podAffinity` or `podAntiAffinity`."""
    return at(pod, f"spec.affinity.{kind}.requiredDuringSchedulingIgnoredDuringExecution") or []


def _preferred_terms(pod: Object) -> Iterator[tuple[int, Object]]:
    """Weight, negative for anti-affinity, and term."""
    for kind, sign in (("podAffinity", 1), ("podAntiAffinity", -1)):
        for weighted in at(pod, f"spec.affinity.{kind}.preferredDuringSchedulingIgnoredDuringExecution") or []:
            yield sign * int(weighted.get("weight") or 1), weighted.get("podAffinityTerm") or {}


@dataclass(frozen=True, slots=True)
class Topology:
    """The parts of the cluster, by one label of nodes, in which Pods are that a term means."""

    key: str
    values: frozenset[str]

    def covers(self, node: NodeInfo) -> bool:
        """Whether the node lies in one of them."""
        return node.labels.get(self.key) in self.values


class Neighbours:
    """The Pods that one Pod's affinity means, and those whose anti-affinity means it: each looked at once a term.

    Later, a node is judged by its labels alone, however many Pods there are.
    """

    def __init__(self, pod: Object, nodes: Sequence[NodeInfo], namespaces: Mapping[str, Object]) -> None:
        self._pod = pod
        self._nodes = nodes
        self._namespaces = namespaces
        self._near = [(term, self._find(term)) for term in required_terms(pod, "podAffinity")]
        self._far = [self._find(term) for term in required_terms(pod, "podAntiAffinity")]
        self._far += self._find_guards()

    @cached_property
    def preferred(self) -> list[tuple[int, Topology]]:
        """What the Pod would like, by weight: negative where it would rather be elsewhere."""
        return [(weight, self._find(term)) for weight, term in _preferred_terms(self._pod)]

    def _find(self, term: Object) -> Topology:
        """Where the Pods run that a term of this Pod means."""
        key, uid = term.get("topologyKey") or "", self._pod["metadata"]["uid"]
        found = (
            near.labels[key]
            for near in self._nodes
            if near.pods and key in near.labels
            if any(o["metadata"]["uid"] != uid and self._selects(term, self._pod, o) for o in near.pods)
        )
        return Topology(key, frozenset(found))

    def _find_guards(self) -> list[Topology]:
        """Where Pods run that keep this one away."""
        found: dict[str, set[str]] = {}
        for near in self._nodes:
            for other in near.guarded:
                for term in required_terms(other, "podAntiAffinity"):
                    key = term.get("topologyKey") or ""
                    if key in near.labels and self._selects(term, other, self._pod):
                        found.setdefault(key, set()).add(near.labels[key])
        return [Topology(key, frozenset(values)) for key, values in found.items()]

    def _selects(self, term: Object, owner: Object, other: Object) -> bool:
        return selects(term, owner, other, self._namespaces)

    def affinity_holds(self, node: NodeInfo) -> bool:
        """Required Pod affinity. The first Pod of a group that wants to be together may go anywhere."""
        for term, topology in self._near:
            if topology.key not in node.labels:
                return False
            if not topology.covers(node) and not self._is_first(term):
                return False
        return True

    def _is_first(self, term: Object) -> bool:
        if not self._selects(term, self._pod, self._pod):
            return False
        return not any(self._selects(term, self._pod, other) for near in self._nodes for other in near.pods)

    def anti_affinity_holds(self, node: NodeInfo) -> bool:
        """Required anti-affinity, of the Pod and of those that are there already."""
        return not any(topology.covers(node) for topology in self._far)
