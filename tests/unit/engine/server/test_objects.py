"""Objects through the whole server: what is kept, what is refused, what counts as a change."""

import asyncio

import orjson
import pytest

CM = "/api/v1/namespaces/default/configmaps"
VMS = "/apis/kubevirt.io/v1/namespaces/default/virtualmachines"
MERGE = {"content-type": "application/merge-patch+json"}
JSON_PATCH = {"content-type": "application/json-patch+json"}


def vm(name: str = "one", **spec) -> dict:
    template = {"spec": {"domain": {"memory": {"guest": "64Mi"}, "devices": {}}}}
    return {"metadata": {"name": name}, "spec": {"runStrategy": "Halted", "template": template} | spec}


async def test_a_write_that_changes_nothing_writes_nothing(api) -> None:
    first = await api("POST", VMS, vm(), code=201)
    again = await api("PATCH", f"{VMS}/one", {"spec": {"runStrategy": "Halted"}}, code=200, **MERGE)
    put = await api("PUT", f"{VMS}/one", first, code=200)
    assert first == again == put


async def test_one_and_true_are_two_values(api) -> None:
    crd = {
        "metadata": {"name": "xs.example.org"},
        "spec": {
            "group": "example.org",
            "scope": "Namespaced",
            "names": {"plural": "xs", "kind": "X"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}],
        },
    }  # fmt: skip
    await api("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd, code=201)
    xs = "/apis/example.org/v1/namespaces/default/xs"
    await api("POST", xs, {"metadata": {"name": "a"}, "spec": {"on": True}}, code=201)
    changed = await api("PATCH", f"{xs}/a", {"spec": {"on": 1}}, code=200, **MERGE)
    assert changed["spec"]["on"] is not True and changed["metadata"]["generation"] == 2


async def test_the_spec_counts_generations_and_metadata_and_status_do_not(api) -> None:
    await api("POST", VMS, vm(), code=201)
    labelled = await api("PATCH", f"{VMS}/one", {"metadata": {"labels": {"a": "b"}}}, code=200, **MERGE)
    status = await api("PATCH", f"{VMS}/one/status", {"status": {"ready": True}}, code=200, **MERGE)
    assert labelled["metadata"]["generation"] == status["metadata"]["generation"] == 1
    assert status["status"]["ready"] is True
    changed = await api("PATCH", f"{VMS}/one", {"spec": {"runStrategy": "Manual"}, "status": {}}, code=200, **MERGE)
    assert changed["metadata"]["generation"] == 2 and changed["status"]["ready"] is True


async def test_the_status_endpoint_changes_nothing_else(api) -> None:
    await api("POST", VMS, vm() | {"status": {"ready": True}}, code=201)
    assert "status" not in await api("GET", f"{VMS}/one", code=200), "a status is not created with the object"
    patch = {
        "metadata": {"labels": {"x": "y"}, "finalizers": ["a/b"]},
        "spec": {"runStrategy": "Manual"},
        "status": {"created": True},
    }
    after = await api("PATCH", f"{VMS}/one/status", patch, code=200, **MERGE)
    assert (
        after["spec"]["runStrategy"] == "Halted"
        and after["status"]["created"] is True
        and "ready" not in after["status"]
    )
    assert "labels" not in after["metadata"] and "finalizers" not in after["metadata"]


async def test_dry_run_checks_everything_and_stores_nothing(api) -> None:
    await api("POST", f"{CM}?dryRun=All", {"metadata": {"name": "a"}}, code=201)
    await api("GET", f"{CM}/a", code=404)
    await api("POST", f"{CM}?dryRun=Some", {"metadata": {"name": "a"}}, code=422)
    await api("POST", CM, {"metadata": {"name": "a"}}, code=201)
    await api("DELETE", f"{CM}/a", {"dryRun": ["All"]}, code=200)
    await api("PATCH", f"{CM}/a?dryRun=All", {"data": {"x": "1"}}, code=200, **MERGE)
    assert "data" not in await api("GET", f"{CM}/a", code=200)


async def test_preconditions_of_a_deletion(api) -> None:
    made = await api("POST", CM, {"metadata": {"name": "a"}}, code=201)
    await api("DELETE", f"{CM}/a", {"preconditions": {"uid": "other"}}, code=409)
    await api("DELETE", f"{CM}/a", {"preconditions": {"resourceVersion": "1"}}, code=409)
    await api("DELETE", f"{CM}/a", {"preconditions": {"uid": made["metadata"]["uid"]}}, code=200)


@pytest.mark.parametrize(
    "body",
    [
        {"metadata": []},
        {"metadata": {"name": "a", "labels": "x"}},
        {"metadata": {"name": "a", "labels": {"x": 1}}},
        {"metadata": {"name": "a", "ownerReferences": {}}},
        {"metadata": {"name": 7}},
        {"metadata": {"name": "a", "annotations": ["x"]}},
        {"metadata": {"name": "a"}, "spec": []},
        {"metadata": {"name": "a"}, "spec": {"template": "x"}},
        {"metadata": {"name": "a"}, "spec": {"runStrategy": 5, "template": {"spec": {"domain": []}}}},
        {"metadata": {"name": "a"}, "spec": {"running": True, "template": {"spec": {"volumes": {"x": 1}}}}},
        {"metadata": {"name": "a"}, "spec": {"instancetype": "x", "template": {}}},
        {"metadata": {"generateName": 3}},
        [],
        None,
    ],
)
async def test_an_object_of_the_wrong_shape_is_refused_and_never_our_fault(api, body) -> None:
    for path in (
        VMS,
        VMS.replace("machines", "machineinstances"),
        "/api/v1/namespaces/default/pods",
        "/api/v1/namespaces/default/services",
    ):
        status, answer = await api("POST", path, orjson.dumps(body))
        assert status in (400, 422), (path, answer)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", f"{CM}/kube", {"preconditions": "x"}),
        ("DELETE", f"{CM}/kube", {"gracePeriodSeconds": "soon"}),
        ("GET", f"{CM}?limit=many", None),
        ("GET", f"{CM}?watch=1&timeoutSeconds=x", None),
        ("GET", f"{CM}?watch=perhaps", None),
        ("GET", f"{CM}?continue=x", None),
        ("GET", f"{CM}?resourceVersion=-1", None),
        ("GET", f"{CM}?labelSelector=%21%21", None),
        ("GET", f"{CM}?" + "a=b&" * 2000, None),
        ("POST", "/api/v1/namespaces/default/pods/p/binding", {"target": "x"}),
        ("PUT", "/apis/subresources.kubevirt.io/v1/namespaces/default/expand-vm-spec", {"spec": 1}),
    ],
)
async def test_nonsense_in_a_request_is_a_bad_request(api, method, path, body) -> None:
    status, answer = await api(method, path, body)
    assert status == 400, answer


