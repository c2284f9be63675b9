"""The status of a Pod that this node runs as machine or process. Pure. Source: Kubernetes 1.36, core/v1 PodStatus."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from isthmus.engine.node import status
from isthmus.machinery import conditions

Object = dict[str, Any]

FINAL = ("Succeeded", "Failed")
UNPAUSED = "kubevirt.io/virtual-machine-unpaused"  # a readiness gate of launcher Pods


@dataclass(frozen=True, slots=True)
class Ended:
    """How the containers ended."""

    exit_code: int
    reason: str  # Completed, Error, OOMKilled
    message: str = ""
    finished: str = ""


def is_final(pod: Object) -> bool:
    """Whether the pod's phase is its last."""
    return (pod.get("status") or {}).get("phase") in FINAL


def is_ready(pod: Object) -> bool:
    """Whether all its containers are ready, as far as is known."""
    return conditions.is_true(pod, "ContainersReady")


def _started(pod: Object, now: str) -> str:
    for container in (pod.get("status") or {}).get("containerStatuses") or ():
        for state in (container.get("state") or {}).values():
            if started := (state or {}).get("startedAt"):
                return str(started)
    return now


def _containers(pod: Object, state: Object, *, ready: bool, unready: str = "") -> list[Object]:
    """`unready`: the one container that is not ready although its state would allow it."""
    return [
        {
            "name": container["name"],
            "image": container.get("image", ""),
            "imageID": container.get("image", ""),
            "ready": ready and container["name"] != unready,
            "started": "running" in state,
            "restartCount": 0,
            "state": state,
            "lastState": {},
        }
        for container in pod["spec"].get("containers") or ()
    ]


def _with_conditions(pod: Object, now: str, wanted: Sequence[Object]) -> list[Object]:
    found = (pod.get("status") or {}).get("conditions") or []
    for condition in wanted:
        found = status.put(found, condition, now)
    return list(found)


def waiting(pod: Object, reason: str, message: str, now: str) -> Object:
    """Not started: the images or volumes are being prepared, or cannot be had."""
    names = [container["name"] for container in pod["spec"].get("containers") or ()]
    unready = ("ContainersNotReady", f"containers with unready status: [{' '.join(names)}]")
    state = {"waiting": {"reason": reason} | ({"message": message} if message else {})}
    wanted = [
        conditions.build("Initialized", True),
        conditions.build("Ready", False, *unready),
        conditions.build("ContainersReady", False, *unready),
        conditions.build("PodScheduled", True),
    ]
    return {
        "phase": "Pending",
        "startTime": (pod.get("status") or {}).get("startTime") or now,
        "conditions": _with_conditions(pod, now, wanted),
        "containerStatuses": _containers(pod, state, ready=False),
    }


def running(
    pod: Object, host_ip: str, pod_ips: Sequence[str], now: str, *, unready: str = "", paused: bool = False
) -> Object:
    """Running, with its addresses. `unready`: the container whose readiness probe fails. `paused`: its guest is."""
    started = _started(pod, now)
    wanted = [
        conditions.build("PodReadyToStartContainers", True),
        conditions.build("Initialized", True),
        *_gates(pod, paused=paused),
        _ready(pod, "Ready", unready=unready, paused=paused),
        _ready(pod, "ContainersReady", unready=unready, paused=False),
        conditions.build("PodScheduled", True),
    ]
    status: Object = {
        "phase": "Running",
        "hostIP": host_ip,
        "hostIPs": [{"ip": host_ip}],
        "startTime": (pod.get("status") or {}).get("startTime") or now,
        "conditions": _with_conditions(pod, now, wanted),
        "containerStatuses": _containers(pod, {"running": {"startedAt": started}}, ready=True, unready=unready),
    }
    if pod_ips:
        status |= {"podIP": pod_ips[0], "podIPs": [{"ip": address} for address in pod_ips]}
    return status


def _is_gated(pod: Object) -> bool:
    return any(gate.get("conditionType") == UNPAUSED for gate in pod["spec"].get("readinessGates") or ())


def _gates(pod: Object, *, paused: bool) -> list[Object]:
    """The condition behind the readiness gate, in the words of KubeVirt's VMI controller."""
    if not _is_gated(pod):
        return []
    words = (
        ("Paused", "the virtual machine is paused") if paused else ("NotPaused", "the virtual machine is not paused")
    )
    return [conditions.build(UNPAUSED, not paused, *words)]


def _ready(pod: Object, kind: str, *, unready: str, paused: bool) -> Object:
    """As the kubelet says it: first the containers, then the readiness gates."""
    if unready:
        return conditions.build(kind, False, "ContainersNotReady", f"containers with unready status: [{unready}]")
    if paused and _is_gated(pod):
        message = f'the status of pod readiness gate "{UNPAUSED}" is not "True", but False'
        return conditions.build(kind, False, "ReadinessGatesNotReady", message)
    return conditions.build(kind, True)


def ended(pod: Object, end: Ended, now: str) -> Object:
    """Succeeded or Failed, by the exit code."""
    finished = end.finished or now
    state = {
        "terminated": {
            "exitCode": end.exit_code,
            "reason": end.reason,
            "startedAt": _started(pod, finished),
            "finishedAt": finished,
        }
        | ({"message": end.message} if end.message else {})
    }
    reason = "PodCompleted" if end.exit_code == 0 else "PodFailed"
    wanted = [conditions.build(kind, False, reason) for kind in ("Ready", "ContainersReady")]
    return {
        "phase": "Succeeded" if end.exit_code == 0 else "Failed",
        "conditions": _with_conditions(pod, now, wanted),
        "containerStatuses": _containers(pod, state, ready=False),
    }
