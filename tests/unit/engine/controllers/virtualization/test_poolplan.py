"""What a VirtualMachinePool needs next."""

import pytest

from isthmus.engine.controllers.virtualization import poolplan
from isthmus.machinery import conditions

NOW = 1_800_000_000.0


def template(cores=1):
    volumes = [
        {"name": "root", "dataVolume": {"name": "disk"}},
        {"name": "seed", "cloudInitNoCloud": {"secretRef": {"name": "seed"}}},
        {"name": "conf", "configMap": {"name": "conf"}},
    ]
    spec = {"domain": {"cpu": {"cores": cores}}, "volumes": volumes}
    disks = [{"metadata": {"name": "disk"}, "spec": {}}]
    return {"metadata": {"labels": {"a": "b"}}, "spec": {"dataVolumeTemplates": disks, "template": {"spec": spec}}}


def pool(replicas=2, generation=1, cores=1, **spec):
    metadata = {"name": "p", "namespace": "n", "uid": "pool", "generation": generation}
    fixed = {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}}, "virtualMachineTemplate": template(cores)}
    return {
        "apiVersion": "pool.kubevirt.io/v1beta1",
        "kind": "VirtualMachinePool",
        "metadata": metadata,
        "spec": fixed | spec,
    }


def vm(index, of=None, *, ready=True, created="2026-01-01T00:00:00Z", deleting=False, **status):
    body = poolplan.build_vm(of or pool(), index)
    body["metadata"] |= {"creationTimestamp": created} | ({"deletionTimestamp": created} if deleting else {})
    ready_condition = conditions.build("Ready", ready) | {"lastTransitionTime": created}
    return body | {"status": {"conditions": [ready_condition]} | status}


def vmi(body):
    return {"metadata": {"name": body["metadata"]["name"], "labels": body["spec"]["template"]["metadata"]["labels"]}}


def view(of, *vms, revisions=(), instances=()):
    kept = {poolplan.revision_name(r): r["spec"] for r in (of, *revisions)}
    return poolplan.View(of, vms, {i["metadata"]["name"]: i for i in instances}, kept)


def names(objects):
    return [o["metadata"]["name"] for o in objects]


def test_missing_vms_take_the_lowest_free_indices():
    assert poolplan.plan(view(pool(4), vm(1)), NOW).create == (0, 2, 3)


def test_names_of_disks_get_the_index_and_those_of_secrets_and_config_maps_if_asked():
    plain = poolplan.build_vm(pool(), 3)["spec"]
    assert plain["dataVolumeTemplates"][0]["metadata"]["name"] == "disk-3"
    root, seed, conf = plain["template"]["spec"]["volumes"]
    assert (root["dataVolume"]["name"], conf["configMap"]["name"]) == ("disk-3", "conf")
    assert seed["cloudInitNoCloud"]["secretRef"]["name"] == "seed"
    generation = {"appendIndexToConfigMapRefs": True, "appendIndexToSecretRefs": True}
    _, seed, conf = poolplan.build_vm(pool(nameGeneration=generation), 3)["spec"]["template"]["spec"]["volumes"]
    assert (seed["cloudInitNoCloud"]["secretRef"]["name"], conf["configMap"]["name"]) == ("seed-3", "conf-3")


@pytest.mark.parametrize(
    ("order", "gone"), [("DescendingOrder", "p-10"), ("AscendingOrder", "p-0"), ("Oldest", "p-2"), ("Newest", "p-10")]
)
def test_too_many_vms_go_in_the_order_of_the_policy(order, gone):
    of = pool(2, scaleInStrategy={"proactive": {"selectionPolicy": {"sortPolicy": order}}})
    vms = [vm(0, created="2026-01-02T00:00:00Z"), vm(2), vm(10, created="2026-01-03T00:00:00Z")]
    assert names(poolplan.plan(view(of, *vms), NOW).delete) == [gone]


def test_a_vm_that_is_on_its_way_out_counts_as_deleted_already():
    assert poolplan.plan(view(pool(2), vm(0), vm(1), vm(2, deleting=True)), NOW) == poolplan.Plan()


def test_a_selector_protects_what_it_does_not_select():
    of = pool(
        0,
        scaleInStrategy={
            "proactive": {"selectionPolicy": {"selectors": {"labelSelector": {"matchLabels": {"x": "y"}}}}}
        },
    )
    assert poolplan.plan(view(of, vm(0)), NOW).delete == ()


@pytest.mark.parametrize("strategy", ["unmanaged", "opportunistic"])
def test_only_a_proactive_pool_deletes_what_is_too_much(strategy):
    assert poolplan.plan(view(pool(0, scaleInStrategy={strategy: {}}), vm(0)), NOW).delete == ()


def test_a_changed_template_updates_the_vms_and_then_restarts_their_instances_as_far_as_they_may_be_down():
    old, new = pool(generation=1), pool(generation=2, cores=2, maxUnavailable=1)
    before = [vm(0, old), vm(1, old)]
    first = poolplan.plan(view(new, *before, revisions=[old]), NOW)
    assert sorted(names(first.update)) == ["p-0", "p-1"]
    after = [vm(0, new), vm(1, new)]
    instances = [vmi(body) for body in before]
    assert len(poolplan.plan(view(new, *after, revisions=[old], instances=instances), NOW).restart) == 1
    down = [vm(0, new, ready=False), vm(1, new)]
    assert names(poolplan.plan(view(new, *down, revisions=[old], instances=instances), NOW).restart) == ["p-0"]


def test_a_change_beside_the_template_restarts_nothing():
    old, new = pool(generation=1), pool(generation=2, paused=False)
    body = vm(0, old)
    assert poolplan.plan(view(new, body, vm(1, old), revisions=[old], instances=[vmi(body)]), NOW) == poolplan.Plan()


def test_an_opportunistic_update_leaves_running_guests_alone():
    old, new = pool(generation=1), pool(generation=2, cores=2, updateStrategy={"opportunistic": {}})
    instances = [vmi(vm(0, old))]
    plan = poolplan.plan(view(new, vm(0, new), vm(1, new), revisions=[old], instances=instances), NOW)
    assert plan.restart == ()


@pytest.mark.parametrize(("given", "limit"), [("100%", 4), ("30%", 1), (2, 2), ("1%", 1)])
def test_how_many_may_be_down_is_a_number_or_a_share(given, limit):
    assert poolplan.max_unavailable({"replicas": 4, "maxUnavailable": given}) == limit


def test_vms_that_do_not_come_up_are_replaced_if_the_pool_heals_itself():
    broken = vm(0, ready=False, startFailure={"consecutiveFailCount": 3})
    stuck = vm(1, ready=False, printableStatus="ErrorUnschedulable")
    assert poolplan.plan(view(pool(), broken, stuck), NOW).delete == ()
    assert names(poolplan.plan(view(pool(autohealing={}), broken, stuck), NOW).delete) == ["p-0", "p-1"]
    patient = pool(autohealing={"startUpFailureThreshold": 4, "minFailingToStartDuration": "1000000h"})
    assert poolplan.plan(view(patient, broken, stuck), NOW).delete == ()


def test_the_status_counts_and_tells_of_a_pause_and_a_failure():
    failure = conditions.build("ReplicaFailure", True, "FailedCreate", "no")
    status = poolplan.build_status(view(pool(paused=True), vm(0), vm(1, ready=False)), failure, "now")
    assert (status["replicas"], status["readyReplicas"], status["labelSelector"]) == (2, 1, "a=b")
    assert {c["type"] for c in status["conditions"]} == {"ReplicaFailure", "ReplicaPaused"}
