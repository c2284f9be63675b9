"""fieldValidation: what kube-apiserver's strict decoding lists, for typed objects and for custom ones."""

import pytest
from tests.unit.engine import crds

APPS = "/apis/apps/v1/namespaces/default/deployments"
TYPED = (
    b'{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"spec":{"unknown1":"a","unknownDupe":"b",'
    b'"unknownDupe":"c","paused":true,"paused":false,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":'
    b'{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i","unknownNested":1,"imagePullPolicy":"Always",'
    b'"imagePullPolicy":"Never"}]}}}}'
)
CUSTOM = (
    b'{"apiVersion":"example.org/v1","kind":"Widget","metadata":{"name":"w"},'
    b'"spec":{"size":1,"size":2,"odd":1,"odd":2,"strange":3}}'
)


async def test_a_typed_object_with_unknown_and_repeated_fields(api) -> None:
    refused = await api("POST", f"{APPS}?fieldValidation=Strict", TYPED, code=400)
    for part in (
        'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: ',
        'unknown field "spec.unknown1"',
        'unknown field "spec.unknownDupe"',
        'unknown field "spec.template.spec.containers[0].unknownNested"',
        'duplicate field "spec.paused"',
        'duplicate field "spec.template.spec.containers[0].imagePullPolicy"',
    ):
        assert part in refused["message"]
    assert 'duplicate field "spec.unknownDupe"' not in refused["message"]


async def test_a_custom_object_with_unknown_and_repeated_fields(api) -> None:
    spec = {"type": "object", "properties": {"size": {"type": "integer"}}}
    await api("POST", crds.CRDS, crds.crd(crds.version(spec=spec)), code=201)
    refused = await api("POST", f"{crds.WIDGETS}?fieldValidation=Strict", CUSTOM, code=400)
    listing = ", ".join(
        f'{word} field "spec.{field}"'
        for word, field in (("duplicate", "size"), ("duplicate", "odd"), ("unknown", "odd"), ("unknown", "strange"))
    )
    assert refused["message"].endswith(f"strict decoding error: {listing}")
    made = await api("POST", f"{crds.WIDGETS}?fieldValidation=Warn", CUSTOM, code=201)
    assert made["spec"] == {"size": 2}
    assert api.headers.getall("warning") == [
        '299 - "duplicate field \\"spec.size\\""',
        '299 - "duplicate field \\"spec.odd\\""',
        '299 - "unknown field \\"spec.odd\\""',
        '299 - "unknown field \\"spec.strange\\""',
    ]


async def test_ignored_validation_says_nothing(api) -> None:
    await api("POST", f"{APPS}?fieldValidation=Ignore", TYPED, code=201)
    assert "warning" not in api.headers


async def test_repeated_fields_alone_are_refused_too(api) -> None:
    body = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"a":"1","a":"2"}}'
    path = "/api/v1/namespaces/default/configmaps?fieldValidation=Strict"
    refused = await api("POST", path, body, code=400)
    assert 'strict decoding error: duplicate field "data.a"' in refused["message"]


@pytest.mark.parametrize("subresource", ["exec", "attach", "portforward", "ephemeralcontainers", "resize", "proxy"])
async def test_what_discovery_lists_and_nobody_here_can_do_says_so(api, subresource) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    await api("POST", "/api/v1/namespaces/default/pods", pod, code=201)
    refused = await api("GET", f"/api/v1/namespaces/default/pods/p/{subresource}", code=405)
    assert refused["reason"] == "MethodNotAllowed" and "the server does not allow" not in refused["message"]
