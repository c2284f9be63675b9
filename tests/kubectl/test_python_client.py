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


def test_the_dynamic_client_applies_on_the_server_and_meets_conflicts(kubectl, api) -> None:
    maps = dynamic.DynamicClient(api).resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "1"}}
    maps.server_side_apply(body=body, name="a", namespace=kubectl.namespace, field_manager="one")
    body["data"]["k"] = "2"
    with pytest.raises(dynamic.exceptions.ConflictError):
        maps.server_side_apply(body=body, name="a", namespace=kubectl.namespace, field_manager="two")
    taken = maps.server_side_apply(
        body=body, name="a", namespace=kubectl.namespace, field_manager="two", force_conflicts=True
    )
    assert taken.data.k == "2" and [m.manager for m in taken.metadata.managedFields] == ["two"]


def test_the_dynamic_client_watches_a_crd_of_its_own_from_where_it_stopped(kubectl, api) -> None:
    group = f"{kubectl.namespace}.example.net"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = client.V1CustomResourceDefinitionVersion(
        name="v1", served=True, storage=True, schema=client.V1CustomResourceValidation(open_apiv3_schema=schema)
    )
    spec = client.V1CustomResourceDefinitionSpec(
        group=group,
        scope="Namespaced",
        names=client.V1CustomResourceDefinitionNames(plural="things", kind="Thing"),
        versions=[version],
    )
    crds = client.ApiextensionsV1Api(api)
    body = client.V1CustomResourceDefinition(metadata=client.V1ObjectMeta(name=f"things.{group}"), spec=spec)
    crds.create_custom_resource_definition(body)
    things = dynamic.DynamicClient(api).resources.get(api_version=f"{group}/v1", kind="Thing")
    made = []
    for name in ("a", "b", "c"):
        thing = {"apiVersion": f"{group}/v1", "kind": "Thing", "metadata": {"name": name}}
        made.append(things.create(body=thing, namespace=kubectl.namespace).metadata.resourceVersion)
    seen = [
        event["object"].metadata.name
        for event in things.watch(namespace=kubectl.namespace, resource_version=made[0], timeout=1)
    ]
    assert seen == ["b", "c"]
    things.delete(namespace=kubectl.namespace, field_selector=f"metadata.namespace={kubectl.namespace}")
    assert things.get(namespace=kubectl.namespace).items == []
    crds.delete_custom_resource_definition(f"things.{group}")


def test_subresources_reviews_tokens_and_collections(kubectl, api) -> None:
    ns, core, apps = kubectl.namespace, client.CoreV1Api(api), client.AppsV1Api(api)
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    deployment = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
    apps.create_namespaced_deployment(ns, deployment)
    scaled = apps.patch_namespaced_deployment_scale("d", ns, {"spec": {"replicas": 4}})
    assert scaled.spec.replicas == apps.read_namespaced_deployment_scale("d", ns).spec.replicas == 4
    status = apps.patch_namespaced_deployment_status("d", ns, {"status": {"replicas": 2}})
    assert status.status.replicas == 2
    core.create_namespaced_service_account(ns, {"metadata": {"name": "robot"}})
    spec = client.V1TokenRequestSpec(audiences=[], expiration_seconds=600)
    issued = core.create_namespaced_service_account_token("robot", ns, client.AuthenticationV1TokenRequest(spec=spec))
    review = client.V1TokenReview(spec=client.V1TokenReviewSpec(token=issued.status.token))
    reviewed = client.AuthenticationV1Api(api).create_token_review(review)
    assert reviewed.status.user.username == f"system:serviceaccount:{ns}:robot"
    access = client.V1SelfSubjectAccessReviewSpec(
        resource_attributes=client.V1ResourceAttributes(verb="list", resource="pods", namespace=ns)
    )
    body = client.V1SelfSubjectAccessReview(spec=access)
    assert client.AuthorizationV1Api(api).create_self_subject_access_review(body).status.allowed
    apps.delete_collection_namespaced_deployment(ns)
    assert apps.list_namespaced_deployment(ns).items == []
    assert client.VersionApi(api).get_code().major == "1"


def test_a_lease_is_taken_and_renewed_by_the_clients_leader_election(kubectl, api) -> None:
    leases, ns = client.CoordinationV1Api(api), kubectl.namespace
    spec = client.V1LeaseSpec(holder_identity="me", lease_duration_seconds=15, renew_time="2026-01-01T00:00:00.000001Z")
    lease = leases.create_namespaced_lease(ns, client.V1Lease(metadata=client.V1ObjectMeta(name="l"), spec=spec))
    assert lease.spec.renew_time.microsecond == 1
    lease.spec.lease_transitions = 1
    newer = leases.replace_namespaced_lease("l", ns, lease)
    with pytest.raises(ApiException) as late:
        leases.replace_namespaced_lease("l", ns, lease)
    assert late.value.status == 409 and newer.spec.lease_transitions == 1


def test_a_watch_from_a_forgotten_revision_says_gone(kubectl, api) -> None:
    watcher = watch.Watch()
    with pytest.raises(ApiException) as refused:
        for _ in watcher.stream(
            client.CoreV1Api(api).list_namespaced_config_map,
            kubectl.namespace,
            resource_version="10" * 8,
            timeout_seconds=1,
        ):
            pass
    assert refused.value.status == 504  # a revision that is still to come, which no server of ours gave
