"""Columns of Pods. READY, STATUS and RESTARTS come of one pass over the container statuses. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from isthmus.kinds.columns import age, text

Object = dict[str, Any]


@dataclass
class _Summary:
    reason: str
    total: int
    ready: int = 0
    restarts: int = 0
    last_restart: str = ""

    def count_restart(self, status: Object) -> None:
        self.restarts += int(status.get("restartCount") or 0)
        finished = text.get(status, "lastState", "terminated", "finishedAt")
        if isinstance(finished, str):
            self.last_restart = max(self.last_restart, finished)


def _summary(pod: Object) -> _Summary:
    status = pod.get("status")
    reason = text.get(status, "reason") or text.get(status, "phase") or ""
    if any(
        c.get("reason") == "SchedulingGated"
        for c in text.items(status, "conditions")
        if c.get("type") == "PodScheduled"
    ):
        reason = "SchedulingGated"
    restartable = {
        c.get("name") for c in text.items(pod, "spec", "initContainers") if c.get("restartPolicy") == "Always"
    }
    out = _Summary(reason, len(text.items(pod, "spec", "containers")) + len(restartable))
    initializing = _read_init_containers(pod, restartable, out)
    if not initializing or text.condition(pod, "Initialized").get("status") == "True":
        _read_containers(pod, restartable, out)
    _judge_deletion(pod, out)
    return out


def _read_init_containers(pod: Object, restartable: set[Any], out: _Summary) -> bool:
    """Whether the pod still initializes; `out.reason` then says where it is."""
    specified = len(text.items(pod, "spec", "initContainers"))
    for place, status in enumerate(text.items(pod, "status", "initContainerStatuses")):
        out.count_restart(status)
        state = status.get("state") or {}
        terminated, waiting = state.get("terminated"), text.get(state, "waiting", "reason")
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if status.get("name") in restartable and status.get("started"):
            out.ready += bool(status.get("ready"))
            continue
        if terminated is not None:
            out.reason = "Init:" + _termination(terminated)
        elif waiting and waiting != "PodInitializing":
            out.reason = f"Init:{waiting}"
        else:
            out.reason = f"Init:{place}/{specified}"
        return True
    return False


def _read_containers(pod: Object, restartable: set[Any], out: _Summary) -> None:
    out.restarts, out.last_restart = 0, ""
    for status in text.items(pod, "status", "initContainerStatuses"):
        if status.get("name") in restartable:
            out.count_restart(status)
    running = False
    for status in reversed(text.items(pod, "status", "containerStatuses")):
        out.count_restart(status)
        state = status.get("state") or {}
        if waiting := text.get(state, "waiting", "reason"):
            out.reason = waiting
        elif state.get("terminated") is not None:
            out.reason = _termination(state["terminated"])
        elif status.get("ready") and state.get("running") is not None:
            running = True
            out.ready += 1
    if out.reason == "Completed" and running:
        out.reason = "Running" if text.condition(pod, "Ready").get("status") == "True" else "NotReady"


def _termination(terminated: Object) -> str:
    if reason := terminated.get("reason"):
        return str(reason)
    if signal := terminated.get("signal"):
        return f"Signal:{signal}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _judge_deletion(pod: Object, out: _Summary) -> None:
    if not text.get(pod, "metadata", "deletionTimestamp"):
        return
    if text.get(pod, "status", "reason") == "NodeLost":
        out.reason = "Unknown"
    elif text.get(pod, "status", "phase") not in ("Succeeded", "Failed"):
        out.reason = "Terminating"


def ready(pod: Object, _now: datetime) -> str:
    """READY: "1/2"."""
    summary = _summary(pod)
    return f"{summary.ready}/{summary.total}"


def status(pod: Object, _now: datetime) -> str:
    """STATUS: the phase, or what a container is stuck in."""
    return _summary(pod).reason


def restarts(pod: Object, now: datetime) -> str:
    """RESTARTS: "3 (5m ago)"."""
    summary = _summary(pod)
    if not summary.restarts or not summary.last_restart:
        return str(summary.restarts)
    return f"{summary.restarts} ({age.since(summary.last_restart, now)} ago)"


def ip(pod: Object, _now: datetime) -> str:
    """IP: the first address."""
    addresses = text.items(pod, "status", "podIPs")
    return (addresses[0].get("ip") if addresses else text.get(pod, "status", "podIP")) or text.NONE


def node(pod: Object, _now: datetime) -> str:
    """NODE."""
    return text.get(pod, "spec", "nodeName") or text.NONE


def nominated_node(pod: Object, _now: datetime) -> str:
    """NOMINATED NODE: where room is being made for it."""
    return text.get(pod, "status", "nominatedNodeName") or text.NONE


def readiness_gates(pod: Object, _now: datetime) -> str:
    """READINESS GATES: how many of them are True."""
    gates = text.items(pod, "spec", "readinessGates")
    if not gates:
        return text.NONE
    passed = sum(text.condition(pod, gate.get("conditionType", "")).get("status") == "True" for gate in gates)
    return f"{passed}/{len(gates)}"


FUNCTIONS = {
    "pod.ready": ready,
    "pod.status": status,
    "pod.restarts": restarts,
    "pod.ip": ip,
    "pod.node": node,
    "pod.nominated_node": nominated_node,
    "pod.readiness_gates": readiness_gates,
}
