"""The status of a VirtualMachine as people and scripts read it: printableStatus, Ready, mirrored conditions. Pure.

Called by `vm`. The order of `PRINTABLE` is KubeVirt's: the first row that holds names the status.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from isthmus.engine.controllers.virtualization import runstrategy
from isthmus.machinery import conditions

Object = dict[str, Any]

OWN_CONDITIONS = frozenset({"Ready", "Failure", "RestartRequired", "ManualRecoveryRequired", "Initialized"})
DATA_VOLUME_READY = frozenset({"Succeeded", "WaitForFirstConsumer", "PendingPopulation"})
UNBOUND_PHASES = frozenset({"WaitForFirstConsumer", "PendingPopulation"})
STARTING_PHASES = frozenset({"", "Pending", "Scheduling", "Scheduled"})
WORKER_ERRORS = frozenset({"Error", "ImagePullFailed"})


@dataclass(frozen=True, slots=True)
class View:
    """All that a VM's status depends on."""

    vm: Object
    vmi: Object | None
    decision: runstrategy.Decision
    data_volumes: tuple[Object, ...] = ()
    claims: dict[str, Object | None] = field(default_factory=dict)  # PVC name -> PVC, None if missing

    @property
    def start_expected(self) -> bool:
        """Whether the instance is absent but to come."""
        return self.vmi is None and self.decision.starts

    @property
    def live(self) -> Object | None:
        """The instance unless it has ended."""
        return None if runstrategy.is_final(self.vmi) else self.vmi

    @property
    def phase(self) -> str:
        """The phase of the live instance; None has none."""
        return runstrategy.phase(self.live) if self.live else "absent"


def _is_stopping(view: View) -> bool:
    if view.live is None:
        return False
    return bool(view.live["metadata"].get("deletionTimestamp")) or view.decision.act is runstrategy.Act.STOP


def _is_migrating(view: View) -> bool:
    state = ((view.live or {}).get("status") or {}).get("migrationState") or {}
    return bool(state.get("startTimestamp")) and not state.get("completed") and not state.get("failed")


def _waiting(reason: str) -> Callable[[View], bool]:
    """The live instance is not up yet, and its conditions give `reason`."""

    def holds(view: View) -> bool:
        if view.live is None or view.phase not in STARTING_PHASES:
            return False
        found = ((view.live.get("status") or {}).get("conditions")) or ()
        return any(c.get("status") == "False" and c.get("reason") == reason for c in found)

    return holds


def _lacks_claim(view: View) -> bool:
    if view.phase not in STARTING_PHASES | {"absent"} or not (view.live or view.start_expected):
        return False
    own = {v["metadata"]["name"] for v in view.data_volumes}
    return any(claim is None and name not in own for name, claim in view.claims.items())


def _data_volume_error(view: View) -> bool:
    return any(data_volume_fails(v) for v in view.data_volumes)


def data_volume_fails(volume: Object) -> bool:
    """Whether a DataVolume has failed, or its worker has stopped on an error and will try again."""
    if (volume.get("status") or {}).get("phase") == "Failed":
        return True
    running = conditions.of(volume, "Running") or {}
    return running.get("status") == "False" and running.get("reason") in WORKER_ERRORS


def _provisioning(view: View) -> bool:
    return any((v.get("status") or {}).get("phase") not in DATA_VOLUME_READY for v in view.data_volumes)


def _waiting_for_binding(view: View) -> bool:
    if not view.start_expected and view.phase not in STARTING_PHASES - {"Scheduled"}:
        return False
    return any((v.get("status") or {}).get("phase") in UNBOUND_PHASES for v in view.data_volumes) or any(
        claim is not None and (claim.get("status") or {}).get("phase") != "Bound" for claim in view.claims.values()
    )


def _crash_looping(view: View) -> bool:
    failures = int((view.decision.failure or {}).get("consecutiveFailCount") or 0)
    return failures > 0 and runstrategy.of(view.vm) in ("Always", "RerunOnFailure", "Once")


