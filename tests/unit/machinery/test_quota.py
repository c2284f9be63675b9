"""What objects count for, under Kubernetes' names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.machinery import quantity, quota


def container(name="c", **resources):
    return {"name": name, "resources": resources}


def pod(*containers, phase="Running", **spec):
    return {"spec": {"containers": list(containers), **spec}, "status": {"phase": phase}}


def limit(*, scopes=(), selector=(), **hard):
    spec = {"hard": {name.replace("__", "."): value for name, value in hard.items()}}
    if scopes:
        spec["scopes"] = list(scopes)
    if selector:
        spec["scopeSelector"] = {"matchExpressions": list(selector)}
    return {"metadata": {"name": "q", "namespace": "ns"}, "spec": spec}


def shown(usage):
    return {name: str(value) for name, value in usage.items()}


def test_a_pod_counts_for_what_its_containers_request_and_are_limited_to():
    one = container(requests={"cpu": "250m", "memory": "64Mi"}, limits={"cpu": "1"})
    two = container("d", requests={"cpu": "250m", "example.com/fpga": "1"})
    assert shown(quota.usage("pods", pod(one, two))) == {
        "count/pods": "1", "pods": "1", "cpu": "500m", "requests.cpu": "500m", "memory": "64Mi",
        "requests.memory": "64Mi", "limits.cpu": "1", "requests.example.com/fpga": "1",
    }  # fmt: skip


def test_a_greater_init_container_counts_instead_and_a_sidecar_on_top():
    init = [container("i", requests={"cpu": "2"}), container("s", requests={"cpu": "1"}) | {"restartPolicy": "Always"}]
    found = quota.usage("pods", pod(container(requests={"cpu": "500m"}), initContainers=init, overhead={"cpu": "10m"}))
    assert str(found["requests.cpu"]) == "2010m"


def test_a_pod_that_has_ended_is_only_counted_as_an_object():
    assert shown(quota.usage("pods", pod(container(requests={"cpu": "1"}), phase="Failed"))) == {"count/pods": "1"}


def test_a_claim_counts_for_its_size_also_by_its_class():
    claim = {"spec": {"resources": {"requests": {"storage": "5Gi"}}, "storageClassName": "fast"}}
    assert shown(quota.usage("persistentvolumeclaims", claim)) == {
        "count/persistentvolumeclaims": "1",
        "persistentvolumeclaims": "1",
        "requests.storage": "5Gi",
        "fast.storageclass.storage.k8s.io/requests.storage": "5Gi",
        "fast.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
    }


@pytest.mark.parametrize(
    ("spec", "counted"),
    [
        ({"type": "ClusterIP", "ports": [{}]}, {}),
        ({"type": "NodePort", "ports": [{}, {}]}, {"services.nodeports": "2"}),
        ({"type": "LoadBalancer", "ports": [{}]}, {"services.nodeports": "1", "services.loadbalancers": "1"}),
        (
            {"type": "LoadBalancer", "ports": [{}], "allocateLoadBalancerNodePorts": False},
            {"services.loadbalancers": "1"},
        ),
    ],
)
def test_a_service_counts_for_its_ports_on_nodes_and_its_balancer(spec, counted):
    assert shown(quota.usage("services", {"spec": spec})) == {"count/services": "1", "services": "1"} | counted


def test_other_kinds_are_counted_by_their_resource():
    assert shown(quota.usage("virtualmachines.kubevirt.io", {})) == {"count/virtualmachines.kubevirt.io": "1"}
    assert shown(quota.usage("secrets", {})) == {"count/secrets": "1", "secrets": "1"}


def test_the_names_of_a_quota_say_which_resources_to_look_at():
    hard = ("limits.cpu", "gold.storageclass.storage.k8s.io/requests.storage", "services.nodeports", "count/jobs.batch")
    assert quota.resources(hard) == {"pods", "persistentvolumeclaims", "services", "jobs.batch"}
    assert quota.resources(["secrets", "requests.example.com/fpga"]) == {"secrets", "pods"}


@pytest.mark.parametrize(
    ("bounds", "obj", "looked_at"),
    [
        (limit(scopes=["BestEffort"]), pod(container()), True),
        (limit(scopes=["BestEffort"]), pod(container(requests={"cpu": "1"})), False),
        (limit(scopes=["NotBestEffort", "Terminating"]), pod(container(limits={"memory": "1"})), False),
        (limit(scopes=["Terminating"]), pod(container(), activeDeadlineSeconds=5), True),
        (
            limit(selector=[{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]),
            pod(priorityClassName="high"),
            True,
        ),
        (limit(selector=[{"scopeName": "PriorityClass", "operator": "DoesNotExist"}]), pod(), True),
        (limit(selector=[{"scopeName": "PriorityClass", "operator": "NotIn", "values": ["high"]}]), pod(), True),
        (limit(selector=[{"scopeName": "PriorityClass", "operator": "Exists"}]), pod(), False),
        (
            limit(scopes=["CrossNamespacePodAffinity"]),
            pod(
                affinity={
                    "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"namespaces": ["other"]}]}
                }
            ),
            True,
        ),
    ],
)
def test_scopes_choose_pods(bounds, obj, looked_at):
    assert quota.matches(bounds, "pods", obj) is looked_at


def test_what_is_too_much_is_told_with_what_is_there():
    used = {"pods": quantity.parse("2"), "requests.cpu": quantity.parse("900m")}
    more = quota.usage("pods", pod(container(requests={"cpu": "200m"})))
    found = quota.find_excess(limit(pods="3", requests__cpu="1"), used, {}, more)
    assert found == "exceeded quota: q, requested: requests.cpu=200m, used: requests.cpu=900m, limited: requests.cpu=1"


def test_an_update_counts_by_what_it_adds_and_less_is_always_allowed():
    def size(text):
        return quota.usage("persistentvolumeclaims", {"spec": {"resources": {"requests": {"storage": text}}}})

    bounds, used = limit(requests__storage="10Gi"), {"requests.storage": quantity.parse("12Gi")}
    assert not quota.find_excess(bounds, used, size("5Gi"), size("4Gi"))
    assert "requested: requests.storage=1Gi" in quota.find_excess(bounds, used, size("5Gi"), size("6Gi"))


def test_under_a_quota_of_compute_every_container_has_to_say_its_part():
    silent = pod(container("a"), container("b", limits={"cpu": "1"}))
    found = quota.find_unsaid(limit(limits__cpu="2", memory="1Gi", pods="5"), silent)
    assert found == "failed quota: q: must specify limits.cpu for: a; memory for: a,b"
    assert not quota.find_unsaid(limit(pods="5"), silent)


@given(st.lists(st.integers(0, 4000), max_size=6))
def test_pods_together_count_for_the_sum(milli):
    pods = [pod(container(requests={"cpu": f"{m}m"})) for m in milli]
    found = quota.total("pods", pods)
    assert found.get("requests.cpu", quantity.ZERO) == quantity.parse(f"{sum(milli)}m")
    assert found.get("pods", quantity.ZERO) == quantity.parse(str(len(milli)))
