"""Who owns which field (managedFields) where an object and its status are written apart."""

CORE, APPS = "/api/v1/namespaces/default", "/apis/apps/v1/namespaces/default"
APPLY = "application/apply-patch+yaml"
POD = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def owners(obj, subresource=""):
    """Manager -> the top-level fields that it owns."""
    entries = (e for e in obj["metadata"]["managedFields"] if e.get("subresource", "") == subresource)
    return {e["manager"]: sorted(e["fieldsV1"]) for e in entries}


async def test_who_creates_a_pod_owns_nothing_of_its_status(api) -> None:
    made = await api("POST", f"{CORE}/pods?fieldManager=person", POD, code=201)
    assert made["status"]["phase"] == "Pending" and owners(made) == {"person": ["f:spec"]}
    status = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "status": {"phase": "Running"}}
    path = f"{CORE}/pods/p/status?fieldManager=agent"
    ran = await api("PATCH", path, status, code=200, content_type=APPLY)
    assert ran["status"]["phase"] == "Running"
    assert owners(ran) == {"person": ["f:spec"]} and owners(ran, "status") == {"agent": ["f:status"]}


async def test_applying_an_object_with_a_status_neither_owns_nor_changes_it(api) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": POD["spec"]}
    spec = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}
    path = f"{APPS}/deployments/d?fieldManager=one"
    await api("PATCH", path, body | {"status": {"replicas": 9}}, code=201, content_type=APPLY)
    media = "application/merge-patch+json"
    await api("PATCH", f"{APPS}/deployments/d/status", {"status": {"replicas": 2}}, code=200, content_type=media)
    again = await api("PATCH", path, body | {"status": {"replicas": 9}}, code=200, content_type=APPLY)
    assert again["status"]["replicas"] == 2 and owners(again) == {"one": ["f:spec"]}


async def test_applying_a_status_with_a_spec_takes_only_the_status(api) -> None:
    await api("POST", f"{CORE}/pods?fieldManager=person", POD, code=201)
    spec = {"containers": [{"name": "c", "image": "other"}]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec, "status": {"message": "m"}}
    path = f"{CORE}/pods/p/status?fieldManager=agent"
    ran = await api("PATCH", path, body, code=200, content_type=APPLY)
    assert ran["spec"]["containers"][0]["image"] == "i" and ran["status"]["message"] == "m"
    assert owners(ran, "status") == {"agent": ["f:status"]}
