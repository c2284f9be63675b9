"""The table of run strategies (KubeVirt, "Run Strategies"), row by row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.engine.controllers.virtualization import runstrategy
from isthmus.engine.controllers.virtualization.runstrategy import Act
from isthmus.lib import clock

NOW = 1_800_000_000.0


def vm(strategy, *, requests=(), followed=None, failure=None):
    status = {"runStrategy": strategy if followed is None else followed, "stateChangeRequests": list(requests)}
    return {"spec": {"runStrategy": strategy}, "status": status | ({"startFailure": failure} if failure else {})}


def vmi(phase, uid="u1", *, ran=True, deleting=False):
    stamps = [{"phase": "Running"}] if ran else []
    metadata = {"uid": uid} | ({"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleting else {})
    return {"metadata": metadata, "status": {"phase": phase, "phaseTransitionTimestamps": stamps}}


START, STOP = {"action": "Start"}, {"action": "Stop", "uid": "u1"}


@pytest.mark.parametrize(
    ("strategy", "absent", "running", "succeeded", "failed"),
    [
        ("Always", Act.START, Act.NOTHING, Act.STOP, Act.STOP),
        ("RerunOnFailure", Act.NOTHING, Act.NOTHING, Act.STOP, Act.STOP),
        ("Manual", Act.NOTHING, Act.NOTHING, Act.NOTHING, Act.NOTHING),
        ("Once", Act.START, Act.NOTHING, Act.NOTHING, Act.NOTHING),
        ("Halted", Act.NOTHING, Act.STOP, Act.STOP, Act.STOP),
        ("WaitAsReceiver", Act.NOTHING, Act.NOTHING, Act.NOTHING, Act.NOTHING),
    ],
)
def test_each_strategy_acts_on_each_state_of_its_instance(strategy, absent, running, succeeded, failed):
    body = vm(strategy)
    assert runstrategy.decide(body, None, NOW).act is absent
    assert runstrategy.decide(body, vmi("Running"), NOW).act is running
    assert runstrategy.decide(body, vmi("Succeeded"), NOW).act is succeeded
    assert runstrategy.decide(body, vmi("Failed"), NOW).act is failed


@pytest.mark.parametrize("strategy", ["Always", "RerunOnFailure", "Manual", "Once", "Halted"])
def test_an_instance_that_is_being_deleted_is_left_alone(strategy):
    assert runstrategy.decide(vm(strategy), vmi("Running", deleting=True), NOW).act is Act.NOTHING


def test_rerun_on_failure_starts_once_when_it_is_newly_followed_and_not_after_a_stop():
    assert runstrategy.decide(vm("RerunOnFailure", followed=""), None, NOW).act is Act.START
    assert runstrategy.decide(vm("RerunOnFailure", requests=[START]), None, NOW).act is Act.START
    assert runstrategy.decide(vm("RerunOnFailure", requests=[STOP]), None, NOW).act is Act.NOTHING


def test_rerun_on_failure_queues_the_next_start_before_a_failed_instance_goes_and_only_once():
    first = runstrategy.decide(vm("RerunOnFailure"), vmi("Failed"), NOW)
    assert first.requests == (START,)
    again = runstrategy.decide(vm("RerunOnFailure", requests=first.requests), vmi("Failed"), NOW)
    assert again.requests == (START,)
    assert runstrategy.decide(vm("RerunOnFailure"), vmi("Succeeded"), NOW).requests == ()


def test_a_restart_stops_this_very_instance_and_keeps_the_start_until_the_next_one_lives():
    requests = [STOP, {"action": "Start", "data": {"paused": "true"}}]
    stopping = runstrategy.decide(vm("Manual", requests=requests), vmi("Running"), NOW)
    assert stopping.act is Act.STOP
    assert list(stopping.requests) == requests
    absent = runstrategy.decide(vm("Manual", requests=requests), None, NOW)
    assert absent.act is Act.START
    assert absent.requests == (requests[1],)
    assert absent.paused
    fresh = runstrategy.decide(vm("Manual", requests=requests), vmi("Pending", uid="u2"), NOW)
    assert fresh.act is Act.NOTHING
    assert fresh.requests == ()


def test_a_manual_vm_that_has_ended_goes_when_a_start_is_asked():
    assert runstrategy.decide(vm("Manual", requests=[START]), vmi("Succeeded"), NOW).act is Act.STOP


def test_an_instance_that_never_ran_counts_once_and_delays_the_next_start():
    failed = vmi("Failed", ran=False)
    first = runstrategy.decide(vm("Always"), failed, NOW, spread=0)
    assert first.failure == {
        "consecutiveFailCount": 1,
        "lastFailedVMIUID": "u1",
        "retryAfterTimestamp": clock.timestamp(NOW + 10),
    }
    again = runstrategy.decide(vm("Always", failure=first.failure), failed, NOW, spread=0)
    assert again.failure == first.failure
    waiting = runstrategy.decide(vm("Always", failure=first.failure), None, NOW + 4)
    assert waiting.act is Act.NOTHING
    assert waiting.wait == pytest.approx(6)
    assert waiting.starts
    assert runstrategy.decide(vm("Always", failure=first.failure), None, NOW + 10).act is Act.START


def test_a_guest_that_ran_clears_the_count_and_one_that_was_stopped_early_adds_none():
    known = {"consecutiveFailCount": 3, "lastFailedVMIUID": "old", "retryAfterTimestamp": clock.timestamp(NOW)}
    assert runstrategy.decide(vm("Always", failure=known), vmi("Running"), NOW).failure is None
    stopped = vmi("Failed", ran=False, deleting=True)
    assert runstrategy.decide(vm("Always", failure=known), stopped, NOW).failure == known
    assert runstrategy.decide(vm("Halted", failure=known), None, NOW).failure is None


def test_running_is_the_older_name_of_always_and_halted():
    assert runstrategy.of({"spec": {"running": True}}) == "Always"
    assert runstrategy.of({"spec": {"running": False}}) == "Halted"


@given(st.integers(1, 1000), st.floats(0, 1))
def test_the_back_off_grows_with_the_square_and_is_capped(failures, spread):
    plain = 10 * failures**2
    assert min(300, plain) <= runstrategy.backoff_seconds(failures, spread) <= min(300, plain * 1.5)


PAUSED = {"action": "Start", "data": {"paused": "true"}}


def test_a_paused_start_that_is_queued_under_halted_is_kept_and_makes_the_strategy_always():
    absent = runstrategy.decide(vm("Halted", requests=[PAUSED]), None, NOW)
    assert (absent.act, absent.requests) == (Act.RUN, (PAUSED,))
    going = runstrategy.decide(vm("Halted", requests=[PAUSED]), vmi("Running", deleting=True), NOW)
    assert (going.act, going.requests) == (Act.NOTHING, (PAUSED,))


@pytest.mark.parametrize("requests", [[START], [STOP, START], [STOP, PAUSED]])
def test_halted_overrules_every_other_request(requests):
    assert runstrategy.decide(vm("Halted", requests=requests), None, NOW).requests == ()
    assert runstrategy.decide(vm("Halted", requests=requests), vmi("Running"), NOW).act is Act.STOP
