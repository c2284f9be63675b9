"""Where Pods go, and the words when they go nowhere."""

import pytest

from isthmus.engine.scheduler import filters, scores, snapshot
from isthmus.engine.scheduler.filters import Request
from isthmus.engine.scheduler.snapshot import Claim
from isthmus.machinery import conditions


def node(name="n1", cpu="2", memory="4Gi", ready=True, labels=None, **spec):
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "zone": "z"} | (labels or {})},
        "spec": spec,
        "status": {
            "allocatable": {"cpu": cpu, "memory": memory, "pods": "3"},
            "conditions": [conditions.build("Ready", ready)],
        },
    }


def pod(name="p", cpu="100m", memory="64Mi", node_name="", labels=None, **spec):
    containers = [{"resources": {"requests": {"cpu": cpu, "memory": memory}}}]
    metadata = {"name": name, "namespace": "ns", "uid": name, "labels": labels or {}}
    return {"metadata": metadata, "spec": {"containers": containers, "nodeName": node_name} | spec}


def request(body, *nodes, pods=(), claims=()):
    infos = snapshot.build(list(nodes) or [node()], list(pods), {})
    return Request(body, tuple(claims), tuple(infos)), infos


def reason(body, one=None, pods=(), claims=()):
    ask, infos = request(body, one or node(), pods=pods, claims=claims)
    return filters.reason_against(ask, infos[0])


def affinity(kind, *expressions):
    term = {"nodeSelectorTerms": [{"matchExpressions": list(expressions)}]}
    return {"nodeAffinity": {f"{kind}DuringSchedulingIgnoredDuringExecution": term}}


def neighbours(kind, **labels):
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels}}
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


FAST = {"key": "disk", "operator": "In", "values": ["fast"]}
TAINT = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}


def test_a_pod_that_fits_has_no_reason_against_it():
    assert reason(pod()) is None


@pytest.mark.parametrize(
    ("words", "body", "where"),
    [
        ("node(s) were not ready", pod(), node(ready=False)),
        ("node(s) were unschedulable", pod(), node(unschedulable=True)),
        ("node(s) had untolerated taint {gpu: yes}", pod(), node(taints=[TAINT])),
        ("node(s) didn't match Pod's node affinity/selector", pod(nodeSelector={"disk": "fast"}), node()),
        ("node(s) didn't match Pod's node affinity/selector", pod(affinity=affinity("required", FAST)), node()),
        ("Insufficient cpu", pod(cpu="3"), node()),
        ("Insufficient cpu, Insufficient memory", pod(cpu="3", memory="5Gi"), node()),
    ],
)
def test_each_filter_says_why_in_kubernetes_words(words, body, where):
    assert reason(body, where) == words


def test_tolerations_affinity_and_labels_open_the_door():
    tolerant = pod(tolerations=[{"key": "gpu", "operator": "Exists"}])
    assert reason(tolerant, node(taints=[TAINT])) is None
    assert reason(pod(tolerations=[{"operator": "Exists"}]), node(unschedulable=True)) is None
    assert reason(pod(tolerations=[{"key": "gpu", "value": "no"}]), node(taints=[TAINT])) is not None
    fast = node(labels={"disk": "fast"})
    assert reason(pod(nodeSelector={"disk": "fast"}, affinity=affinity("required", FAST)), fast) is None


def test_room_is_what_pods_on_the_node_have_left_and_the_ended_take_none():
    other = pod("o", cpu="1900m", node_name="n1")
    assert reason(pod(cpu="200m"), pods=[other]) == "Insufficient cpu"
    assert reason(pod(cpu="200m"), pods=[other | {"status": {"phase": "Succeeded"}}]) is None
    crowd = [pod(f"c{n}", cpu="1m", node_name="n1") for n in range(3)]
    assert reason(pod(cpu="1m"), pods=crowd) == "Too many pods"


def test_a_binding_that_the_copy_does_not_show_yet_takes_room():
    infos = snapshot.build([node()], [pod("o", cpu="1900m")], {"o": "n1"})
    assert infos[0].used["cpu"] == 1900


