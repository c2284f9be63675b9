"""What a launcher Pod says of its guest's readiness, in the kubelet's words."""

import pytest

from isthmus.engine.node import podstatus
from isthmus.machinery import conditions

POD = {
    "spec": {
        "containers": [{"name": "compute"}, {"name": "guest-console-log"}],
        "readinessGates": [{"conditionType": podstatus.UNPAUSED}],
    }
}
NOW = "2026-01-01T00:00:00Z"


def status(pod=POD, **how):
    return podstatus.running(pod, "10.0.0.1", ["10.42.0.2"], NOW, **how)


def told(found, kind):
    condition = conditions.find(found["conditions"], kind)
    return (condition["status"], condition.get("reason", ""))


@pytest.mark.parametrize(
    ("how", "ready", "containers", "unpaused"),
    [
        ({}, ("True", ""), ("True", ""), ("True", "NotPaused")),
        ({"paused": True}, ("False", "ReadinessGatesNotReady"), ("True", ""), ("False", "Paused")),
        (
            {"unready": "compute"},
            ("False", "ContainersNotReady"),
            ("False", "ContainersNotReady"),
            ("True", "NotPaused"),
        ),
    ],
)
def test_a_pod_is_ready_when_its_containers_are_and_its_guest_runs(how, ready, containers, unpaused):
    found = status(**how)
    assert told(found, "Ready") == ready
    assert told(found, "ContainersReady") == containers
    assert told(found, podstatus.UNPAUSED) == unpaused
    assert podstatus.is_ready({"status": found}) is (containers[0] == "True")


def test_the_container_whose_probe_fails_alone_is_unready():
    assert [c["ready"] for c in status(unready="compute")["containerStatuses"]] == [False, True]


def test_a_pod_without_the_gate_does_not_tell_of_a_pause():
    plain = {"spec": {"containers": [{"name": "c"}]}}
    assert told(status(plain, paused=True), "Ready") == ("True", "")
    assert conditions.find(status(plain)["conditions"], podstatus.UNPAUSED) is None
