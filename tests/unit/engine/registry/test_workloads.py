"""What kube-apiserver fills into Pods and workloads, and what it refuses."""

import orjson
import pytest

from isthmus.engine.store.row import Change, Row

APPS, CORE = "/apis/apps/v1/namespaces/default", "/api/v1/namespaces/default"
POD = {
    "dnsPolicy": "ClusterFirst",
    "restartPolicy": "Always",
    "schedulerName": "default-scheduler",
    "securityContext": {},
    "terminationGracePeriodSeconds": 30,
}
CONTAINER = {
    "name": "c",
    "image": "nginx",
    "imagePullPolicy": "Always",
    "resources": {},
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}


def workload(kind: str, *, api: str = "apps/v1", labels=None, pod=None, **spec):
    template = {
        "metadata": {"labels": labels or {"a": "b"}},
        "spec": pod or {"containers": [{"name": "c", "image": "nginx"}]},
    }
    return {"apiVersion": api, "kind": kind, "metadata": {"name": "w"}, "spec": {"template": template, **spec}}


SELECTOR = {"matchLabels": {"a": "b"}}
GREEDY = {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}
ONCE = {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}


async def test_a_deployment_is_completed(api) -> None:
    made = await api("POST", f"{APPS}/deployments", workload("Deployment", selector=SELECTOR), code=201)
    template = made["spec"].pop("template")
    assert made["spec"] == {
        "selector": SELECTOR,
        "replicas": 1,
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
    }
    assert template["spec"] == {**POD, "containers": [CONTAINER]}


async def test_recreate_gets_no_parameters_of_a_rolling_update(api) -> None:
    given = workload("Deployment", selector=SELECTOR, strategy={"type": "Recreate"})
    made = await api("POST", f"{APPS}/deployments", given, code=201)
    assert made["spec"]["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize(
    ("kind", "plural", "strategy"),
    [
        ("DaemonSet", "daemonsets", {"maxSurge": 0, "maxUnavailable": 1}),
        ("StatefulSet", "statefulsets", {"partition": 0}),
    ],
)
async def test_other_workloads_have_rollouts_of_their_own(api, kind, plural, strategy) -> None:
    made = await api("POST", f"{APPS}/{plural}", workload(kind, selector=SELECTOR), code=201)
    assert made["spec"]["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": strategy}


async def test_a_replication_controller_takes_selector_and_labels_of_its_template(api) -> None:
    given = workload("ReplicationController", api="v1")
    made = await api("POST", f"{CORE}/replicationcontrollers", given, code=201)
    assert made["spec"]["selector"] == made["metadata"]["labels"] == {"a": "b"} and made["spec"]["replicas"] == 1


async def test_a_pod_is_completed(api) -> None:
    container = {
        "name": "c",
        "image": "nginx:1.2",
        "ports": [{"containerPort": 80}],
        "env": [{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "livenessProbe": {"httpGet": {"port": 80}},
        "resources": {"limits": {"cpu": "1"}},
    }
    spec = {"containers": [container], "volumes": [{"name": "v"}, {"name": "s", "secret": {"secretName": "x"}}]}
    made = await api("POST", f"{CORE}/pods", {"metadata": {"name": "p"}, "spec": spec}, code=201)
    shown = made["spec"]["containers"][0]
    assert shown["imagePullPolicy"] == "IfNotPresent"
    assert shown["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert shown["env"][0]["valueFrom"]["fieldRef"] == {"fieldPath": "metadata.name", "apiVersion": "v1"}
    assert shown["livenessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    assert shown["resources"] == {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}
    assert made["spec"]["volumes"] == [
        {"name": "v", "emptyDir": {}},
        {"name": "s", "secret": {"secretName": "x", "defaultMode": 420}},
    ]
    assert made["status"]["qosClass"] == "Burstable"


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("a", "Always"),
        ("h:5000/a", "Always"),
        ("a:latest", "Always"),
        ("a:1", "IfNotPresent"),
        ("a@sha256:0", "IfNotPresent"),
    ],
)
async def test_only_the_tag_latest_is_always_pulled(api, image, policy) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": image}]}}
    made = await api("POST", f"{CORE}/pods", pod, code=201)
    assert made["spec"]["containers"][0]["imagePullPolicy"] == policy


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"containers": []}, "spec.containers: Required value"),
        ({"containers": [{"name": "c"}]}, "spec.containers[0].image: Required value"),
        ({"containers": [{"name": "C_", "image": "i"}]}, 'spec.containers[0].name: Invalid value: "C_"'),
        (
            {"containers": [{"name": "c", "image": "i"}, {"name": "c", "image": "i"}]},
            'spec.containers[1].name: Duplicate value: "c"',
        ),
        (
            {"containers": [{"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/"}]}]},
            'spec.containers[0].volumeMounts[0].name: Not found: "v"',
        ),
        (
            {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Maybe"},
            'spec.restartPolicy: Unsupported value: "Maybe": supported values: "Always", "OnFailure", "Never"',
        ),
        (
            {"containers": [{"name": "c", "image": "i", "resources": GREEDY}]},
            'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
        ),
    ],
)  # fmt: skip
async def test_a_wrong_pod_is_refused(api, spec, message) -> None:
    refused = await api("POST", f"{CORE}/pods", {"metadata": {"name": "p"}, "spec": spec}, code=422)
    assert message in refused["message"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (workload("Deployment"), "spec.selector: Required value"),
        (
            workload("Deployment", selector={"matchLabels": {"x": "y"}}),
            'spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`',
        ),
        (
            workload("Deployment", selector=SELECTOR, pod=ONCE),
            'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
        ),
    ],
)  # fmt: skip
async def test_a_wrong_deployment_is_refused(api, given, message) -> None:
    refused = await api("POST", f"{APPS}/deployments", given, code=422)
    assert message in refused["message"]


