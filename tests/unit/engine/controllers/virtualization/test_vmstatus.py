"""printableStatus and the mirrored conditions."""

import pytest

from isthmus.engine.controllers.virtualization import runstrategy, vmstatus
from isthmus.engine.controllers.virtualization.runstrategy import Act, Decision
from isthmus.machinery import conditions

NOW = "2026-01-01T00:00:00Z"
IDLE, STARTING, STOPPING = Decision(Act.NOTHING), Decision(Act.START), Decision(Act.STOP)
DELETED = {"deletionTimestamp": NOW}


def vm(strategy="Always", **metadata):
    return {"metadata": {"name": "vm", "generation": 2} | metadata, "spec": {"runStrategy": strategy}}


def vmi(phase, *found, deleting=False, **status):
    metadata = {"uid": "u"} | (DELETED if deleting else {})
    return {"metadata": metadata, "status": {"phase": phase, "conditions": list(found)} | status}


def volume(phase, restarts=0, running=None):
    status = {"phase": phase, "restartCount": restarts, "conditions": [running] if running else []}
    return {"metadata": {"name": "d"}, "status": status}


def waiting(reason):
    return conditions.build("Synchronized", False, reason)


UNBOUND, BOUND = {"status": {"phase": "Pending"}}, {"status": {"phase": "Bound"}}
CRASHED = Decision(Act.NOTHING, failure={"consecutiveFailCount": 2}, wait=30)
BROKEN = volume("ImportInProgress", 1, conditions.build("Running", False, "Error", "404"))


def test_during_a_back_off_the_vm_says_why_its_last_instance_did_not_run():
    failed = vmi("Failed", conditions.build("Ready", False, "GuestNotRunning", "spec.x: is not supported"))
    status = vmstatus.build_status(vmstatus.View(vm(), failed, CRASHED), NOW)
    for _ in range(2):
        looping = vm() | {"status": status}
        status = vmstatus.build_status(vmstatus.View(looping, None, CRASHED), NOW)
        ready = conditions.find(status["conditions"], "Ready")
        assert ready["reason"] == "VMINotExists"
        assert ready["message"] == "VMI does not exist; the last one ended before it ran: spec.x: is not supported"
    stopped = vmstatus.build_status(vmstatus.View(vm("Halted") | {"status": status}, None, IDLE), NOW)
    assert conditions.find(stopped["conditions"], "Ready")["message"] == "VMI does not exist"


@pytest.mark.parametrize(
    ("word", "view"),
    [
        ("Terminating", vmstatus.View(vm(**DELETED), vmi("Running"), IDLE)),
        ("Stopping", vmstatus.View(vm(), vmi("Running", deleting=True), IDLE)),
        ("Stopping", vmstatus.View(vm("Halted"), vmi("Running"), STOPPING)),
        ("Migrating", vmstatus.View(vm(), vmi("Running", migrationState={"startTimestamp": NOW}), IDLE)),
        ("Paused", vmstatus.View(vm(), vmi("Running", conditions.build("Paused", True)), IDLE)),
        ("Running", vmstatus.View(vm(), vmi("Running"), IDLE)),
        ("ErrorPvcNotFound", vmstatus.View(vm(), vmi("Pending"), IDLE, claims={"x": None})),
        ("DataVolumeError", vmstatus.View(vm(), None, STARTING, (volume("Failed"),))),
        ("DataVolumeError", vmstatus.View(vm("Halted"), None, IDLE, (BROKEN,))),
        ("ErrorUnschedulable", vmstatus.View(vm(), vmi("Scheduling", waiting("Unschedulable")), IDLE)),
        ("Provisioning", vmstatus.View(vm(), None, STARTING, (volume("ImportInProgress"),), {"d": UNBOUND})),
        ("Provisioning", vmstatus.View(vm("Halted"), None, IDLE, (volume("ImportInProgress"),), {"d": UNBOUND})),
        ("WaitingForVolumeBinding", vmstatus.View(vm(), None, STARTING, (volume("WaitForFirstConsumer"),))),
        ("WaitingForVolumeBinding", vmstatus.View(vm(), vmi("Scheduling"), IDLE, claims={"x": UNBOUND})),
        ("ErrImagePull", vmstatus.View(vm(), vmi("Scheduling", waiting("ErrImagePull")), IDLE)),
        ("ImagePullBackOff", vmstatus.View(vm(), vmi("Scheduling", waiting("ImagePullBackOff")), IDLE)),
        ("Starting", vmstatus.View(vm(), vmi("Scheduled"), IDLE, claims={"x": BOUND})),
        ("Starting", vmstatus.View(vm(), None, STARTING)),
        ("CrashLoopBackOff", vmstatus.View(vm(), None, CRASHED)),
        ("Stopped", vmstatus.View(vm("Halted"), None, IDLE, (volume("Succeeded"),))),
        ("Stopped", vmstatus.View(vm("Manual"), vmi("Succeeded"), IDLE)),
        ("WaitingForReceiver", vmstatus.View(vm("WaitAsReceiver"), None, IDLE)),
        ("Unknown", vmstatus.View(vm(), vmi("Unknown"), IDLE)),
    ],
)
def test_the_status_in_one_word_is_the_first_that_holds(word, view):
    assert vmstatus.printable(view) == word


