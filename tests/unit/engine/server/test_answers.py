"""gzip, metrics, paged lists of the past, impersonated service accounts, watches that end, over a whole server."""

import asyncio
import gzip

import aiohttp
import orjson

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
BIG = {"data": {"x": "y" * 200_000}}


async def test_large_answers_are_gzipped_for_who_takes_it(api) -> None:
    await api("POST", CONFIGMAPS, {"metadata": {"name": "big"}} | BIG, code=201)
    headers = {"authorization": f"Bearer {api.token}"}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{api.port}", auto_decompress=False) as session:
        async with session.get(f"{CONFIGMAPS}/big", headers=headers | {"accept-encoding": "gzip"}) as answer:
            packed = await answer.read()
            assert answer.headers["content-encoding"] == "gzip" and answer.headers["vary"] == "Accept-Encoding"
        async with session.get(f"{CONFIGMAPS}/big", headers=headers | {"accept-encoding": "gzip;q=0"}) as answer:
            plain = await answer.read()
            assert "content-encoding" not in answer.headers
    assert len(packed) < len(plain) / 50 and gzip.decompress(packed) == plain


async def test_requests_are_counted_and_invented_paths_make_no_labels(api) -> None:
    await api("GET", CONFIGMAPS, code=200)
    await api("GET", "/apis/invented.example/v1/inventions", code=404)
    await api("GET", "/apis/invented.example/v1/inventions", code=401, authorization="")
    await api("GET", "/apis/invented.example/v1/inventions", code=403, user="nobody")
    text = await api("GET", "/metrics", code=200)
    assert 'apiserver_request_total{code="200",group="",resource="configmaps",verb="list"}' in text
    assert 'apiserver_request_duration_seconds_bucket{le="+Inf",verb="list"}' in text
    assert "invented" not in text and "inventions" not in text


async def test_an_object_that_is_not_there_is_counted_under_its_resource(api) -> None:
    await api("GET", f"{CONFIGMAPS}/nothing", code=404)
    text = await api("GET", "/metrics", code=200)
    assert 'apiserver_request_total{code="404",group="",resource="configmaps",verb="get"}' in text


async def test_health_tells_its_checks_and_leaves_out_what_it_is_told_to(api) -> None:
    assert await api("GET", "/readyz", code=200) == "ok"
    told = await api("GET", "/readyz?verbose", code=200)
    assert told == "[+]ping ok\n[+]etcd ok\n[+]startup ok\nreadyz check passed\n"
    assert await api("GET", "/livez/ping", code=200) == "ok"
    await api("GET", "/livez/nothing", code=404)
    api.server.ready = False
    assert "[-]startup failed" in await api("GET", "/readyz", code=500)
    assert "[+]startup excluded: ok" in await api("GET", "/readyz?exclude=startup&exclude=etcd&verbose", code=200)
    assert await api("GET", "/livez", code=200) == "ok"


