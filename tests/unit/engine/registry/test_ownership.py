"""Who owns which field (managedFields) where an object and its status are written apart."""

import pytest

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


ENTRY = {
    "manager": "m",
    "operation": "Update",
    "apiVersion": "v1",
    "fieldsType": "FieldsV1",
    "fieldsV1": {"f:data": {}},
}
INVALID = [
    [{"operation": "Get"}],
    [ENTRY | {"operation": ""}],
    [ENTRY | {"apiVersion": ""}],
    [ENTRY | {"fieldsType": "FieldsV2"}],
    [ENTRY | {"fieldsV1": "text"}],
    [ENTRY | {"fieldsV1": {"no path element": {}}}],
    [{}, {}],
]
MERGE = "application/merge-patch+json"


def configmap(**metadata):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", **metadata}, "data": {"a": "b"}}


@pytest.mark.parametrize("entries", [*INVALID, [], [{}]])
async def test_entries_that_make_no_sense_do_not_keep_an_object_from_being_created(api, entries) -> None:
    made = await api("POST", f"{CORE}/configmaps?fieldManager=one", configmap(managedFields=entries), code=201)
    assert owners(made) == {"one": ["f:data"]}


@pytest.mark.parametrize("entries", INVALID)
async def test_entries_that_make_no_sense_leave_the_live_ones(api, entries) -> None:
    await api("POST", f"{CORE}/configmaps?fieldManager=one", configmap(), code=201)
    body = configmap(managedFields=entries) | {"data": {"a": "b", "c": "d"}}
    put = await api("PUT", f"{CORE}/configmaps/c?fieldManager=two", body, code=200)
    assert owners(put) == {"one": ["f:data"], "two": ["f:data"]}
    patch = {"metadata": {"managedFields": entries}}
    assert owners(await api("PATCH", f"{CORE}/configmaps/c", patch, code=200, content_type=MERGE)) == owners(put)


async def test_entries_that_make_sense_replace_the_live_ones(api) -> None:
    await api("POST", f"{CORE}/configmaps?fieldManager=one", configmap(), code=201)
    entries = [ENTRY | {"manager": "another", "time": None}]
    put = await api("PUT", f"{CORE}/configmaps/c", configmap(managedFields=entries), code=200)
    assert owners(put) == {"another": ["f:data"]}


@pytest.mark.parametrize("entries", [[], [{}]])
async def test_an_empty_list_resets_who_owns_what(api, entries) -> None:
    await api("POST", f"{CORE}/configmaps?fieldManager=one", configmap(), code=201)
    put = await api("PUT", f"{CORE}/configmaps/c", configmap(managedFields=entries), code=200)
    assert "managedFields" not in put["metadata"]


@pytest.mark.parametrize("entries", ["text", [1], {"a": 1}, [ENTRY | {"manager": 5}], [ENTRY | {"time": "yesterday"}]])
async def test_what_is_no_list_of_entries_is_refused(api, entries) -> None:
    status, _ = await api("POST", f"{CORE}/configmaps", configmap(managedFields=entries))
    assert status in (400, 422)


async def test_an_applied_configuration_brings_no_entries(api) -> None:
    path = f"{CORE}/configmaps/c?fieldManager=one"
    for entries in ([ENTRY], INVALID[0]):
        refused = await api("PATCH", path, configmap(managedFields=entries), code=400, content_type=APPLY)
        assert "managedFields must be nil" in refused["message"]


async def test_a_manager_whose_name_is_too_long_is_refused(api) -> None:
    entries = [ENTRY | {"manager": "m" * 129}]
    refused = await api("POST", f"{CORE}/configmaps", configmap(managedFields=entries), code=422)
    assert refused["details"]["causes"][0]["field"] == "metadata.managedFields[0].manager"
