"""RBAC as pure evaluation: does a rule allow this, do these rules cover those, what do aggregated ClusterRoles hold.

Rules are `rbac.authorization.k8s.io/v1` PolicyRules as plain dicts. Semantics: kubernetes, pkg/apis/rbac/v1/
evaluation_helpers.go and plugin/pkg/auth/authorizer/rbac; component-helpers, auth/rbac/validation (escalation).
Called by: engine.auth.authorization (decisions), the strategies of roles and bindings (escalation).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

from isthmus.machinery import causes, labels

Rule = Mapping[str, Any]
Object = Mapping[str, Any]

ALL = "*"
_MAX_ATOMS = 200_000
"""Single permissions that an escalation check looks at; rules beyond that are refused, not computed for minutes."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a request wants to do. With a `path` it is about no resource, and only `verb` counts beside it.

    Rules do not look at `field_selector`, which a list or watch may have; the Node authorizer does.
    """

    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    field_selector: str = ""


def allows(rules: Iterable[Rule], attributes: Attributes) -> bool:
    """Whether any of the rules allows it."""
    return any(_rule_allows(rule, attributes) for rule in rules)


def _rule_allows(rule: Rule, attributes: Attributes) -> bool:
    if not _has(rule.get("verbs"), attributes.verb):
        return False
    if attributes.path:
        return any(_path_matches(pattern, attributes.path) for pattern in rule.get("nonResourceURLs") or ())
    named = rule.get("resourceNames")
    return (
        _has(rule.get("apiGroups"), attributes.group)
        and _resource_matches(rule.get("resources") or (), attributes.resource, attributes.subresource)
        and (not named or attributes.name in named)
    )


def _has(allowed: Sequence[str] | None, value: str) -> bool:
    return allowed is not None and (value in allowed or ALL in allowed)


def _resource_matches(allowed: Sequence[str], resource: str, subresource: str) -> bool:
    """`*`, `pods`, `pods/log` and `*/scale`; a plain resource does not include its subresources."""
    wanted = f"{resource}/{subresource}" if subresource else resource
    return wanted in allowed or ALL in allowed or (bool(subresource) and f"*/{subresource}" in allowed)


def _path_matches(pattern: str, path: str) -> bool:
    return pattern == path or (pattern.endswith(ALL) and path.startswith(pattern.rstrip(ALL)))


def covers(owner: Sequence[Rule], servant: Iterable[Rule]) -> bool:
    """Whether whoever holds `owner` may grant `servant`: every permission of it is among their own."""
    return not uncovered(owner, servant, limit=1)


def uncovered(owner: Sequence[Rule], servant: Iterable[Rule], *, limit: int = 100) -> list[Rule]:
    """The permissions of `servant` that `owner` lacks, one verb, group and resource each; at most `limit`.

    Rules that are too many to look through count as not covered and come back whole.
    """
    missing: list[Rule] = []
    budget = _MAX_ATOMS
    for rule in servant:
        if any(_covers_rule(own, rule) for own in owner):
            continue
        budget -= _size(rule)
        if budget < 0:
            missing.append(rule)
        else:
            missing += islice((a for a in _atoms(rule) if not any(_covers_rule(o, a) for o in owner)), limit)
        if len(missing) >= limit:
            break
    return missing[:limit]


def _size(rule: Rule) -> int:
    size = len(rule.get("verbs") or ())
    resources = len(rule.get("apiGroups") or ()) * len(rule.get("resources") or ())
    return size * (resources * max(1, len(rule.get("resourceNames") or ())) + len(rule.get("nonResourceURLs") or ()))


def _atoms(rule: Rule) -> Iterator[Rule]:
    verbs = rule.get("verbs") or ()
    for group, resource, verb in product(rule.get("apiGroups") or (), rule.get("resources") or (), verbs):
        atom = {"verbs": [verb], "apiGroups": [group], "resources": [resource]}
        names = rule.get("resourceNames") or ()
        yield from ({**atom, "resourceNames": [name]} for name in names) if names else (atom,)
    for path, verb in product(rule.get("nonResourceURLs") or (), verbs):
        yield {"verbs": [verb], "nonResourceURLs": [path]}


def _covers_rule(owner: Rule, rule: Rule) -> bool:
    """Whether one rule alone covers the whole of another."""
    own_names, names = owner.get("resourceNames") or (), rule.get("resourceNames") or ()
    return (
        _covers_all(owner.get("verbs"), rule.get("verbs"))
        and _covers_all(owner.get("apiGroups"), rule.get("apiGroups"))
        and all(_covers_resource(owner.get("resources") or (), r) for r in rule.get("resources") or ())
        and (not own_names or (bool(names) and set(names) <= set(own_names)))
        and all(
            any(_path_matches(own, path) for own in owner.get("nonResourceURLs") or ())
            for path in rule.get("nonResourceURLs") or ()
        )
    )


def _covers_all(owned: Sequence[str] | None, wanted: Sequence[str] | None) -> bool:
    return ALL in (owned or ()) or set(wanted or ()) <= set(owned or ())


def _covers_resource(owned: Sequence[str], wanted: str) -> bool:
    _, slash, subresource = wanted.partition("/")
    return ALL in owned or wanted in owned or (bool(slash) and f"*/{subresource}" in owned)


def compact(rules: Iterable[Rule]) -> list[Rule]:
    """Rules of one group and resource made one with all their verbs, as kube-apiserver shows what a grant lacks."""
    out: list[Rule] = []
    simple: dict[tuple[Any, ...], list[str]] = {}
    for rule in rules:
        groups, resources = rule.get("apiGroups") or (), rule.get("resources") or ()
        if len(groups) != 1 or len(resources) != 1 or rule.get("nonResourceURLs"):
            out.append(rule)
            continue
        names = tuple(rule.get("resourceNames") or ())
        key = (*groups, *resources, *names)
        if (verbs := simple.get(key)) is None:
            verbs = simple[key] = []
            merged = {"apiGroups": list(groups), "resources": list(resources), "verbs": verbs}
            out.append({**merged, "resourceNames": list(names)} if names else merged)
        verbs += (verb for verb in rule.get("verbs") or () if verb not in verbs)
    return out


def show_rule(rule: Rule) -> str:
    """A rule as kube-apiserver prints it in the message of a refused grant."""
    titles = {
        "apiGroups": "APIGroups",
        "resources": "Resources",
        "resourceNames": "ResourceNames",
        "nonResourceURLs": "NonResourceURLs",
        "verbs": "Verbs",
    }
    parts = (f"{title}:{causes.show(list(rule[key]))}" for key, title in titles.items() if rule.get(key))
    return "{" + ", ".join(parts) + "}"


def aggregate(role: Object, cluster_roles: Iterable[Object]) -> list[dict[str, Any]]:
    """The rules of a ClusterRole with an `aggregationRule`: those of every ClusterRole that it selects, each once.

    One that is selected and aggregates itself stands for what it selects in turn: `admin` holds what `edit` collects.
    In the order of the roles' names, so that the result is stable.
    """
    others = {other["metadata"]["name"]: other for other in cluster_roles}
    others.pop((role.get("metadata") or {}).get("name"), None)
    selected: list[Object] = []
    waiting = [role]
    while waiting:
        found = [name for name, other in others.items() if _selects(waiting[-1], other)]
        del waiting[-1]
        for other in map(others.pop, found):
            (waiting if other.get("aggregationRule") else selected).append(other)
    rules: list[dict[str, Any]] = []
    for other in sorted(selected, key=lambda other: str(other["metadata"]["name"])):
        rules += (rule for rule in other.get("rules") or () if rule not in rules)
    return rules


def _selects(role: Object, other: Object) -> bool:
    terms = (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()
    given = other["metadata"].get("labels") or {}
    return any(labels.from_label_selector(term).matches(given) for term in terms)
