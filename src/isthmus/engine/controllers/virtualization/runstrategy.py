"""What a VirtualMachine's run strategy demands now: start, stop, or nothing. Pure.

Called by `vm`. The table of strategies is KubeVirt's; what it must remember lies in the VM's status:
`stateChangeRequests` (what start, stop and restart have queued), `startFailure` (back-off), `runStrategy` (the strategy
last followed: a VM that has just come to RerunOnFailure starts once by itself).
"""

import random
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from isthmus.lib import clock

Object = dict[str, Any]

BACKOFF_SECONDS = 10
BACKOFF_CAP = 300
FINAL = frozenset({"Succeeded", "Failed"})


class Act(StrEnum):
    """What to do with the instance."""

    NOTHING = "nothing"
    START = "start"
    STOP = "stop"
    RUN = "run"  # first make the strategy Always


@dataclass(frozen=True, slots=True)
class Decision:
    """`requests` and `failure` are what the status shall hold, written before the act; `wait` seconds to look again."""

    act: Act
    requests: tuple[Object, ...] = ()
    failure: Object | None = None
    wait: float | None = None

    @property
    def starts(self) -> bool:
        """Whether an absent instance is to come: at once or after a back-off."""
        return self.act is Act.START or self.wait is not None

    @property
    def paused(self) -> bool:
        """Whether a queued start asks for a guest that does not run yet."""
        return any(_starts_paused(r) for r in self.requests)


def _starts_paused(request: Object) -> bool:
    return request.get("action") == "Start" and (request.get("data") or {}).get("paused") == "true"


def of(vm: Object) -> str:
    """The strategy that is in force: `runStrategy`, or what the older `running` means."""
    spec = vm["spec"]
    return spec.get("runStrategy") or ("Always" if spec.get("running") else "Halted")


def is_final(vmi: Object | None) -> bool:
    """Whether the guest has ended."""
    return vmi is not None and phase(vmi) in FINAL


def phase(vmi: Object) -> str:
    """The VMI's phase, "" while nobody has seen it."""
    return (vmi.get("status") or {}).get("phase") or ""


def was_running(vmi: Object) -> bool:
    """Whether the VMI ever reached Running."""
    status = vmi.get("status") or {}
    stamps = status.get("phaseTransitionTimestamps") or []
    return status.get("phase") == "Running" or any(s.get("phase") == "Running" for s in stamps)


def backoff_seconds(failures: int, spread: float | None = None) -> int:
    """10 s, 40 s, 90 s ... and up to half as much again, at most 300 s."""
    seconds = BACKOFF_SECONDS * failures**2
    share = random.random() if spread is None else spread  # noqa: S311 (no secret)
    return min(BACKOFF_CAP, int(seconds * (1 + share / 2)))


def decide(vm: Object, vmi: Object | None, now: float, spread: float | None = None) -> Decision:
    """What to do for `vm` at `now` (seconds), whose instance is `vmi`."""
    strategy = of(vm)
    requests = _pending(vm, vmi, strategy)
    failure = _failure(vm, vmi, strategy, now, spread)
    plain = Decision(Act.NOTHING, requests, failure)
    if vmi is not None:
        if vmi["metadata"].get("deletionTimestamp"):
            return plain  # on its way already
        return _with_instance(plain, strategy, vmi)
    return _without_instance(plain, vm, strategy, now)


def _with_instance(plain: Decision, strategy: str, vmi: Object) -> Decision:
    stop = replace(plain, act=Act.STOP)
    ended = phase(vmi)
    if strategy == "Halted" or _wants_stop(plain.requests, vmi):
        return stop
    if strategy == "Always" and ended in FINAL:
        return stop
    if strategy == "RerunOnFailure" and ended in FINAL:
        # The request to start again is written before the instance goes: a crash between the two loses nothing.
        again = ended == "Failed" and not _wants_start(plain.requests)
        return replace(stop, requests=(*plain.requests, {"action": "Start"}) if again else plain.requests)
    if strategy == "Manual" and ended in FINAL and _wants_start(plain.requests):
        return stop
    return plain


def _without_instance(plain: Decision, vm: Object, strategy: str, now: float) -> Decision:
    arrived = (vm.get("status") or {}).get("runStrategy") != strategy
    wanted = {
        "Always": True,
        "Once": True,
        "RerunOnFailure": arrived or _wants_start(plain.requests),
        "Manual": _wants_start(plain.requests),
    }.get(strategy, False)
    if strategy == "Halted" and plain.paused:
        return replace(plain, act=Act.RUN)
    if not wanted:
        return plain
    left = _backoff_left(plain.failure, now)
    if left > 0:
        return replace(plain, wait=left)
    return replace(plain, act=Act.START)


def _wants_start(requests: tuple[Object, ...]) -> bool:
    return any(r.get("action") == "Start" for r in requests)


def _wants_stop(requests: tuple[Object, ...], vmi: Object) -> bool:
    uid = vmi["metadata"]["uid"]
    return any(r.get("action") == "Stop" and r.get("uid") == uid for r in requests)


def _pending(vm: Object, vmi: Object | None, strategy: str) -> tuple[Object, ...]:
    """The queue without what has been fulfilled: a stop whose instance is gone, a start whose instance lives."""
    queued = (vm.get("status") or {}).get("stateChangeRequests") or []
    gone = vmi is None or bool(vmi["metadata"].get("deletionTimestamp"))
    if strategy == "Halted":
        # A paused start is queued a moment before the strategy is changed; any other request is overruled.
        return tuple(r for r in queued[:1] if gone and _starts_paused(r))
    uid = vmi["metadata"]["uid"] if vmi else None
    requests = tuple(r for r in queued if r.get("action") != "Stop" or (uid is not None and r.get("uid") == uid))
    alive = vmi is not None and not is_final(vmi) and not vmi["metadata"].get("deletionTimestamp")
    if alive and vmi is not None and not _wants_stop(requests, vmi):
        return tuple(r for r in requests if r.get("action") != "Start")
    return requests


def _failure(vm: Object, vmi: Object | None, strategy: str, now: float, spread: float | None) -> Object | None:
    """Count instances that ended without ever running; one that ran clears the count."""
    known: Object | None = (vm.get("status") or {}).get("startFailure")
    if strategy not in ("Always", "RerunOnFailure", "Once"):
        return None
    if vmi is None:
        return known
    if was_running(vmi):
        return None
    uid = vmi["metadata"]["uid"]
    if vmi["metadata"].get("deletionTimestamp"):
        return known  # it was stopped: no failure of its own, or one that is counted
    if not is_final(vmi) or (known or {}).get("lastFailedVMIUID") == uid:
        return known
    count = int((known or {}).get("consecutiveFailCount") or 0) + 1
    retry = clock.timestamp(now + backoff_seconds(count, spread))
    return {"consecutiveFailCount": count, "lastFailedVMIUID": uid, "retryAfterTimestamp": retry}


def _backoff_left(failure: Object | None, now: float) -> float:
    at = (failure or {}).get("retryAfterTimestamp")
    return max(0.0, clock.parse(at) - now) if at else 0.0