def test_a_stopped_vm_is_not_ready_because_there_is_no_instance():
    status = vmstatus.build_status(vmstatus.View(vm("Halted"), None, IDLE), NOW)
    assert status["conditions"] == [
        {
            "type": "Ready",
            "status": "False",
            "reason": "VMINotExists",
            "message": "VMI does not exist",
            "lastTransitionTime": NOW,
        }
    ]
    assert (status["created"], status["ready"]) == (False, False)
    assert "runStrategy" not in status  # nothing was ever started by one


def test_a_strategy_that_starts_once_stays_new_until_the_instance_is_there():
    waits = vmstatus.View(vm("RerunOnFailure") | {"status": {"runStrategy": "Halted"}}, None, STARTING)
    assert vmstatus.build_status(waits, NOW)["runStrategy"] == "Halted"
    there = vmstatus.View(waits.vm, vmi("Pending"), IDLE)
    assert vmstatus.build_status(there, NOW)["runStrategy"] == "RerunOnFailure"


def test_conditions_of_the_instance_come_and_go_with_it_and_the_vms_own_stay():
    agent = conditions.build("AgentConnected", True)
    own = conditions.build("RestartRequired", True)
    body = vm() | {"status": {"conditions": [own, conditions.build("Paused", True)]}}
    running = vmstatus.mirrored(vmstatus.View(body, vmi("Running", agent), IDLE), NOW)
    assert {c["type"] for c in running} == {"RestartRequired", "AgentConnected", "Ready"}
    stopped = vmstatus.mirrored(vmstatus.View(body | {"status": {"conditions": running}}, None, IDLE), NOW)
    assert {c["type"] for c in stopped} == {"RestartRequired", "Ready"}


def test_generations_are_the_specs_and_that_which_the_guest_runs():
    body = vmi("Running") | {"metadata": {"uid": "u", "annotations": {"kubevirt.io/vm-generation": "1"}}}
    status = vmstatus.build_status(vmstatus.View(vm(), body, IDLE), NOW)
    assert (status["desiredGeneration"], status["observedGeneration"]) == (2, 1)


def test_a_status_that_is_up_to_date_is_built_the_same_again():
    view = vmstatus.View(vm(), vmi("Running", conditions.build("Ready", True) | {"lastTransitionTime": NOW}), IDLE)
    once = vmstatus.build_status(view, NOW)
    twice = vmstatus.build_status(vmstatus.View(view.vm | {"status": once}, view.vmi, IDLE), "2027-01-01T00:00:00Z")
    assert twice == once
    assert runstrategy.of(view.vm) == "Always"
