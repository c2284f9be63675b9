"""Nodes that fall silent."""

from isthmus.engine.controllers.cluster import kubevirt, namespace, nodelifecycle
from isthmus.lib import clock
from isthmus.machinery import conditions

NOW = "2026-01-01T00:00:00Z"


def node(ready="True", taints=()):
    found = [conditions.build("Ready", ready), conditions.build("MemoryPressure", False)]
    metadata = {"name": "n", "creationTimestamp": clock.timestamp(100)}
    return {"metadata": metadata, "spec": {"taints": list(taints)}, "status": {"conditions": found}}


def lease(renewed):
    return {"spec": {"renewTime": clock.micro_timestamp(renewed)}}


def test_silence_counts_from_the_last_change_of_the_lease_that_was_seen():
    heartbeats = nodelifecycle.Heartbeats()
    assert heartbeats.silence("n", None, 100) == 0
    assert heartbeats.silence("n", None, 110) == 10
    assert heartbeats.silence("n", lease(1), 120) == 0
    assert heartbeats.silence("n", lease(1), 135) == 15
    assert heartbeats.silence("m", lease(1), 135) == 0
    assert heartbeats.silence("n", lease(2), 140) == 0


def test_a_lease_that_ran_out_while_nobody_looked_is_not_held_against_its_node():
    heartbeats = nodelifecycle.Heartbeats()
    assert heartbeats.silence("n", lease(-100_000), 5) == 0


def test_a_node_that_comes_back_under_its_name_is_a_new_one():
    heartbeats = nodelifecycle.Heartbeats()
    heartbeats.silence("n", lease(1), 0)
    heartbeats.forget("n")
    assert heartbeats.silence("n", lease(1), 50) == 0


def test_everything_that_the_node_said_becomes_unknown_once():
    status = nodelifecycle.unknown_status(node(), NOW)
    assert {c["type"]: c["status"] for c in status["conditions"]} == {"Ready": "Unknown", "MemoryPressure": "Unknown"}
    assert nodelifecycle.unknown_status(node("Unknown"), NOW) is None


def test_our_taints_come_and_go_and_others_stay():
    other = {"key": "dedicated", "effect": "NoSchedule"}
    unreachable = {"key": nodelifecycle.UNREACHABLE, "effect": "NoSchedule"}
    assert nodelifecycle.wanted_taints(node(taints=[other]), reachable=False) == [other, unreachable]
    assert nodelifecycle.wanted_taints(node(taints=[other, unreachable]), reachable=True) == [other]
    assert nodelifecycle.wanted_taints(node("False"), reachable=True)[0]["key"] == nodelifecycle.NOT_READY


def test_what_keeps_a_namespace_is_told_in_kubernetes_words():
    remaining = namespace.Remaining({"pods": 2}, {"example.com/x": 1})
    content, finalizers = namespace.content_conditions(remaining, [], NOW)
    assert content["message"] == "Some resources are remaining: pods has 2 resource instances"
    assert finalizers["message"].endswith("example.com/x in 1 resource instances")
    cleared = namespace.content_conditions(namespace.Remaining({}, {}), [content, finalizers], NOW)
    assert [c["status"] for c in cleared] == ["False", "False"]


def test_kubevirt_is_available_and_its_status_settles():
    body = kubevirt.build_kubevirt()
    body["status"] = kubevirt.build_status(body, NOW)
    assert body["status"]["phase"] == "Deployed"
    assert conditions.is_true(body, "Available")
    assert kubevirt.build_status(body, "2027-01-01T00:00:00Z") == body["status"]