async def test_a_scale_is_shown_as_a_table_too(api) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 3, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    path = "/apis/apps/v1/namespaces/default/deployments"
    await api("POST", path, {"metadata": {"name": "d"}, "spec": spec}, code=201)
    table = await api("GET", f"{path}/d/scale", code=200, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert [c["name"] for c in table["columnDefinitions"]] == ["Name", "Desired", "Available", "Age"]
    assert table["rows"][0]["cells"][:3] == ["d", 3, 0] and table["rows"][0]["object"]["metadata"]["name"] == "d"
    assert (await api("GET", f"{path}/d/scale", code=200))["spec"] == {"replicas": 3}


async def test_pages_show_one_revision_and_read_no_more_than_they_show(api, monkeypatch) -> None:
    for index in range(7):
        await api("POST", CONFIGMAPS, {"metadata": {"name": f"c{index}", "labels": {"odd": str(index % 2)}}}, code=201)
    first = await api("GET", f"{CONFIGMAPS}?limit=2", code=200)
    assert first["metadata"]["remainingItemCount"] == 5
    await api("DELETE", f"{CONFIGMAPS}/c6", code=200)
    read = []
    page = api.server.store.page

    async def counted(*arguments, **named):
        rows = await page(*arguments, **named)
        read.append(len(rows))
        return rows

    monkeypatch.setattr(api.server.store, "page", counted)
    names, token, left = [], first["metadata"]["continue"], []
    while token:
        answer = await api("GET", f"{CONFIGMAPS}?limit=2&continue={token}", code=200)
        names += [o["metadata"]["name"] for o in answer["items"]]
        token = answer["metadata"].get("continue")
        left.append(answer["metadata"].get("remainingItemCount"))
    assert names == ["c2", "c3", "c4", "c5", "c6"] and left == [3, 1, None]
    assert read == [3, 3, 1]


async def test_pages_of_the_past_with_a_selector_are_full(api) -> None:
    for index in range(9):
        await api("POST", CONFIGMAPS, {"metadata": {"name": f"c{index}", "labels": {"odd": str(index % 2)}}}, code=201)
    first = await api("GET", f"{CONFIGMAPS}?limit=2&labelSelector=odd%3D1", code=200)
    await api("DELETE", f"{CONFIGMAPS}/c7", code=200)
    token = first["metadata"]["continue"]
    second = await api("GET", f"{CONFIGMAPS}?limit=2&labelSelector=odd%3D1&continue={token}", code=200)
    assert [o["metadata"]["name"] for o in second["items"]] == ["c5", "c7"] and "continue" not in second["metadata"]


async def test_an_impersonated_service_account_is_in_its_groups_and_no_more(api) -> None:
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    await api("POST", f"{rbac}/clusterroles", {"metadata": {"name": "reader"}, "rules": [rule]}, code=201)
    binding = {
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reader"},
        "subjects": [{"kind": "Group", "name": "system:serviceaccounts:team"}],
    }
    await api("POST", f"{rbac}/clusterrolebindings", binding, code=201)
    await api("GET", CONFIGMAPS, user="system:serviceaccount:team:robot", code=200)
    await api("GET", CONFIGMAPS, user="system:serviceaccount:other:robot", code=403)
    await api("GET", CONFIGMAPS, user="system:serviceaccount:team:robot", code=403, impersonate_group="x")
    reviews = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    review = await api("POST", reviews, {}, user="system:serviceaccount:team:robot", code=201)
    info = review["status"]["userInfo"]
    assert info["username"] == "system:serviceaccount:team:robot"
    assert set(info["groups"]) == {"system:serviceaccounts", "system:serviceaccounts:team", "system:authenticated"}


async def test_one_needs_leave_for_every_part_of_whom_one_impersonates(api) -> None:
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    rule = {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["impersonate"], "resourceNames": ["robot"]}
    await api("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "boss"}}, code=201)
    await api("POST", f"{rbac}/namespaces/default/roles", {"metadata": {"name": "i"}, "rules": [rule]}, code=201)
    binding = {
        "metadata": {"name": "i"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "i"},
        "subjects": [{"kind": "ServiceAccount", "name": "boss", "namespace": "default"}],
    }
    await api("POST", f"{rbac}/namespaces/default/rolebindings", binding, code=201)
    tokens = "/api/v1/namespaces/default/serviceaccounts/boss/token"
    issued = await api("POST", tokens, {"spec": {"audiences": []}}, code=201)
    boss = {"authorization": f"Bearer {issued['status']['token']}"}
    reviews = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    for account, group, code in (("robot", "", 201), ("robot", "x", 403), ("other", "", 403)):
        extra = {"impersonate_group": group} if group else {}
        await api("POST", reviews, {}, user=f"system:serviceaccount:default:{account}", code=code, **boss, **extra)


def crd(plural: str, kind: str, **names) -> dict:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    named = {"plural": plural, "kind": kind} | names
    spec = {"group": "example.org", "scope": "Namespaced", "names": named, "versions": [version]}
    return {"metadata": {"name": f"{plural}.example.org"}, "spec": spec}


def conditions(obj: dict) -> dict[str, str]:
    return {c["type"]: c["status"] for c in obj["status"]["conditions"]}


async def test_a_name_that_is_taken_waits_until_it_is_free(api) -> None:
    await api("POST", CRDS, crd("apples", "Apple", shortNames=["a"]), code=201)
    second = await api("POST", CRDS, crd("avocados", "Apple", shortNames=["a", "av"]), code=201)
    assert conditions(second) == {"NamesAccepted": "False", "Established": "False"}
    assert second["status"]["acceptedNames"] == {"plural": "avocados"}
    objects = "/apis/example.org/v1/namespaces/default/avocados"
    await api("GET", objects, code=404)
    await api("DELETE", f"{CRDS}/apples.example.org", code=200)
    for _ in range(100):
        if (await api("GET", objects))[0] == 200:
            break
        await asyncio.sleep(0.02)
    free = await api("GET", f"{CRDS}/avocados.example.org", code=200)
    assert conditions(free) == {"NamesAccepted": "True", "Established": "True"}


async def test_the_watches_of_a_kind_that_is_removed_end(api) -> None:
    await api("POST", CRDS, crd("pears", "Pear"), code=201)
    objects = "/apis/example.org/v1/namespaces/default/pears"
    await api("POST", objects, {"metadata": {"name": "p"}}, code=201)
    headers = {"authorization": f"Bearer {api.token}"}
    types = []
    async with api.session.get(f"{objects}?watch=1", headers=headers) as answer:
        try:
            async with asyncio.timeout(5):
                async for line in answer.content:
                    types.append(orjson.loads(line)["type"])
                    if len(types) == 1:
                        await api("DELETE", f"{CRDS}/pears.example.org", code=200)
        except aiohttp.ClientPayloadError:
            pass
    assert types == ["ADDED", "DELETED"]


async def test_rules_of_a_definition_are_kept(api) -> None:
    one = crd("plums", "Plum")
    rules = [{"rule": "self.size >= oldSelf.size", "message": "plums only grow"}, {"rule": "self.size < 10"}]
    spec = {"type": "object", "properties": {"size": {"type": "integer"}}, "x-kubernetes-validations": rules}
    one["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = {"type": "object", "properties": {"spec": spec}}
    await api("POST", CRDS, one, code=201)
    objects = "/apis/example.org/v1/namespaces/default/plums"
    await api("POST", objects, {"metadata": {"name": "p"}, "spec": {"size": 12}}, code=422)
    await api("POST", objects, {"metadata": {"name": "p"}, "spec": {"size": 5}}, code=201)
    merge = {"content_type": "application/merge-patch+json"}
    await api("PATCH", f"{objects}/p", {"spec": {"size": 6}}, code=200, **merge)
    refused = await api("PATCH", f"{objects}/p", {"spec": {"size": 4}}, code=422, **merge)
    assert refused["details"]["causes"] == [
        {"reason": "FieldValueInvalid", "message": 'Invalid value: "object": plums only grow', "field": "spec"}
    ]
    await api("PATCH", f"{objects}/p", {"metadata": {"labels": {"a": "b"}}}, code=200, **merge)
    spec["x-kubernetes-validations"] = [{"rule": "self.size >"}]
    broken = one | {"metadata": {"name": "plums2.example.org"}}
    broken["spec"] = one["spec"] | {"names": {"plural": "plums2", "kind": "Plum2"}}
    assert "compilation failed" in (await api("POST", CRDS, broken, code=422))["message"]


async def test_a_job_selects_its_own_pods(api) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    jobs = "/apis/batch/v1/namespaces/default/jobs"
    job = await api("POST", jobs, {"metadata": {"name": "j"}, "spec": {"template": template}}, code=201)
    uid = job["metadata"]["uid"]
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert labels["batch.kubernetes.io/controller-uid"] == labels["controller-uid"] == uid
    assert labels["job-name"] == "j" and job["spec"]["completions"] == 1


async def test_a_collection_that_is_deleted_is_listed_in_the_form_that_was_asked_for(api) -> None:
    for name in ("a", "b"):
        await api("POST", CONFIGMAPS, {"metadata": {"name": name, "labels": {"go": "1"}}}, code=201)
    wanted = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    shown = await api("DELETE", f"{CONFIGMAPS}?labelSelector=go&dryRun=All", code=200, **wanted)
    assert [row["cells"][0] for row in shown["rows"]] == ["a", "b"]
    gone = await api("DELETE", f"{CONFIGMAPS}?labelSelector=go", code=200)
    assert gone["kind"] == "ConfigMapList" and [c["metadata"]["name"] for c in gone["items"]] == ["a", "b"]
    assert (await api("GET", f"{CONFIGMAPS}?labelSelector=go", code=200))["items"] == []
