"""The status of a Pod that this node runs as machine or process. Pure. Source: Kubernetes 1.36, core/v1 PodStatus."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from isthmus.engine.node import status
from isthmus.machinery import conditions

Object = dict[str, Any]

FINAL = ("Succeeded", "Failed")


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


def _started(pod: Object, now: str) -> str:
    for container in (pod.get("status") or {}).get("containerStatuses") or ():
        for state in (container.get("state") or {}).values():
            if started := (state or {}).get("startedAt"):
                return str(started)
    return now


def _containers(pod: Object, state: Object, *, ready: bool) -> list[Object]:
    return [
        {
            "name": container["name"],
            "image": container.get("image", ""),
            "imageID": container.get("image", ""),
            "ready": ready,
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


def running(pod: Object, host_ip: str, pod_ips: Sequence[str], now: str, *, ready: bool = True) -> Object:
    """Running, with its addresses."""
    started = _started(pod, now)
    wanted = [
        conditions.build("PodReadyToStartContainers", True),
        conditions.build("Initialized", True),
        conditions.build("Ready", ready),
        conditions.build("ContainersReady", ready),
        conditions.build("PodScheduled", True),
    ]
    status: Object = {
        "phase": "Running",
        "hostIP": host_ip,
        "hostIPs": [{"ip": host_ip}],
        "startTime": (pod.get("status") or {}).get("startTime") or now,
        "conditions": _with_conditions(pod, now, wanted),
        "containerStatuses": _containers(pod, {"running": {"startedAt": started}}, ready=ready),
    }
    if pod_ips:
        status |= {"podIP": pod_ips[0], "podIPs": [{"ip": address} for address in pod_ips]}
    return status


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