async def test_a_template_that_is_patched_is_completed_and_the_selector_stays(api) -> None:
    await api("POST", f"{APPS}/deployments", workload("Deployment", selector=SELECTOR), code=201)
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "i:1"}]}}}}
    media = "application/strategic-merge-patch+json"
    made = await api("PATCH", f"{APPS}/deployments/w", patch, code=200, content_type=media)
    pulled = {c["name"]: c["imagePullPolicy"] for c in made["spec"]["template"]["spec"]["containers"]}
    assert pulled == {"c": "Always", "side": "IfNotPresent"}
    patch = {"spec": {"selector": {"matchLabels": {"c": "d"}}, "template": {"metadata": {"labels": {"c": "d"}}}}}
    refused = await api("PATCH", f"{APPS}/deployments/w", patch, code=422, content_type=media)
    assert "spec.selector: Invalid value" in refused["message"] and "field is immutable" in refused["message"]


async def test_defaults_of_shared_types_stay_out_of_virtual_machines(api) -> None:
    """A kind that is a CustomResourceDefinition upstream is stored as it was sent."""
    probe = {"httpGet": {"port": 80}}
    template = {"spec": {"domain": {"devices": {}}, "readinessProbe": probe}}
    vm = {"metadata": {"name": "v"}, "spec": {"runStrategy": "Halted", "template": template}}
    made = await api("POST", "/apis/kubevirt.io/v1/namespaces/default/virtualmachines", vm, code=201)
    assert made["spec"]["template"]["spec"]["readinessProbe"] == probe


async def test_a_pod_from_before_there_were_defaults_can_still_be_written(api) -> None:
    """What an older version stored lacks them: a client's read-modify-write must not look like a forbidden change."""
    made = await api("POST", f"{CORE}/pods", {"metadata": {"name": "p"}, "spec": ONCE}, code=201)
    for field in ("securityContext", "schedulerName", "terminationGracePeriodSeconds", "dnsPolicy"):
        del made["spec"][field]
    del made["spec"]["containers"][0]["terminationMessagePath"]
    store = api.server.store
    made["metadata"]["resourceVersion"] = str(store.next_revision())
    await store.append(Row(("pods", "default", "p"), store.next_revision(), orjson.dumps(made), Change.MODIFIED))
    read = await api("GET", f"{CORE}/pods/p", code=200)
    assert "securityContext" not in read["spec"]
    assert (await api("PUT", f"{CORE}/pods/p", read, code=200))["metadata"]["generation"] == 1
    read["metadata"]["labels"] = {"a": "b"}
    written = await api("PUT", f"{CORE}/pods/p", read, code=200)
    assert written["metadata"]["labels"] == {"a": "b"} and written["metadata"]["generation"] == 1
    assert written["spec"]["securityContext"] == {}
