"""The status of a DataVolume: phase, progress, conditions Bound, Running and Ready. Pure; called by `datavolume`."""

from dataclasses import dataclass
from typing import Any

import orjson

from isthmus.engine.controllers.storage import binding, datavolumeplan
from isthmus.machinery import conditions
from isthmus.machinery.fieldtree import at

Object = dict[str, Any]

WORK = {"http": "Import", "registry": "Import", "pvc": "Clone", "upload": "Upload"}
RETRY_BASE, RETRY_CAP = 10, 300


@dataclass(frozen=True, slots=True)
class View:
    """What a DataVolume's status depends on. `problem`: (reason, message) of what stands in the way."""

    volume: Object
    source: datavolumeplan.Source | None = None
    claim: Object | None = None
    pod: Object | None = None
    waits_for_consumer: bool = False
    progress: str | None = None
    problem: tuple[str, str] | None = None

    @property
    def bound(self) -> bool:
        """Whether the claim has its volume."""
        return bool(at(self.claim, "status.phase") == "Bound")

    @property
    def pod_phase(self) -> str:
        """The worker's phase, or for an upload what the claim's annotation says of it."""
        if self.source is not None and self.source.kind == "upload":
            return annotation(self.claim, datavolumeplan.POD_PHASE)
        return at(self.pod, "status.phase") or ""


def annotation(obj: Object | None, name: str) -> str:
    """An annotation's value, "" without it."""
    return str(((obj or {}).get("metadata", {}).get("annotations") or {}).get(name, ""))


def is_adopted(volume: Object, claim: Object | None) -> bool:
    """Whether a claim that was there before may count as the DataVolume's."""
    return claim is not None and "true" in (
        annotation(volume, datavolumeplan.ADOPTION),
        annotation(claim, datavolumeplan.ADOPTION),
    )


def phase(view: View) -> str:
    """The phase now; a DataVolume that has succeeded stays so."""
    known: str = at(view.volume, "status.phase") or ""
    if known == "Succeeded" or view.claim is None or view.source is None:
        return known if known == "Succeeded" else "Pending"
    if not view.bound:
        return "WaitForFirstConsumer" if view.waits_for_consumer else "Pending"
    if view.source.kind == "blank":
        return "Succeeded"
    work = WORK[view.source.kind]
    if view.pod_phase == "Succeeded":
        return "Succeeded"
    if view.source.kind == "upload":
        return "UploadReady" if annotation(view.claim, datavolumeplan.POD_READY) == "true" else "UploadScheduled"
    return f"{work}InProgress" if view.pod_phase in ("Running", "Failed") else f"{work}Scheduled"


def progress(view: View, current: str) -> str:
    """A percentage, or N/A while nothing is known."""
    if current == "Succeeded":
        return "100.0%"
    return view.progress or at(view.volume, "status.progress") or "N/A"


def read_progress(log: bytes) -> str | None:
    """The percentage in the last line of a worker's log: a JSON object with `percent`, at the top or a level below."""
    for line in reversed(log.splitlines()):
        try:
            told = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if not isinstance(told, dict):
            continue
        for candidate in (told, *(v for v in told.values() if isinstance(v, dict))):
            percent = candidate.get("percent")
            if isinstance(percent, int | float) and not isinstance(percent, bool):
                return f"{min(100.0, max(0.0, float(percent))):.1f}%"
    return None


def retry_seconds(restarts: int) -> int:
    """How long to wait before the worker is started again: 10 s, 20 s, 40 s ... 300 s."""
    return int(min(RETRY_CAP, RETRY_BASE * 2 ** min(restarts, 10)))


def build_status(view: View, now: str) -> Object:
    """The whole new status."""
    old = view.volume.get("status") or {}
    current = phase(view)
    found: list[Object] = list(old.get("conditions") or [])
    for condition in (_bound(view), _running(view, current), _ready(current)):
        found = conditions.put(found, {"lastHeartbeatTime": _heartbeat(found, condition, now)} | condition, now)
    new = old | {"phase": current, "progress": progress(view, current), "conditions": found}
    if view.claim is not None:
        new["claimName"] = view.claim["metadata"]["name"]
    if restarts := annotation(view.claim, datavolumeplan.POD_RESTARTS):
        new["restartCount"] = int(restarts)
    return new


def _heartbeat(found: list[Object], condition: Object, now: str) -> str:
    """Written anew only with the condition, so that an unchanged status writes nothing."""
    old = conditions.find(found, condition["type"])
    same = old is not None and all(old.get(k) == condition.get(k) for k in ("status", "reason", "message"))
    return str((old or {}).get("lastHeartbeatTime", now)) if same else now


def _bound(view: View) -> Object:
    name = view.volume["metadata"]["name"]
    if view.claim is None:
        reason, message = view.problem or ("NotFound", "No PVC found")
        return conditions.build("Bound", "Unknown" if reason == "NotFound" else "False", reason, message)
    if view.bound:
        return conditions.build("Bound", True, "Bound", f"PVC {name} Bound")
    return conditions.build("Bound", False, "Pending", f"PVC {name} Pending")


def _running(view: View, current: str) -> Object:
    if current == "Succeeded":
        return conditions.build("Running", False, "Completed", "Transfer is complete")
    if view.problem is not None:
        return conditions.build("Running", False, *view.problem)
    if view.pod_phase == "Running":
        return conditions.build("Running", True, "Pod is running")
    if view.pod_phase == "Failed":
        return conditions.build("Running", False, "Error", worker_message(view.pod))
    waiting = next((s for s in at(view.pod, "status.containerStatuses") or [] if at(s, "state.waiting.message")), None)
    if waiting is not None:
        reason = at(waiting, "state.waiting.reason") or "Pending"
        return conditions.build("Running", False, reason, at(waiting, "state.waiting.message"))
    return conditions.build("Running", False)


def worker_message(pod: Object | None) -> str:
    """What a worker that failed has left: its last words, else its exit code."""
    for status in at(pod, "status.containerStatuses") or []:
        if ended := at(status, "state.terminated"):
            return str(ended.get("message") or f"the worker ended with exit code {ended.get('exitCode')}")
    return str(at(pod, "status.message") or "the worker failed")


def _ready(current: str) -> Object:
    return conditions.build("Ready", current == "Succeeded", *(() if current == "Succeeded" else ("TransferRunning",)))


def waits_for_consumer(claim: Object | None, classes: dict[str, Object], nodes: list[Object]) -> bool:
    """Whether the claim's volume is made only where its first consumer goes."""
    if claim is None or at(claim, "status.phase") == "Bound":
        return False
    storage_class = classes.get(claim["spec"].get("storageClassName") or "")
    if storage_class is None or storage_class.get("volumeBindingMode") != "WaitForFirstConsumer":
        return False
    return storage_class["provisioner"] != binding.PROVISIONER or binding.choose_node(claim, nodes) is None