def test_init_containers_count_by_their_largest_and_sidecars_beside():
    body = pod(cpu="100m")
    body["spec"]["initContainers"] = [
        {"resources": {"requests": {"cpu": "1"}}},
        {"restartPolicy": "Always", "resources": {"requests": {"cpu": "50m"}}},
    ]
    assert snapshot.requests(body)["cpu"] == 1050
    limited = {"spec": {"containers": [{"resources": {"limits": {"memory": "1Gi"}}}], "overhead": {"memory": "1Mi"}}}
    assert snapshot.requests(limited)["memory"] == 1025 * 1024 * 1024


def test_a_volume_holds_the_pod_on_its_node():
    def volume(host):
        expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [host]}
        return {"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}}}

    claim = {"metadata": {}, "status": {"phase": "Bound"}}
    assert reason(pod(), claims=[Claim("c", claim, volume("n1"))]) is None
    elsewhere = reason(pod(), claims=[Claim("c", claim, volume("n2"))])
    assert elsewhere == "node(s) didn't match PersistentVolume's node affinity"


def test_claims_are_judged_before_nodes():
    assert filters.claim_problem((Claim("c", None),)) == 'persistentvolumeclaim "c" not found'
    pending = {"metadata": {}}
    assert filters.claim_problem((Claim("c", pending),)) == "pod has unbound immediate PersistentVolumeClaims"
    assert filters.claim_problem((Claim("c", pending, waits=True),)) is None


def test_anti_affinity_keeps_two_apart_whichever_comes_first():
    shy = pod("a", labels={"app": "db"}, affinity=neighbours("podAntiAffinity", app="db"))
    present = pod("b", node_name="n1", labels={"app": "db"})
    assert reason(shy, pods=[present]) == "node(s) didn't match pod anti-affinity rules"
    resident = shy | {"spec": shy["spec"] | {"nodeName": "n1"}}
    assert reason(pod("c", labels={"app": "db"}), pods=[resident]) == "node(s) didn't match pod anti-affinity rules"
    assert reason(pod("d", labels={"app": "web"}), pods=[resident]) is None


def test_affinity_follows_its_like_and_the_first_of_a_group_goes_anywhere():
    social = pod("a", labels={"app": "web"}, affinity=neighbours("podAffinity", app="web"))
    assert reason(social) is None
    seeker = pod("s", affinity=neighbours("podAffinity", app="web"))
    assert reason(seeker) == "node(s) didn't match pod affinity rules"
    ask, infos = request(seeker, node(), node("n2"), pods=[pod("w", node_name="n2", labels={"app": "web"})])
    assert [filters.reason_against(ask, info) is None for info in infos] == [False, True]


def test_the_explanation_counts_each_reason():
    message = filters.explain(
        3, ["Insufficient cpu, Insufficient memory", "Insufficient cpu", "node(s) were not ready"]
    )
    assert message == "0/3 nodes are available: 2 Insufficient cpu, 1 Insufficient memory, 1 node(s) were not ready."
    assert filters.explain(0, []) == "no nodes available to schedule pods"


def test_the_emptiest_node_wins_and_of_equals_the_first_by_name():
    ask, infos = request(pod(), node("b"), node("a"), pods=[pod("o", cpu="1", node_name="a")])
    assert scores.choose(ask, infos).name == "b"
    ask, infos = request(pod(), node("b"), node("a"))
    assert scores.choose(ask, infos).name == "a"


def test_preferences_outweigh_a_little_room():
    preferred = {
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 10, "preference": {"matchExpressions": [FAST]}}
            ]
        }
    }
    fast = node("fast", labels={"disk": "fast"})
    ask, infos = request(pod(affinity=preferred), node("slow"), fast, pods=[pod("o", cpu="500m", node_name="fast")])
    assert scores.choose(ask, infos).name == "fast"
    soft = {"key": "x", "effect": "PreferNoSchedule"}
    ask, infos = request(pod(), node("a", taints=[soft]), node("b"))
    assert scores.choose(ask, infos).name == "b"
