"""Kinds whose versions differ in more than apiVersion."""

import pytest

from isthmus.kinds import catalogue, conversion, selectable

KINDS = {kind.resource: kind for kind in catalogue.builtin_kinds()}
EVENT = {
    "apiVersion": "events.k8s.io/v1",
    "kind": "Event",
    "metadata": {"name": "e"},
    "eventTime": "2026-01-01T00:00:00.000000Z",
    "regarding": {"kind": "Pod", "name": "p"},
    "note": "n",
    "reason": "r",
    "reportingController": "c",
    "reportingInstance": "i",
    "deprecatedCount": 2,
    "deprecatedSource": {"component": "s"},
}


def test_an_event_lies_in_the_store_as_a_core_event_and_comes_back_as_it_was():
    kind = KINDS["events.events.k8s.io"]
    stored = conversion.to_stored(kind, EVENT, "v1")
    assert stored["apiVersion"] == "v1"
    assert (stored["involvedObject"], stored["message"], stored["count"]) == (EVENT["regarding"], "n", 2)
    assert conversion.from_stored(kind, stored, "v1") == EVENT


def test_events_of_both_groups_are_selected_by_their_own_names():
    stored = conversion.to_stored(KINDS["events.events.k8s.io"], EVENT, "v1")
    new = selectable.values(KINDS["events.events.k8s.io"], stored)
    old = selectable.values(KINDS["events"], stored)
    assert new["regarding.name"] == old["involvedObject.name"] == "p"
    assert new["reportingController"] == old["reportingComponent"] == "c"
    assert old["source"] == "s"


AUTOSCALER = {
    "apiVersion": "autoscaling/v1",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "h"},
    "spec": {"maxReplicas": 5, "targetCPUUtilizationPercentage": 80},
    "status": {"currentReplicas": 1, "currentCPUUtilizationPercentage": 10},
}


def test_an_autoscaler_of_v1_has_a_metric_in_v2():
    kind = KINDS["horizontalpodautoscalers.autoscaling"]
    stored = conversion.to_stored(kind, AUTOSCALER, "v1")
    assert stored["apiVersion"] == "autoscaling/v2"
    target = {"type": "Utilization", "averageUtilization": 80}
    assert stored["spec"] == {
        "maxReplicas": 5,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
    }
    assert conversion.from_stored(kind, stored, "v1") == AUTOSCALER
    assert conversion.from_stored(kind, stored, "v2") is stored


def test_other_kinds_change_their_api_version_only():
    kind = KINDS["virtualmachines.kubevirt.io"]
    stored = conversion.to_stored(kind, {"apiVersion": "kubevirt.io/v1alpha3", "spec": {}}, "v1alpha3")
    assert stored == {"apiVersion": "kubevirt.io/v1", "spec": {}}
    assert conversion.from_stored(kind, stored, "v1alpha3")["apiVersion"] == "kubevirt.io/v1alpha3"


@pytest.mark.parametrize("kind", [k for k in KINDS.values() if k.conversion], ids=lambda k: k.resource)
def test_every_conversion_that_is_named_exists(kind):
    assert kind.conversion in conversion.CONVERSIONS


@pytest.mark.parametrize(
    ("resource", "value", "field", "expected"),
    [
        ("pods", {"spec": {"nodeName": "n"}, "status": {"podIPs": [{"ip": "a"}, {"ip": "b"}]}}, "spec.nodeName", "n"),
        ("pods", {"status": {"podIPs": [{"ip": "a"}, {"ip": "b"}]}}, "status.podIPs", "a,b"),
        ("pods", {}, "spec.hostNetwork", "false"),
        ("pods", {}, "status.phase", ""),
        ("nodes", {"spec": {"unschedulable": True}}, "spec.unschedulable", "true"),
        ("secrets", {"type": "Opaque"}, "type", "Opaque"),
        ("jobs.batch", {"status": {"succeeded": 2}}, "status.successful", "2"),
        ("replicasets.apps", {}, "status.replicas", "0"),
    ],
)
def test_selectable_fields_hold_what_kubernetes_says(resource, value, field, expected):
    assert selectable.values(KINDS[resource], {"metadata": {"name": "x"}} | value)[field] == expected