async def events(api, query: str, count: int) -> list[dict]:
    headers = {"authorization": f"Bearer {api.token}"}
    out = []
    async with api.session.get(f"{CM}?watch=1&{query}", headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        async for line in answer.content:
            out.append(orjson.loads(line))
            if len(out) == count:
                return out
    return out


async def test_a_selector_sees_objects_come_and_go_by_their_labels(api) -> None:
    start = (await api("GET", CM, code=200))["metadata"]["resourceVersion"]
    await api("POST", CM, {"metadata": {"name": "a", "labels": {"x": "1"}}}, code=201)
    await api("PATCH", f"{CM}/a", {"metadata": {"labels": {"x": "2"}}}, code=200, **MERGE)
    await api("PATCH", f"{CM}/a", {"metadata": {"labels": {"x": "1"}}}, code=200, **MERGE)
    await api("DELETE", f"{CM}/a", code=200)
    last = await api("POST", CM, {"metadata": {"name": "a", "labels": {"x": "1"}}}, code=201)
    seen = await events(api, f"labelSelector=x%3D1&resourceVersion={start}", 5)
    assert [e["type"] for e in seen] == ["ADDED", "DELETED", "ADDED", "DELETED", "ADDED"]
    revisions = [int(e["object"]["metadata"]["resourceVersion"]) for e in seen]
    assert revisions == sorted(set(revisions)) and str(revisions[-1]) == last["metadata"]["resourceVersion"]


async def test_a_long_list_and_a_long_history_reach_a_watcher_whole(api) -> None:
    start = (await api("GET", CM, code=200))["metadata"]["resourceVersion"]
    there = len((await api("GET", CM, code=200))["items"])
    text = "x" * 20_000
    bodies = [{"metadata": {"name": f"c{i}"}, "data": {"t": text}} for i in range(1200)]
    await asyncio.gather(*(api("POST", CM, body, code=201) for body in bodies))
    history = await asyncio.wait_for(events(api, f"resourceVersion={start}", 1200), 20)
    assert {e["object"]["metadata"]["name"] for e in history} == {f"c{i}" for i in range(1200)}
    initial = await asyncio.wait_for(events(api, "resourceVersion=0", 1200 + there), 20)
    assert len({e["object"]["metadata"]["name"] for e in initial}) == 1200 + there


async def test_initial_events_end_with_a_bookmark(api) -> None:
    there = len((await api("GET", CM, code=200))["items"])
    query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    last = (await events(api, query, there + 1))[-1]
    assert last["type"] == "BOOKMARK"
    assert last["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_history_that_is_gone_is_an_event_that_says_so(api) -> None:
    await api("POST", CM, {"metadata": {"name": "a"}}, code=201)
    await api.server.store.compact(api.server.store.revision)
    (event,) = await events(api, "resourceVersion=1", 5)
    assert event["type"] == "ERROR" and event["object"]["code"] == 410


async def test_pages_go_on_after_their_revision_is_gone(api) -> None:
    for name in "abcd":
        await api("POST", CM, {"metadata": {"name": name}}, code=201)
    first = await api("GET", f"{CM}?limit=2", code=200)
    await api("DELETE", f"{CM}/d", code=200)
    await api.server.store.compact(api.server.store.revision)
    gone = await api("GET", f"{CM}?limit=2&continue={first['metadata']['continue']}", code=410)
    rest = await api("GET", f"{CM}?continue={gone['metadata']['continue']}", code=200)
    left = {o["metadata"]["name"] for o in rest["items"]}
    assert "c" in left and "d" not in left


async def test_a_service_gets_an_address_of_its_own_and_keeps_it(api) -> None:
    services = "/api/v1/namespaces/default/services"
    spec = {"ports": [{"port": 80}], "selector": {"a": "b"}}
    bodies = [{"metadata": {"name": f"s{i}"}, "spec": spec | {"type": "NodePort"}} for i in range(8)]
    made = await asyncio.gather(*(api("POST", services, body, code=201) for body in bodies))
    addresses = {s["spec"]["clusterIP"] for s in made}
    assert len(addresses) == 8 and all(a.startswith("10.43.") for a in addresses)
    assert len({s["spec"]["ports"][0]["nodePort"] for s in made}) == 8
    put = made[0] | {"spec": spec | {"type": "NodePort"}}
    assert (await api("PUT", f"{services}/s0", put, code=200))["spec"]["clusterIP"] == made[0]["spec"]["clusterIP"]
    moved = {"spec": {"clusterIP": "10.43.9.9", "clusterIPs": ["10.43.9.9"]}}
    assert "may not change once set" in (await api("PATCH", f"{services}/s0", moved, code=422, **MERGE))["message"]
    taken = {"metadata": {"name": "t"}, "spec": spec | {"clusterIP": made[1]["spec"]["clusterIP"]}}
    assert "already allocated" in (await api("POST", services, taken, code=422))["message"]


async def test_a_virtual_machine_that_cannot_be_is_refused_with_every_reason(api) -> None:
    wrong = vm(running=True)
    spec = wrong["spec"]["template"]["spec"]
    spec["domain"]["devices"] = {"disks": [{"name": "ghost", "disk": {"bus": "ide"}}], "interfaces": [{"name": "n"}]}
    spec["networks"] = [{"name": "m", "multus": {}}]
    spec["volumes"] = [{"name": "v"}, {"name": "v", "emptyDisk": {"capacity": "1Gi"}}]
    causes = (await api("POST", VMS, wrong, code=422))["details"]["causes"]
    fields = {c["field"] for c in causes}
    where = "spec.template.spec"
    assert fields >= {
        "spec.running", f"{where}.volumes[0]", f"{where}.volumes[1].name",
        f"{where}.domain.devices.disks[0].name", f"{where}.domain.devices.disks[0].disk.bus",
        f"{where}.domain.devices.interfaces[0].name", f"{where}.networks[0].name",
    }, fields  # fmt: skip


async def test_an_instance_type_may_be_missing_but_must_not_conflict(api) -> None:
    missing = vm(instancetype={"name": "nope"}) | {"metadata": {"name": "early"}}
    await api("POST", VMS, missing, code=201)
    types = "/apis/instancetype.kubevirt.io/v1beta1/virtualmachineclusterinstancetypes"
    await api(
        "POST", types, {"metadata": {"name": "s"}, "spec": {"cpu": {"guest": 1}, "memory": {"guest": "1Gi"}}}, code=201
    )
    causes = (await api("POST", VMS, vm(instancetype={"name": "s"}), code=422))["details"]["causes"]
    assert causes[0]["field"] == "spec.template.spec.domain.memory.guest"
    good = vm(instancetype={"name": "s"})
    del good["spec"]["template"]["spec"]["domain"]["memory"]
    made = await api("POST", VMS, good, code=201)
    assert made["spec"]["instancetype"]["kind"] == "VirtualMachineClusterInstancetype"
    base = "/apis/subresources.kubevirt.io/v1/namespaces/default"
    expanded = await api("GET", f"{base}/virtualmachines/one/expand-spec", code=200)
    assert expanded["spec"]["template"]["spec"]["domain"]["memory"]["guest"] == "1Gi"
    given = await api("PUT", f"{base}/expand-vm-spec", good | {"kind": "VirtualMachine"}, code=200)
    assert "instancetype" not in given["spec"]


async def test_deprecated_versions_and_fields_are_warned_about(api) -> None:
    old = vm() | {"spec": {k: v for k, v in vm()["spec"].items() if k != "runStrategy"} | {"running": False}}
    made = await api("POST", VMS.replace("/v1/", "/v1alpha3/"), old, code=201)
    warnings = " ".join(api.headers.getall("Warning"))
    assert "kubevirt.io/v1alpha3 VirtualMachine is deprecated" in warnings and "spec.running is deprecated" in warnings
    assert made["apiVersion"] == "kubevirt.io/v1alpha3"


async def test_volumes_are_added_and_removed_by_the_subresources(api) -> None:
    await api("POST", VMS, vm(), code=201)
    base = "/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachines/one"
    options = {"name": "d", "volumeSource": {"persistentVolumeClaim": {"claimName": "c"}}}
    await api("PUT", f"{base}/addvolume", options, code=202)
    spec = (await api("GET", f"{VMS}/one", code=200))["spec"]["template"]["spec"]
    assert spec["volumes"] == [{"name": "d", "persistentVolumeClaim": {"claimName": "c", "hotpluggable": True}}]
    await api("PUT", f"{base}/addvolume", options, code=409)
    await api("PUT", f"{base}/removevolume", {"name": "d"}, code=202)
    await api("PUT", f"{base}/removevolume", {"name": "d"}, code=409)


async def test_kubevirts_root_paths_answer(api) -> None:
    root = "/apis/subresources.kubevirt.io/v1"
    assert (await api("GET", f"{root}/version", code=200))["gitVersion"] == "v1.9.0"
    await api("GET", f"{root}/healthz", code=200)
    await api("GET", f"{root}/guestfs", code=200)


async def test_a_replace_of_a_custom_resource_names_its_revision(api) -> None:
    await api("POST", VMS, vm(), code=201)
    refused = await api("PUT", f"{VMS}/one", vm(), code=422)
    assert "metadata.resourceVersion: Invalid value: 0: must be specified for an update" in refused["message"]


async def test_a_generated_name_avoids_those_that_are_taken(api, monkeypatch) -> None:
    from isthmus.machinery import names

    made = iter(["a-1", "a-1", "a-2"])
    monkeypatch.setattr(names, "generate", lambda _prefix: next(made))
    await api("POST", CM, {"metadata": {"generateName": "a-"}}, code=201)
    second = await api("POST", CM, {"metadata": {"generateName": "a-"}}, code=201)
    assert second["metadata"]["name"] == "a-2"


async def test_a_collection_is_deleted_by_selector_in_few_commits(api) -> None:
    for name in "abc":
        await api("POST", CM, {"metadata": {"name": name, "labels": {"x": name}}}, code=201)
    await api("DELETE", f"{CM}?labelSelector=x+in+(a,b)", code=200)
    assert {o["metadata"]["name"] for o in (await api("GET", CM, code=200))["items"]} & set("abc") == {"c"}


async def test_a_table_and_metadata_show_what_json_shows(api) -> None:
    made = await api("POST", VMS, vm(), code=201)
    table = await api("GET", VMS, code=200, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    again = await api("GET", VMS, code=200, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert table == again
    assert [c["name"] for c in table["columnDefinitions"]] == ["Name", "Age", "Status", "Ready"]
    (row,) = table["rows"]
    assert row["cells"][0] == "one" and row["cells"][1].endswith("s")
    assert row["object"]["metadata"] == made["metadata"]
    partial = await api("GET", VMS, code=200, accept="application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io")
    assert partial["items"][0] == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": made["metadata"],
    }


async def test_a_client_that_hangs_up_in_a_watch_is_forgotten(api) -> None:
    await api("POST", CM, {"metadata": {"name": "a"}}, code=201)
    headers = {"authorization": f"Bearer {api.token}"}
    async with api.session.get(f"{CM}?watch=1&resourceVersion=0", headers=headers) as answer:
        assert await asyncio.wait_for(answer.content.readline(), 5)
        answer.close()
    await asyncio.sleep(0.05)
    assert not api.server.store.hub._sinks.get("configmaps")


CONFIG = "/api/v1/namespaces/default/configmaps"
SECRETS = "/api/v1/namespaces/default/secrets"


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        (CONFIG, {"data": {"a": "x" * (1 << 20), "b": "x"}}, "may not be more than 1048576 bytes"),
        (CONFIG, {"data": {"a": ""}, "binaryData": {"a": "MQ=="}}, "duplicate of key present in binaryData"),
        (SECRETS, {"data": {"a": "QUFB" * 400_000}}, "may not be more than 1048576 bytes"),
        (SECRETS, {"type": "kubernetes.io/tls", "data": {"tls.crt": ""}}, "data[tls.key]: Required value"),
        (SECRETS, {"type": "kubernetes.io/dockerconfigjson"}, "data[.dockerconfigjson]: Required value"),
        (SECRETS, {"stringData": ["x"]}, "stringData"),
        (SECRETS, {"stringData": {"a": 1}}, "stringData.a"),
    ],
)
async def test_data_that_no_cluster_would_hold_is_refused(api, path, body, message) -> None:
    refused = await api("POST", path, {"metadata": {"name": "x"}, **body}, code=422)
    assert message in refused["message"]


async def test_a_secret_of_a_type_that_has_its_keys_is_stored(api) -> None:
    body = {"metadata": {"name": "t"}, "type": "kubernetes.io/tls", "stringData": {"tls.crt": "a", "tls.key": "b"}}
    made = await api("POST", SECRETS, body, code=201)
    assert made["data"] == {"tls.crt": "YQ==", "tls.key": "Yg=="} and "stringData" not in made


async def test_an_empty_entry_resets_the_managed_fields(api) -> None:
    await api("POST", CONFIG, {"metadata": {"name": "m"}, "data": {"a": "1"}}, code=201)
    reset = {"metadata": {"managedFields": [{}]}}
    after = await api("PATCH", f"{CONFIG}/m", reset, code=200, **MERGE)
    assert "managedFields" not in after["metadata"]


@pytest.mark.parametrize(("method", "path"), [("POST", f"{CONFIG}/m"), ("PUT", CONFIG), ("PATCH", CONFIG)])
async def test_a_method_that_does_not_fit_the_path_is_not_allowed(api, method, path) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}}
    await api(method, path, body, code=405)
    await api("GET", f"{CONFIG}/other", code=404)


