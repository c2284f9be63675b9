"""ResourceQuota: what an object counts for, which quotas look at it, and what is too much. Pure.

The names are those of `spec.hard`: `pods`, `requests.cpu`, `limits.memory`, `requests.storage`,
`fast.storageclass.storage.k8s.io/requests.storage`, `services.nodeports`, `count/virtualmachines.kubevirt.io` ... A
launcher Pod counts as any Pod, so a quota of Pods bounds VMs. Source: Kubernetes, pkg/quota/v1/evaluator/core, whose
messages these are. Used by admission, which refuses, and by the controller that writes the status.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from isthmus.machinery import quantity
from isthmus.machinery.quantity import Quantity

Object = dict[str, Any]
Usage = dict[str, Quantity]

PODS, CLAIMS, SERVICES = "pods", "persistentvolumeclaims", "services"
# Kinds that are counted under their bare name, too.
PLAIN = frozenset({PODS, CLAIMS, SERVICES, "configmaps", "secrets", "replicationcontrollers", "resourcequotas"})
COMPUTE = ("cpu", "memory", "ephemeral-storage")  # under their bare name as well: requests
SAID = frozenset({f"{part}{name}" for part in ("", "requests.", "limits.") for name in ("cpu", "memory")})
STORAGE_CLASS = ".storageclass.storage.k8s.io/"
_ONE = Quantity(Fraction(1))


def usage(resource: str, obj: Object) -> Usage:
    """What an object counts for; `resource` is its `plural` or `plural.group`."""
    found = {f"count/{resource}": _ONE}
    if resource == PODS:
        found |= {} if _is_terminal(obj) else {PODS: _ONE} | _compute(obj["spec"])
    elif resource == CLAIMS:
        found |= {CLAIMS: _ONE} | _storage(obj["spec"])
    elif resource == SERVICES:
        found |= {SERVICES: _ONE} | _service(obj["spec"])
    elif resource in PLAIN:
        found[resource] = _ONE
    return found


def total(resource: str, objects: Iterable[Object]) -> Usage:
    """What objects of one resource count for together."""
    found: Usage = {}
    for obj in objects:
        found = add(found, usage(resource, obj))
    return found


def add(one: Mapping[str, Quantity], other: Mapping[str, Quantity]) -> Usage:
    """The sum, name by name."""
    return {**one, **{name: one[name] + value if name in one else value for name, value in other.items()}}


def resources(hard: Iterable[str]) -> set[str]:
    """The resources whose objects a quota with these names has to look at."""
    found = set()
    for name in hard:
        if name.startswith("count/"):
            found.add(name.removeprefix("count/"))
        elif name in PLAIN:
            found.add(name)
        elif name.startswith("services."):
            found.add(SERVICES)
        else:
            found.add(CLAIMS if name == "requests.storage" or STORAGE_CLASS in name else PODS)
    return found


def matches(quota: Object, resource: str, obj: Object) -> bool:
    """Whether a quota's scopes let it look at an object: scopes speak of Pods alone."""
    spec = quota["spec"]
    selector = (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    terms = [{"scopeName": name, "operator": "Exists"} for name in spec.get("scopes") or ()] + list(selector)
    return not terms or (resource == PODS and all(_in_scope(term, obj) for term in terms))


def find_excess(quota: Object, used: Usage, before: Usage, after: Usage) -> str:
    """Why an object may not grow from `before` to `after`, where `used` counts it as `before`; "" if it may."""
    hard = {name: quantity.parse(value) for name, value in quota["spec"].get("hard", {}).items()}
    zero = quantity.ZERO
    grown = {n: after[n] - before.get(n, zero) for n in after if n in hard and after[n] > before.get(n, zero)}
    over = sorted(name for name, more in grown.items() if used.get(name, zero) + more > hard[name])
    if not over:
        return ""
    named = quota["metadata"]["name"]
    requested, have, limited = (_listed(over, values) for values in (grown, used, hard))
    return f"exceeded quota: {named}, requested: {requested}, used: {have}, limited: {limited}"


def find_unsaid(quota: Object, pod: Object) -> str:
    """What a Pod has to say under a quota and does not; "" if it says all: a sum needs every container's part."""
    wanted = [name for name in quota["spec"].get("hard", {}) if name in SAID]
    unsaid: dict[str, list[str]] = {}
    for container in _containers(pod["spec"]):
        said = container.get("resources") or {}
        for name in wanted:
            field, _, compute = name.rpartition(".")
            if compute not in (said.get(field or "requests") or {}):
                unsaid.setdefault(name, []).append(container["name"])
    words = "; ".join(f"{name} for: {','.join(sorted(unsaid[name]))}" for name in sorted(unsaid))
    return f"failed quota: {quota['metadata']['name']}: must specify {words}" if words else ""


def _listed(names: Iterable[str], values: Mapping[str, Quantity]) -> str:
    return ",".join(f"{name}={values.get(name, quantity.ZERO)}" for name in names)


def _containers(spec: Object) -> list[Object]:
    return [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]


def _is_terminal(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _compute(spec: Object) -> Usage:
    """requests.NAME and limits.NAME of a Pod, and NAME itself for what it requests."""
    found: Usage = {}
    for field in ("requests", "limits"):
        for name, value in pod_sum(spec, field).items():
            found[f"{field}.{name}"] = value
            if field == "requests" and (name in COMPUTE or name.startswith("hugepages-")):
                found[name] = value
    return found


def pod_sum(spec: Object, field: str) -> Usage:
    """What a Pod requests or is limited to: its containers together, or the greatest init container; and overhead."""
    together: Usage = {}
    for container in spec.get("containers") or ():
        together = add(together, _amounts(container, field))
    first: Usage = {}
    for container in spec.get("initContainers") or ():
        amounts = _amounts(container, field)
        if container.get("restartPolicy") == "Always":  # a sidecar runs beside the containers
            together = add(together, amounts)
        else:
            first |= {name: max(value, first.get(name, quantity.ZERO)) for name, value in amounts.items()}
    found = together | {n: max(v, together.get(n, quantity.ZERO)) for n, v in first.items()}
    overhead = {name: quantity.parse(value) for name, value in (spec.get("overhead") or {}).items()}
    return add(found, overhead if field == "requests" else {n: v for n, v in overhead.items() if n in found})


def _amounts(container: Object, field: str) -> Usage:
    said = (container.get("resources") or {}).get(field) or {}
    return {name: quantity.parse(value) for name, value in said.items()}


def _storage(spec: Object) -> Usage:
    asked = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    found = {} if asked is None else {"requests.storage": quantity.parse(asked)}
    if name := spec.get("storageClassName"):
        of_class = {f"{name}{STORAGE_CLASS}{key}": value for key, value in found.items()}
        found |= of_class | {f"{name}{STORAGE_CLASS}{CLAIMS}": _ONE}
    return found


def _service(spec: Object) -> Usage:
    kind, found = spec.get("type"), dict[str, Quantity]()
    if kind == "LoadBalancer":
        found["services.loadbalancers"] = _ONE
    if kind == "NodePort" or (kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False):
        found["services.nodeports"] = Quantity(Fraction(len(spec.get("ports") or ())))
    return found


def _says_nothing(pod: Object) -> bool:
    """QoS class BestEffort: no container asks for, or is limited in, CPU or memory."""
    said = (
        name
        for container in _containers(pod["spec"])
        for part in ("requests", "limits")
        for name in (container.get("resources") or {}).get(part) or ()
    )
    return not any(name in ("cpu", "memory") for name in said)


def _affinity_crosses(pod: Object) -> bool:
    affinity = pod["spec"].get("affinity") or {}
    terms = list(_affinity_terms(affinity.get("podAffinity") or {}))
    terms += _affinity_terms(affinity.get("podAntiAffinity") or {})
    return any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms)


def _affinity_terms(affinity: Object) -> Iterator[Object]:
    yield from affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    for weighted in affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
        yield weighted.get("podAffinityTerm") or {}


_SCOPES: dict[str, Callable[[Object], bool]] = {
    "Terminating": lambda pod: pod["spec"].get("activeDeadlineSeconds") is not None,
    "NotTerminating": lambda pod: pod["spec"].get("activeDeadlineSeconds") is None,
    "BestEffort": _says_nothing,
    "NotBestEffort": lambda pod: not _says_nothing(pod),
    "CrossNamespacePodAffinity": _affinity_crosses,
}


def _in_scope(term: Object, pod: Object) -> bool:
    if term["scopeName"] != "PriorityClass":
        return term["scopeName"] in _SCOPES and _SCOPES[term["scopeName"]](pod)
    name, values = pod["spec"].get("priorityClassName") or "", term.get("values") or ()
    return {
        "Exists": bool(name),
        "DoesNotExist": not name,
        "In": name in values,
        "NotIn": name not in values,
    }[term["operator"]]
