"""What a CustomResourceDefinition may say, over the API."""

import asyncio

import pytest
from tests.unit.engine.crds import CRDS, WIDGETS, crd, version, widget

MERGE = {"content-type": "application/merge-patch+json"}
WIDGET = f"{CRDS}/widgets.example.org"


def changed(path: str, value):
    made = crd()
    *parents, last = path.split(".")
    at = made["spec"]
    for parent in parents:
        at = at[parent]
    at[last] = value
    made["metadata"]["name"] = f"{made['spec']['names']['plural']}.{made['spec']['group']}"
    return made


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("scope", "Zz", 'spec.scope: Unsupported value: "Zz"'),
        ("group", "example", "should be a domain with at least one dot"),
        ("group", "example.k8s.io", "protected groups must have approval annotation"),
        ("names.kind", "9Widget", "spec.names.kind: Invalid value"),
        ("names.listKind", "Widget", "kind and listKind may not be the same"),
        ("names.shortNames", ["W"], "spec.names.shortNames[0]"),
        ("names.plural", "wid.gets", "spec.names.plural: Invalid value"),
        ("versions", [version("V_1")], "spec.versions[0].name: Invalid value"),
        ("versions", [version("v1"), version("v1", storage=False)], "must contain unique version names"),
        ("conversion", {"strategy": "Zz"}, "spec.conversion.strategy: Unsupported value"),
        ("conversion", {"strategy": "Webhook"}, "spec.conversion.webhook.clientConfig: Required value"),
    ],
)
async def test_a_definition_that_kubernetes_refuses_is_refused(api, path, value, message) -> None:
    refused = await api("POST", CRDS, changed(path, value), code=422)
    assert message in refused["message"]


async def test_a_version_in_which_objects_may_lie_cannot_be_dropped(api) -> None:
    await api("POST", CRDS, crd(version("v1")), code=201)
    await api("POST", WIDGETS, widget(), code=201)
    both = {"spec": {"versions": [version("v1", storage=False), version("v2")]}}
    await api("PATCH", WIDGET, both, code=200, **MERGE)
    only = {"spec": {"versions": [version("v2")]}}
    refused = await api("PATCH", WIDGET, only, code=422, **MERGE)
    assert 'status.storedVersions[0]: Invalid value: "v1": must appear in spec.versions' in refused["message"]
    forgotten = {"status": {"storedVersions": ["v1"]}}
    refused = await api("PATCH", f"{WIDGET}/status", forgotten, code=422, **MERGE)
    assert "must have the storage version v2" in refused["message"]
    await api("PATCH", f"{WIDGET}/status", {"status": {"storedVersions": ["v2"]}}, code=200, **MERGE)
    await api("PATCH", WIDGET, only, code=200, **MERGE)
    assert (await api("GET", f"{WIDGETS.replace('v1', 'v2')}/w", code=200))["apiVersion"] == "example.org/v2"


async def test_objects_of_an_older_storage_version_are_read_and_written_in_every_version(api) -> None:
    await api("POST", CRDS, crd(version("v1"), version("v2", storage=False)), code=201)
    await api("POST", WIDGETS, widget(a=1), code=201)
    switched = {"spec": {"versions": [version("v1", storage=False), version("v2"), version("v3", storage=False)]}}
    await api("PATCH", WIDGET, switched, code=200, **MERGE)
    row = api.server.store.table("widgets.example.org").list(None)[0]
    assert row.decode()["apiVersion"] == "example.org/v1"
    for name in ("v1", "v2", "v3"):
        path, wanted = WIDGETS.replace("v1", name), f"example.org/{name}"
        assert (await api("GET", f"{path}/w", code=200))["apiVersion"] == wanted
        assert [w["apiVersion"] for w in (await api("GET", path, code=200))["items"]] == [wanted]
        table = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
        rows = (await api("GET", f"{path}?includeObject=Object", code=200, **table))["rows"]
        assert rows[0]["object"]["apiVersion"] == wanted
    for name in ("v1", "v3"):
        path, wanted = f"{WIDGETS.replace('v1', name)}/w", f"example.org/{name}"
        patched = await api("PATCH", path, {"spec": {name: True}}, code=200, **MERGE)
        assert patched["apiVersion"] == wanted and patched["spec"][name] is True
        assert (await api("PUT", path, patched, code=200))["apiVersion"] == wanted
        applied = {"apiVersion": wanted, "kind": "Widget", "spec": {"by": name}}
        query, media = "?fieldManager=me&force=true", {"content-type": "application/apply-patch+yaml"}
        assert (await api("PATCH", f"{path}{query}", applied, code=200, **media))["apiVersion"] == wanted
        operations = [{"op": "test", "path": "/apiVersion", "value": wanted}]
        await api("PATCH", path, operations, code=200, **{"content-type": "application/json-patch+json"})
    row = api.server.store.table("widgets.example.org").list(None)[0]
    assert row.decode()["apiVersion"] == "example.org/v2" and row.decode()["spec"]["a"] == 1


