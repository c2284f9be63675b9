"""The part of a VirtualMachineInstance's status that does not need the node: phase up to Scheduled, and the reasons why
it is not running. Pure; called by `vmi`. From Scheduled on the node agent writes phase and conditions.
"""

from dataclasses import dataclass
from typing import Any

from isthmus.engine.controllers.virtualization import launcher
from isthmus.machinery import conditions
from isthmus.machinery.fieldtree import at

Object = dict[str, Any]

FINAL = frozenset({"Succeeded", "Failed"})
WITH_AGENT = frozenset({"Scheduled", "Running"})
POPULATED = "Succeeded"
MAY_SCHEDULE = frozenset({"Succeeded", "WaitForFirstConsumer", "PendingPopulation"})
POPULATION = "cdi.kubevirt.io/storage.pod.phase"
IN_ORDER = frozenset({"ContainerCreating", "PodInitializing"})  # why a container may wait without anything wrong


@dataclass(frozen=True, slots=True)
class Volume:
    """A claim of the VMI, with the PVC and the DataVolume of that name, as far as they exist."""

    name: str
    claim: Object | None
    data_volume: Object | None

    @property
    def data_phase(self) -> str | None:
        """The DataVolume's phase; None without a DataVolume."""
        return None if self.data_volume is None else at(self.data_volume, "status.phase") or ""

    @property
    def missing(self) -> bool:
        """Neither there nor on its way."""
        return self.claim is None and self.data_volume is None

    @property
    def may_schedule(self) -> bool:
        """A pod may be made: the volume is filled, or waits for a pod to be bound."""
        return self.claim is not None and (self.data_phase is None or self.data_phase in MAY_SCHEDULE)

    @property
    def ready(self) -> bool:
        """Bound and filled: a guest may start from it."""
        if self.claim is None or at(self.claim, "status.phase") != "Bound":
            return False
        filling = (self.claim["metadata"].get("annotations") or {}).get(POPULATION, POPULATED)
        return self.data_phase in (None, POPULATED) and (self.data_phase is not None or filling == POPULATED)


def volumes_of(vmi: Object) -> list[str]:
    """The claims that the VMI's volumes use."""
    paths = ("persistentVolumeClaim.claimName", "dataVolume.name", "ephemeral.persistentVolumeClaim.claimName")
    found = (at(v, path) for v in vmi["spec"].get("volumes") or [] for path in paths)
    return [name for name in found if name]


def current_pod(vmi: Object, pods: list[Object]) -> Object | None:
    """The pod that stands for the VMI now: the one on its node, not a migration's target."""
    node = at(vmi, "status.nodeName")
    on_node = [p for p in pods if node and p["spec"].get("nodeName") == node]
    plain = [p for p in pods if launcher.MIGRATION_JOB not in (p["metadata"].get("labels") or {})]
    for candidates in (on_node, plain):
        if candidates:
            return max(candidates, key=lambda p: (p["metadata"].get("creationTimestamp", ""), p["metadata"]["name"]))
    return None


def next_phase(vmi: Object, pod: Object | None, volumes: list[Volume]) -> str:
    """The phase that the VMI is in, given its pod."""
    phase: str = at(vmi, "status.phase") or ""
    if phase in FINAL:
        return phase
    if pod is None:
        if vmi["metadata"].get("deletionTimestamp") or phase in {"Scheduling", *WITH_AGENT}:
            return "Failed"
        return "Pending"
    pod_phase = at(pod, "status.phase")
    if pod_phase in FINAL:
        return str(pod_phase)
    if phase in ("", "Pending"):
        return "Scheduling"
    running = pod_phase == "Running" and pod["spec"].get("nodeName") and not pod["metadata"].get("deletionTimestamp")
    if phase == "Scheduling" and running and all(v.ready for v in volumes):
        return "Scheduled"
    return phase


