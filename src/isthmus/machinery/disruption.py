"""PodDisruptionBudgets as pure evaluation: may this Pod be evicted now, and what does a budget allow.

Words and rules: kubernetes, pkg/registry/core/pod/storage/eviction.go, pkg/controller/disruption/disruption.go,
component-helpers, apps/poddisruptionbudget. Times are seconds since the epoch where they come in, RFC 3339 in objects.
Called by: engine.registry.eviction, the disruption controller.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from isthmus.machinery import conditions, errors, labels

Object = dict[str, Any]
ALLOWED = "DisruptionAllowed"  # the condition
CAUSE = "DisruptionBudget"
MAX_DISRUPTED = 2000  # evictions that the controller has not confirmed yet
DELETION_SECONDS = 120.0  # within which a Pod whose eviction was allowed has to be on its way
_VIOLATION = "Cannot evict pod as it would violate the pod's disruption budget."
_RETRY_SECONDS = 10
_UNGUARDED = ("Succeeded", "Failed", "Pending")


# -- eviction ---------------------------------------------------------------------------------------------------------


def is_unguarded(pod: Object) -> bool:
    """Whether no budget speaks for the Pod: it serves nobody yet or any more, or is being deleted."""
    return (pod.get("status") or {}).get("phase") in _UNGUARDED or bool(pod["metadata"].get("deletionTimestamp"))


def find_budget(budgets: Iterable[Object], pod: Object) -> Object | None:
    """The budget of the Pod, among those of its namespace. Raises StatusError 500 if there are several."""
    found = [budget for budget in budgets if covers(budget, pod)]
    if len(found) > 1:
        raise errors.StatusError(
            500,
            "InternalError",
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        )
    return found[0] if found else None


def covers(budget: Object, pod: Object) -> bool:
    """Whether the budget selects the Pod; an empty or unreadable selector selects none."""
    selector = (budget.get("spec") or {}).get("selector")
    if not selector or not (selector.get("matchLabels") or selector.get("matchExpressions")):
        return False
    try:
        return bool(labels.from_label_selector(selector).matches(pod["metadata"].get("labels") or {}))
    except errors.StatusError:
        return False


def takes_from(budget: Object, pod: Object) -> bool:
    """Whether evicting the Pod takes a disruption from its budget.

    An unhealthy Pod is not counted by it, so it goes for nothing where the policy is AlwaysAllow or the budget is met.
    """
    if conditions.is_true(pod, "Ready"):
        return True
    spec, status = budget.get("spec") or {}, budget.get("status") or {}
    if spec.get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return False
    desired = status.get("desiredHealthy") or 0
    return not (desired > 0 and (status.get("currentHealthy") or 0) >= desired)


def take(budget: Object, pod_name: str, now: str) -> Object:
    """The budget's status after one more disruption. Raises StatusError: 429 if none is left or it is not counted yet,
    403 if the status cannot be relied on."""
    metadata, status = budget["metadata"], dict(budget.get("status") or {})
    name, allowed = metadata["name"], status.get("disruptionsAllowed") or 0
    disrupted = dict(status.get("disruptedPods") or {})
    if (status.get("observedGeneration") or 0) < (metadata.get("generation") or 0):
        why = f"The disruption budget {name} is still being processed by the server."
        raise _too_many(why, _RETRY_SECONDS)
    if allowed < 0:
        raise _unreliable(name, "pdb disruptions allowed is negative")
    if len(disrupted) > MAX_DISRUPTED:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise _unreliable(name, why)
    if allowed == 0:
        desired, healthy = status.get("desiredHealthy") or 0, status.get("currentHealthy") or 0
        raise _too_many(f"The disruption budget {name} needs {desired} healthy pods and has {healthy} currently", None)
    status |= {"disruptionsAllowed": allowed - 1, "disruptedPods": disrupted | {pod_name: now}}
    return with_condition(status, now)


def changed(pod_name: str) -> errors.StatusError:
    """The Pod was no longer what its eviction was judged by."""
    return _too_many(f"The pod {pod_name} has changed while it was being evicted.", _RETRY_SECONDS)


def _too_many(why: str, retry_after: int | None) -> errors.StatusError:
    """Without a time to come back, clients ask the budget's owner for patience, not the server every second."""
    error = errors.StatusError(429, "TooManyRequests", _VIOLATION, retry_after=retry_after)
    error.details["causes"] = [{"reason": CAUSE, "message": why}]
    return error