def _starting(view: View) -> bool:
    return view.decision.act is runstrategy.Act.START or (view.live is not None and view.phase in STARTING_PHASES)


PRINTABLE: tuple[tuple[str, Callable[[View], bool]], ...] = (
    ("Terminating", lambda view: bool(view.vm["metadata"].get("deletionTimestamp"))),
    ("Stopping", _is_stopping),
    ("Migrating", _is_migrating),
    ("Paused", lambda view: view.live is not None and conditions.is_true(view.live, "Paused")),
    ("Running", lambda view: view.phase == "Running"),
    ("ErrorPvcNotFound", _lacks_claim),
    ("DataVolumeError", _data_volume_error),
    ("ErrorUnschedulable", _waiting("Unschedulable")),
    ("Provisioning", _provisioning),
    ("WaitingForVolumeBinding", _waiting_for_binding),
    ("ErrImagePull", _waiting("ErrImagePull")),
    ("ImagePullBackOff", _waiting("ImagePullBackOff")),
    ("Starting", _starting),
    ("CrashLoopBackOff", _crash_looping),
    ("Stopped", lambda view: view.live is None and runstrategy.of(view.vm) != "WaitAsReceiver"),
    ("WaitingForReceiver", lambda view: view.live is None),
)


def printable(view: View) -> str:
    """The word in the STATUS column."""
    return next((word for word, holds in PRINTABLE if holds(view)), "Unknown")


def mirrored(view: View, now: str) -> list[Object]:
    """The VM's conditions: its own, and every one of the instance under the same name and only while it is there."""
    known = (view.vm.get("status") or {}).get("conditions") or []
    theirs = ((view.vmi or {}).get("status") or {}).get("conditions") or []
    out = [c for c in known if c["type"] in OWN_CONDITIONS]
    for condition in theirs:
        if condition["type"] not in OWN_CONDITIONS - {"Ready"}:
            out = [*(c for c in out if c["type"] != condition["type"]), condition]
    if conditions.find(theirs, "Ready") is None:
        reason, message = (
            ("VMINotExists", _why_absent(view, conditions.find(known, "Ready") or {}))
            if view.vmi is None
            else ("VMIConditionMissing", "VMI is missing the Ready condition")
        )
        out = conditions.put(out, conditions.build("Ready", False, reason, message), now)
    return out


def _why_absent(view: View, told: Object) -> str:
    """That there is no instance; during a back-off also why the last one did not run, which only it could say."""
    plain = "VMI does not exist"
    if not view.decision.failure:
        return plain
    message = str(told.get("message", ""))
    if told.get("reason") == "VMINotExists" or not message:
        return message or plain
    return f"{plain}; the last one ended before it ran: {message}"


def _followed(view: View) -> str | None:
    """The strategy that is being followed, from the first instance on. RerunOnFailure starts once when it is new: it
    stays new until that instance is there, whatever delays or interrupts its creation."""
    known: str | None = (view.vm.get("status") or {}).get("runStrategy")
    strategy = runstrategy.of(view.vm)
    if view.vmi is None and (known is None or (strategy == "RerunOnFailure" and view.start_expected)):
        return known
    return strategy


def build_status(view: View, now: str) -> Object:
    """The whole new status: what we do not own in it stays as it was."""
    old = dict(view.vm.get("status") or {})
    generation = view.vm["metadata"].get("generation", 1)
    ran = (view.live or {}).get("metadata", {}).get("annotations", {}).get("kubevirt.io/vm-generation")
    new = old | {
        "created": view.vmi is not None,
        "ready": view.vmi is not None and conditions.is_true(view.vmi, "Ready"),
        "printableStatus": printable(view),
        "conditions": mirrored(view, now),
        "desiredGeneration": generation,
        "observedGeneration": int(ran) if ran and ran.isdigit() else generation,
    }
    optional = {
        "runStrategy": _followed(view),
        "stateChangeRequests": list(view.decision.requests),
        "startFailure": view.decision.failure,
    }
    for key, value in optional.items():
        new.pop(key, None)
        if value:
            new[key] = value
    return new