async def test_an_object_is_no_options_of_its_deletion(api) -> None:
    made = await api("POST", CONFIG, {"metadata": {"name": "m"}}, code=201)
    refused = await api("DELETE", f"{CONFIG}/m", made, code=400)
    assert "must be of kind DeleteOptions, not ConfigMap" in refused["message"]
    await api("DELETE", f"{CONFIG}/m", {"kind": "DeleteOptions", "apiVersion": "apps/v1"}, code=200)


async def test_a_binding_sent_the_old_way_binds(api) -> None:
    spec = {"containers": [{"name": "c", "image": "i"}]}
    pods = "/api/v1/namespaces/default/pods"
    await api("POST", pods, {"metadata": {"name": "p"}, "spec": spec}, code=201)
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"name": "n"}}
    await api("POST", "/api/v1/namespaces/default/bindings", binding, code=201)
    assert (await api("GET", f"{pods}/p", code=200))["spec"]["nodeName"] == "n"
    await api("POST", "/api/v1/namespaces/default/bindings", binding, code=409)
    await api("POST", "/api/v1/namespaces/default/bindings", {"target": {"name": "n"}}, code=422)


async def test_an_apply_that_says_nothing_owns_nothing_and_writes_once(api) -> None:
    apply = {"content-type": "application/apply-patch+yaml"}
    path, empty = f"{CONFIG}/m?fieldManager=me", {"apiVersion": "v1", "kind": "ConfigMap"}
    made = await api("PATCH", path, empty, code=201, **apply)
    assert "managedFields" not in made["metadata"]
    assert await api("PATCH", path, empty, code=200, **apply) == made