def build_status(
    vmi: Object, pod: Object | None, volumes: list[Volume], now: str, *, problem: Object | None = None
) -> Object:
    """The VMI's whole status: what belongs to the agent stays as it was. `problem`: the condition Synchronized=False of
    a pod that could not be made."""
    old = vmi.get("status") or {}
    phase = next_phase(vmi, pod, volumes)
    new = old | {"phase": phase, "conditions": _conditions(vmi, phase, pod, volumes, now, problem)}
    stamps = old.get("phaseTransitionTimestamps") or []
    if not stamps and old.get("phase") == "Pending" != phase:  # it was born so
        created = vmi["metadata"].get("creationTimestamp", now)
        stamps = [{"phase": "Pending", "phaseTransitionTimestamp": created}]
    if not stamps or stamps[-1].get("phase") != phase:
        new["phaseTransitionTimestamps"] = [*stamps, {"phase": phase, "phaseTransitionTimestamp": now}]
    if pod is not None:
        active = old.get("activePods") or {}
        new["activePods"] = active | {pod["metadata"]["uid"]: pod["spec"].get("nodeName", "")}
        new["qosClass"] = at(pod, "status.qosClass") or old.get("qosClass", "Burstable")
        if phase == "Scheduled" and not old.get("nodeName"):
            new["nodeName"] = pod["spec"]["nodeName"]
    return new


def _conditions(
    vmi: Object, phase: str, pod: Object | None, volumes: list[Volume], now: str, refused: Object | None
) -> list[Object]:
    out: list[Object] = list(at(vmi, "status.conditions") or [])
    told = conditions.find(out, "Ready") or {}
    if phase not in FINAL or told.get("status") != "False":  # the agent has said how the guest ended
        out = conditions.put(out, _ready(phase, pod), now)
    unscheduled = conditions.of(pod, "PodScheduled") if pod is not None else None
    if unscheduled is not None and unscheduled.get("status") == "False":
        fields = {k: v for k, v in unscheduled.items() if k in ("type", "status", "reason", "message")}
        out = conditions.put(out, fields, now)
    else:
        out = conditions.drop(out, "PodScheduled")
    managed = [v for v in volumes if v.data_volume is not None]
    if managed:
        out = conditions.put(out, _data_volumes_ready(managed), now)
    if phase in FINAL or phase in WITH_AGENT:
        return conditions.drop(out, "Provisioning")
    problem = refused or _problem(pod, volumes)
    if problem is not None:
        return conditions.put(out, problem, now)
    stale = conditions.find(out, "Synchronized")
    return conditions.drop(out, "Synchronized") if stale and stale.get("status") == "False" else out


def _ready(phase: str, pod: Object | None) -> Object:
    """The Ready condition: the pod's, once the guest runs."""
    if pod is None:
        return conditions.build("Ready", False, "PodNotExists", "virt-launcher pod has not yet been scheduled")
    if pod["metadata"].get("deletionTimestamp") or at(pod, "status.phase") in FINAL:
        return conditions.build("Ready", False, "PodTerminating", "virt-launcher pod is terminating")
    if phase != "Running":
        return conditions.build("Ready", False, "GuestNotRunning", "Guest VM is not reported as running")
    theirs = conditions.of(pod, "Ready")
    if theirs is None:
        message = "virt-launcher pod is missing the Ready condition"
        return conditions.build("Ready", False, "PodConditionMissing", message)
    return conditions.build("Ready", theirs["status"], theirs.get("reason", ""), theirs.get("message", ""))


def _data_volumes_ready(volumes: list[Volume]) -> Object:
    if all(v.ready for v in volumes):
        return conditions.build("DataVolumesReady", True, "AllDVsReady", "All of the VMI's DVs are bound and ready")
    names = ", ".join(v.name for v in volumes if not v.ready)
    return conditions.build("DataVolumesReady", False, "NotAllDVsReady", f"Not all of the VMI's DVs are ready: {names}")


def _problem(pod: Object | None, volumes: list[Volume]) -> Object | None:
    """Why the VMI cannot go on, as the condition Synchronized=False, whose reason `printableStatus` shows."""
    for volume in volumes:
        if volume.missing:
            return conditions.build("Synchronized", False, "FailedPvcNotFound", f"PVC {volume.name} not found")
    for status in at(pod, "status.containerStatuses") or []:
        waiting = at(status, "state.waiting") or {}
        if waiting and waiting.get("reason") not in IN_ORDER:
            return conditions.build("Synchronized", False, waiting.get("reason", ""), waiting.get("message", ""))
    return None
