"""The official Python client, unmodified: typed and dynamic, patches, watches, conflicts."""

import threading
import time

import pytest
from kubernetes import client, config, dynamic, watch
from kubernetes.client.rest import ApiException


@pytest.fixture
def api(kubectl) -> client.ApiClient:
    return config.new_client_from_config(str(kubectl.home.kubeconfig))


def test_typed_objects_are_created_read_listed_patched_and_deleted(kubectl, api) -> None:
    core, ns = client.CoreV1Api(api), kubectl.namespace
    core.create_namespaced_config_map(ns, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="a"), data={"k": "1"}))
    patched = core.patch_namespaced_config_map("a", ns, {"data": {"l": "2"}})
    assert patched.data == {"k": "1", "l": "2"}
    by_operations = core.patch_namespaced_config_map("a", ns, [{"op": "remove", "path": "/data/k"}])
    assert by_operations.data == {"l": "2"}
    assert [o.metadata.name for o in core.list_namespaced_config_map(ns).items if o.metadata.name == "a"] == ["a"]
    core.delete_namespaced_config_map("a", ns)
    with pytest.raises(ApiException) as gone:
        core.read_namespaced_config_map("a", ns)
    assert gone.value.status == 404


def test_a_stale_replace_is_a_conflict(kubectl, api) -> None:
    core, ns = client.CoreV1Api(api), kubectl.namespace
    first = core.create_namespaced_config_map(ns, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="a")))
    core.patch_namespaced_config_map("a", ns, {"data": {"x": "1"}})
    with pytest.raises(ApiException) as conflict:
        core.replace_namespaced_config_map("a", ns, first)
    assert conflict.value.status == 409


def test_a_watch_sees_what_happens_after_the_list(kubectl, api) -> None:
    core, ns = client.CoreV1Api(api), kubectl.namespace
    listed = core.list_namespaced_config_map(ns)

    def work() -> None:
        time.sleep(0.3)
        body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="seen"))
        core.create_namespaced_config_map(ns, body)
        core.patch_namespaced_config_map("seen", ns, {"data": {"x": "1"}})
        core.delete_namespaced_config_map("seen", ns)

    worker = threading.Thread(target=work)
    worker.start()
    events = []
    watcher = watch.Watch()
    since = listed.metadata.resource_version
    for event in watcher.stream(core.list_namespaced_config_map, ns, resource_version=since, timeout_seconds=10):
        if event["object"].metadata.name == "seen":
            events.append(event["type"])
        if events[-1:] == ["DELETED"]:
            watcher.stop()
    worker.join()
    assert events == ["ADDED", "MODIFIED", "DELETED"]


def test_pages_of_a_list_show_one_revision(kubectl, api) -> None:
    core, ns = client.CoreV1Api(api), kubectl.namespace
    for index in range(7):
        core.create_namespaced_secret(ns, client.V1Secret(metadata=client.V1ObjectMeta(name=f"s{index}")))
    page = core.list_namespaced_secret(ns, limit=3)
    names = [o.metadata.name for o in page.items]
    core.delete_namespaced_secret("s6", ns)
    core.create_namespaced_secret(ns, client.V1Secret(metadata=client.V1ObjectMeta(name="s5b")))
    while page.metadata._continue:
        page = core.list_namespaced_secret(ns, limit=3, _continue=page.metadata._continue)
        names += [o.metadata.name for o in page.items]
    assert [n for n in names if n.startswith("s")] == [f"s{i}" for i in range(7)]


def test_the_dynamic_client_handles_virtual_machines(kubectl, api) -> None:
    vms = dynamic.DynamicClient(api).resources.get(api_version="kubevirt.io/v1", kind="VirtualMachine")
    template = {"spec": {"domain": {"memory": {"guest": "64Mi"}, "devices": {}}}}
    vm = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": "one"}}
    vms.create(body=vm | {"spec": {"runStrategy": "Halted", "template": template}}, namespace=kubectl.namespace)
    patch = {"spec": {"template": {"spec": {"domain": {"memory": {"guest": "128Mi"}}}}}}
    changed = vms.patch(
        name="one", namespace=kubectl.namespace, body=patch, content_type="application/merge-patch+json"
    )
    assert changed.spec.template.spec.domain.memory.guest == "128Mi"
    assert changed.metadata.generation == 2


def test_events_of_both_groups_are_one(kubectl, api) -> None:
    ns = kubectl.namespace
    event = client.EventsV1Event(
        metadata=client.V1ObjectMeta(name="e1"),
        event_time="2026-01-01T00:00:00.000000Z",
        reporting_controller="example.org/c",
        reporting_instance="i",
        action="Act",
        reason="Because",
        type="Normal",
        note="it happened",
        regarding=client.V1ObjectReference(kind="ConfigMap", name="x", namespace=ns),
    )
    client.EventsV1Api(api).create_namespaced_event(ns, event)
    core = client.CoreV1Api(api).read_namespaced_event("e1", ns)
    assert (core.message, core.involved_object.name) == ("it happened", "x")
    again = client.EventsV1Api(api).read_namespaced_event("e1", ns)
    assert (again.note, again.regarding.name) == ("it happened", "x")


def test_an_autoscaler_written_as_v1_is_read_as_v2(kubectl, api) -> None:
    target = client.V1CrossVersionObjectReference(api_version="apps/v1", kind="Deployment", name="web")
    spec = client.V1HorizontalPodAutoscalerSpec(
        max_replicas=3, scale_target_ref=target, target_cpu_utilization_percentage=70
    )
    body = client.V1HorizontalPodAutoscaler(metadata=client.V1ObjectMeta(name="h"), spec=spec)
    client.AutoscalingV1Api(api).create_namespaced_horizontal_pod_autoscaler(kubectl.namespace, body)
    read = client.AutoscalingV2Api(api).read_namespaced_horizontal_pod_autoscaler("h", kubectl.namespace)
    assert read.spec.metrics[0].resource.target.average_utilization == 70
    v1 = client.AutoscalingV1Api(api).read_namespaced_horizontal_pod_autoscaler("h", kubectl.namespace)
    assert v1.spec.target_cpu_utilization_percentage == 70