async def test_an_update_that_changes_nothing_brings_an_object_into_the_storage_version(api) -> None:
    await api("POST", CRDS, crd(version("v1"), version("v2", storage=False)), code=201)
    made = await api("POST", WIDGETS, widget(a=1), code=201)
    await api("PATCH", WIDGET, {"spec": {"versions": [version("v1", storage=False), version("v2")]}}, code=200, **MERGE)
    again = await api("PUT", f"{WIDGETS}/w", made, code=200)  # as storage version migrators do
    assert api.server.store.table("widgets.example.org").list(None)[0].decode()["apiVersion"] == "example.org/v2"
    assert again["metadata"]["generation"] == 1 and again["apiVersion"] == "example.org/v1"
    revision = again["metadata"]["resourceVersion"]
    assert (await api("PUT", f"{WIDGETS}/w", again, code=200))["metadata"]["resourceVersion"] == revision


async def until_gone(api, path: str) -> None:
    for _ in range(100):
        status, _ = await api("GET", path)
        if status == 404:
            return
        await asyncio.sleep(0.03)
    pytest.fail(f"{path} is still there")


async def test_a_definition_that_goes_takes_its_objects_along_and_no_new_ones(api) -> None:
    await api("POST", CRDS, crd(), code=201)
    kept = widget()
    kept["metadata"]["finalizers"] = ["example.org/wait"]
    await api("POST", WIDGETS, kept, code=201)
    gone = await api("DELETE", WIDGET, code=200)
    assert gone["status"]["conditions"][-1]["type"] == "Terminating"
    await api("PATCH", WIDGET, {"metadata": {"labels": {"a": "b"}}}, code=200, **MERGE)
    assert (await api("GET", WIDGET, code=200))["status"]["conditions"][-1]["type"] == "Terminating"
    refused = await api("POST", WIDGETS, widget("new"), code=405)
    assert "while custom resource definition is terminating" in refused["message"]
    await api("PATCH", f"{WIDGETS}/w", {"metadata": {"finalizers": None}}, code=200, **MERGE)
    await until_gone(api, WIDGET)
    await api("POST", CRDS, crd(), code=201)
    assert (await api("GET", WIDGETS, code=200))["items"] == []


async def test_a_definition_over_a_built_in_kind_can_be_deleted_and_the_kind_stays(api) -> None:
    theirs = crd()
    theirs["metadata"]["name"] = "virtualmachines.kubevirt.io"
    names = {"plural": "virtualmachines", "kind": "VirtualMachine"}
    theirs["spec"] |= {"group": "kubevirt.io", "names": names}
    await api("POST", CRDS, theirs, code=201)
    machines = "/apis/kubevirt.io/v1/namespaces/default/virtualmachines"
    spec = {"runStrategy": "Halted", "template": {"spec": {"domain": {"memory": {"guest": "64Mi"}, "devices": {}}}}}
    await api("POST", machines, {"metadata": {"name": "m"}, "spec": spec}, code=201)
    await api("DELETE", f"{CRDS}/virtualmachines.kubevirt.io", code=200)
    await until_gone(api, f"{CRDS}/virtualmachines.kubevirt.io")
    assert len((await api("GET", machines, code=200))["items"]) == 1
