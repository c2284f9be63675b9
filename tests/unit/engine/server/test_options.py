"""Options that contradict themselves, and the forms in which people want their answers."""

import orjson
import pytest
import yaml
from tests.unit.engine import crds

CM = "/api/v1/namespaces/default/configmaps"
FORBIDDEN = "resourceVersionMatch: Forbidden: "


@pytest.mark.parametrize(
    ("method", "query", "message"),
    [
        ("GET", "resourceVersionMatch=Exact", f"{FORBIDDEN}resourceVersionMatch is forbidden unless resourceVersion"),
        ("GET", "resourceVersionMatch=Exact&resourceVersion=0", 'is forbidden for resourceVersion "0"'),
        ("GET", "resourceVersionMatch=Near&resourceVersion=1", 'Unsupported value: "Near"'),
        ("GET", "sendInitialEvents=true", "sendInitialEvents is forbidden for list"),
        ("GET", "watch=1&sendInitialEvents=true", "sendInitialEvents requires setting resourceVersionMatch"),
        ("GET", "watch=1&resourceVersionMatch=NotOlderThan", "forbidden for watch unless sendInitialEvents"),
        ("POST", "dryRun=Some", 'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]'),
        ("POST", "fieldValidation=Hard", 'fieldValidation: Unsupported value: "Hard"'),
        ("POST", f"fieldManager={'m' * 129}", "fieldManager: Too long"),
        ("DELETE", "propagationPolicy=Away", 'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy'),
    ],
)
async def test_options_that_cannot_be_are_invalid(api, method, query, message) -> None:
    body = {"metadata": {"name": "a"}} if method == "POST" else None
    refused = await api(method, f"{CM}{'/a' if method == 'DELETE' else ''}?{query}", body, code=422)
    assert refused["reason"] == "Invalid" and message in refused["message"]


@pytest.mark.parametrize(
    ("media", "query", "message"),
    [
        ("application/merge-patch+json", "force=true", "force: Forbidden: may not be specified for non-apply patch"),
        ("application/apply-patch+yaml", "", "fieldManager: Required value: is required for apply patch"),
    ],
)
async def test_options_of_a_patch(api, media, query, message) -> None:
    await api("POST", CM, {"metadata": {"name": "a"}}, code=201)
    refused = await api("PATCH", f"{CM}/a?{query}", {"data": {}}, code=422, content_type=media)
    assert message in refused["message"]


async def text(api, path: str, **headers: str) -> tuple[str, str]:
    headers = {"authorization": f"Bearer {api.token}"} | {k.replace("_", "-"): v for k, v in headers.items()}
    async with api.session.get(path, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        return answer.content_type, await answer.text()


async def test_pretty_is_for_who_asks_for_it_and_for_curl(api) -> None:
    assert "\n" not in (await text(api, CM))[1]
    assert '{\n  "kind"' in (await text(api, f"{CM}?pretty=true"))[1]
    assert '{\n  "kind"' in (await text(api, CM, user_agent="curl/8.0"))[1]
    assert '{\n  "swagger"' in (await text(api, "/openapi/v2", user_agent="curl/8.0", accept_encoding="identity"))[1]
    assert '{"swagger"' in (await text(api, "/openapi/v2", user_agent="curl/8.0", accept_encoding="gzip"))[1]
    assert "\n" not in (await text(api, f"{CM}?pretty=false", user_agent="curl/8.0"))[1]


async def test_yaml_is_the_same_object_in_other_words(api) -> None:
    await api("POST", CM, {"metadata": {"name": "a"}, "data": {"k": "é\nb", "n": "1"}}, code=201)
    kind, shown = await text(api, f"{CM}/a", accept="application/yaml")
    assert kind == "application/yaml"
    assert yaml.safe_load(shown) == orjson.loads((await text(api, f"{CM}/a"))[1])
    assert (await text(api, f"{CM}/a", accept="application/json,application/yaml"))[0] == "application/json"


async def test_a_watch_is_not_answered_in_yaml(api) -> None:
    await api("GET", f"{CM}?watch=1", code=406, accept="application/yaml")


async def test_the_first_form_that_is_known_is_answered_and_none_is_406(api) -> None:
    table = "application/json;as=Table;g=meta.k8s.io;v="
    shown = await api("GET", CM, code=200, accept=f"{table}v9,{table}v1beta1,application/json")
    assert shown["apiVersion"] == "meta.k8s.io/v1beta1" and shown["kind"] == "Table"
    await api("GET", CM, code=406, accept=f"{table}v9")
    await api("GET", CM, code=406, accept="application/json;as=Table;g=wrong;v=v1")


async def test_each_version_of_a_crd_has_columns_of_its_own(api) -> None:
    size = {"name": "Size", "type": "integer", "jsonPath": ".spec.size"}
    colour = {"name": "Colour", "type": "string", "jsonPath": ".spec.colour"}
    newer = crds.version("v1", additionalPrinterColumns=[size])
    older = crds.version("v1beta1", storage=False, additionalPrinterColumns=[colour])
    await api("POST", crds.CRDS, crds.crd(newer, older), code=201)
    await api("POST", crds.WIDGETS, crds.widget(size=3, colour="red"), code=201)
    for path, name, cell in ((crds.WIDGETS, "Size", 3), (crds.WIDGETS.replace("v1", "v1beta1"), "Colour", "red")):
        for _ in range(2):
            shown = await api("GET", path, code=200, accept="application/json;as=Table;g=meta.k8s.io;v=v1")
            assert [c["name"] for c in shown["columnDefinitions"]] == ["Name", name]
            assert shown["rows"][0]["cells"] == ["w", cell]


async def test_a_deprecated_version_warns_in_its_own_words(api) -> None:
    old = crds.version("v1beta1", storage=False, deprecated=True, deprecationWarning="widgets are v1 now")
    oldest = crds.version("v1alpha1", storage=False, deprecated=True)
    await api("POST", crds.CRDS, crds.crd(crds.version(), old, oldest), code=201)
    warnings = {}
    for name in ("v1", "v1beta1", "v1alpha1"):
        await api("GET", crds.WIDGETS.replace("/v1/", f"/{name}/"), code=200)
        warnings[name] = api.headers.get("warning", "")
    assert warnings == {
        "v1": "",
        "v1beta1": '299 - "widgets are v1 now"',
        "v1alpha1": '299 - "example.org/v1alpha1 Widget is deprecated"',
    }
    await api("GET", "/api/v1/namespaces/default/endpoints", code=200)
    assert "use discovery.k8s.io/v1 EndpointSlice" in api.headers["warning"]