def _unreliable(name: str, why: str) -> errors.StatusError:
    return errors.forbidden("policy", "poddisruptionbudget", name, why)


# -- counting ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Expected:
    """How many Pods there should be, and how many of them healthy."""

    pods: int
    healthy: int


def needs_scale(budget: Object) -> bool:
    """Whether what is expected depends on the scale of the Pods' controllers."""
    spec = budget.get("spec") or {}
    return spec.get("maxUnavailable") is not None or isinstance(spec.get("minAvailable"), str)


def expect(budget: Object, pods: int, scale: int) -> Expected:
    """`pods` are the selected ones, `scale` is the sum of their controllers' (if `needs_scale`).

    Raises ValueError for an amount that is neither a number nor a percentage.
    """
    spec = budget.get("spec") or {}
    if (unavailable := spec.get("maxUnavailable")) is not None:
        return Expected(scale, max(0, scale - _scaled(unavailable, scale)))
    available = spec.get("minAvailable")
    if isinstance(available, str):
        return Expected(scale, _scaled(available, scale))
    return Expected(pods if available is not None else 0, available or 0)


def _scaled(amount: int | str, total: int) -> int:
    """A percentage of `total`, rounded up: in favour of the budget's owner."""
    if isinstance(amount, int):
        return amount
    number = amount.removesuffix("%")
    if number == amount or not number.isdecimal():
        raise ValueError(f'invalid value for IntOrString: invalid type: string is not a percentage: "{amount}"')
    return math.ceil(int(number) * total / 100)


def count(
    budget: Object, pods: Sequence[Object], expected: Expected, now: float, parse: Callable[[str], float]
) -> tuple[Object, float | None]:
    """The budget's status (without `conditions`), and after how many seconds it may change with nobody's doing.

    `parse` reads a time. Pods whose eviction was allowed do not count as healthy until it is clear that they stay.
    """
    present = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    names = {pod["metadata"]["name"] for pod in present}
    told = ((budget.get("status") or {}).get("disruptedPods") or {}).items()
    left = {name: parse(when) + DELETION_SECONDS - now for name, when in told if name in names}
    disrupted = {name: when for name, when in told if left.get(name, 0) > 0}
    healthy = sum(p["metadata"]["name"] not in disrupted and conditions.is_true(p, "Ready") for p in present)
    allowed = max(0, healthy - expected.healthy) if expected.pods > 0 else 0
    status: Object = {
        "currentHealthy": healthy,
        "desiredHealthy": expected.healthy,
        "expectedPods": expected.pods,
        "disruptionsAllowed": allowed,
        "observedGeneration": budget["metadata"].get("generation") or 0,
    } | ({"disruptedPods": disrupted} if disrupted else {})
    return status, min((left[name] for name in disrupted), default=None)


def with_condition(status: Object, now: str) -> Object:
    """The status with the condition that follows from `disruptionsAllowed`."""
    allowed = status["disruptionsAllowed"] > 0
    return _with(status, allowed, "SufficientPods" if allowed else "InsufficientPods", "", now)


def failed(budget: Object, why: str, now: str) -> Object:
    """The status of a budget that cannot be counted: nothing may be evicted."""
    status = dict(budget.get("status") or {}) | {"disruptionsAllowed": 0}
    return _with(status, False, "SyncFailed", why, now)


def _with(status: Object, allowed: bool, reason: str, message: str, now: str) -> Object:
    observed = status.get("observedGeneration") or 0
    condition = conditions.build(ALLOWED, allowed, reason, observed_generation=observed) | {"message": message}
    return status | {"conditions": conditions.put(status.get("conditions"), condition, now)}
