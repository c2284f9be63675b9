"""Who may do what, and what nobody may."""

import base64

import pytest

from isthmus.engine.server import agent
from isthmus.lib.home import Home
from isthmus.machinery.errors import StatusError

RBAC = "/apis/rbac.authorization.k8s.io/v1"
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/version"])
async def test_anonymous_reaches_health_and_version(api, path) -> None:
    await api("GET", path, code=200, authorization="")


@pytest.mark.parametrize(
    "path", ["/", "/api", "/apis", "/metrics", "/openapi/v3", CONFIGMAPS, "/healthz/../api/v1/pods"]
)
async def test_anonymous_reaches_nothing_else(api, path) -> None:
    assert (await api.raw(f"GET {path} HTTP/1.1\r\n\r\n".encode()))[:12] in (b"HTTP/1.1 401", b"HTTP/1.1 400")


async def test_a_bad_token_is_not_anonymous(api) -> None:
    await api("GET", "/version", code=401, authorization="Bearer nonsense")


async def test_a_token_ends_with_its_account_and_with_its_bound_object(api) -> None:
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    await api("POST", accounts, {"metadata": {"name": "robot"}}, code=201)
    await api("POST", "/api/v1/namespaces/default/secrets", {"metadata": {"name": "s"}}, code=201)
    bound = {"spec": {"boundObjectRef": {"kind": "Secret", "name": "s"}}}
    token = (await api("POST", f"{accounts}/robot/token", bound, code=201))["status"]["token"]
    await api("GET", "/version", code=200, authorization=f"Bearer {token}")
    await api("DELETE", "/api/v1/namespaces/default/secrets/s", code=200)
    await api("GET", "/version", code=401, authorization=f"Bearer {token}")


async def test_a_token_cannot_be_bound_to_another_account(api) -> None:
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    await api("POST", accounts, {"metadata": {"name": "robot"}}, code=201)
    forged = {"spec": {"boundObjectRef": {"kind": "ServiceAccount", "name": "root", "uid": ""}}}
    await api("POST", f"{accounts}/robot/token", forged, code=422)


async def test_impersonation_needs_a_permission_for_every_part(api) -> None:
    await api("GET", CONFIGMAPS, code=403, user="alice")
    grant = [{"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"], "resourceNames": ["bob"]}]
    await api("POST", f"{RBAC}/clusterroles", {"metadata": {"name": "be-bob"}, "rules": grant}, code=201)
    await bind(api, "be-bob", "alice-bob", "alice")
    alice = (await service_account(api, "alice"))["authorization"]
    await bind(api, "be-bob", "sa-bob", "system:serviceaccount:default:alice")
    reviews = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    me = await api("POST", reviews, {}, code=201, authorization=alice, user="bob")
    assert me["status"]["userInfo"]["username"] == "bob"
    for more in ({"impersonate-group": "system:masters"}, {"impersonate-uid": "1"}, {"impersonate-extra-scopes": "x"}):
        await api("POST", reviews, {}, code=403, authorization=alice, user="bob", **more)
    await api("POST", reviews, {}, code=403, authorization=alice, user="carol")


async def service_account(api, name: str) -> dict:
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    await api("POST", accounts, {"metadata": {"name": name}}, code=201)
    token = (await api("POST", f"{accounts}/{name}/token", {}, code=201))["status"]["token"]
    return {"authorization": f"Bearer {token}"}


async def bind(api, role: str, name: str, whom: str, **options):
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
    body = {"metadata": {"name": name}, "roleRef": reference, "subjects": [{"kind": "User", "name": whom}]}
    return await api("POST", f"{RBAC}/clusterrolebindings", body, **options or {"code": 201})


async def test_nobody_grants_what_they_do_not_hold(api) -> None:
    rules = [{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"], "verbs": ["create", "update", "patch"]}]
    await api("POST", f"{RBAC}/clusterroles", {"metadata": {"name": "granter"}, "rules": rules}, code=201)
    await bind(api, "granter", "granter", "alice")
    wanted = {"metadata": {"name": "more"}, "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]}
    refused = await api("POST", f"{RBAC}/clusterroles", wanted, code=403, user="alice")
    assert "is attempting to grant RBAC permissions not currently held" in refused["message"]
    assert '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}' in refused["message"]
    await bind(api, "cluster-admin", "me", "alice", code=403, user="alice")
    aggregated = {"metadata": {"name": "all"}, "aggregationRule": {"clusterRoleSelectors": [{}]}, "rules": []}
    assert (
        "cluster-admin privileges"
        in (await api("POST", f"{RBAC}/clusterroles", aggregated, code=403, user="alice"))["message"]
    )
    await bind(api, "granter", "also-bob", "bob", code=201, user="alice")  # what she holds, she may give


async def test_bind_and_escalate_are_permissions_of_their_own(api) -> None:
    rules = [
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"], "verbs": ["create"]},
        {
            "apiGroups": ["rbac.authorization.k8s.io"],
            "resources": ["clusterroles"],
            "verbs": ["bind"],
            "resourceNames": ["view"],
        },
    ]
    await api("POST", f"{RBAC}/clusterroles", {"metadata": {"name": "binder"}, "rules": rules}, code=201)
    await bind(api, "binder", "binder", "alice")
    await bind(api, "view", "v", "bob", code=201, user="alice")
    await bind(api, "edit", "e", "bob", code=403, user="alice")


async def test_a_field_manager_does_not_make_one_the_server(api) -> None:
    vmis = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances"
    spec = {"domain": {"memory": {"guest": "64Mi"}, "devices": {}}}
    await api("POST", vmis, {"metadata": {"name": "v"}, "spec": spec}, code=201)
    await api("POST", f"{RBAC}/clusterroles", {
        "metadata": {"name": "vmis"},
        "rules": [{"apiGroups": ["kubevirt.io"], "resources": ["*"], "verbs": ["*"]}],
    }, code=201)  # fmt: skip
    await bind(api, "vmis", "vmis", "alice")
    patch = {"spec": {"terminationGracePeriodSeconds": 1}}
    merge = {"content-type": "application/merge-patch+json"}
    refused = await api("PATCH", f"{vmis}/v?fieldManager=virt-api", patch, code=422, user="alice", **merge)
    assert "update of VMI object is restricted" in refused["message"]


@pytest.mark.parametrize("node", ["../../etc/x", "a/b", "", "a\0b", "A", "x" * 300])
def test_a_nodes_name_cannot_lead_to_another_socket(node, tmp_path) -> None:
    with pytest.raises(StatusError):
        agent.socket_path(Home(tmp_path), node)


def test_segments_of_the_agents_path_stay_segments() -> None:
    made = agent.path_of("vmis", "n", "../x", "a b\r\nHost: evil", query="a=1&b=%2e HTTP/1.1\r\nx: y")
    path, _, query = made.partition("?")
    assert path.count("/") == 4 and not set(made) & set(" \r\n#")
    assert query.startswith("a=1&b=%2e")


@pytest.mark.parametrize("port", ["0", "65536", "x", "22/sctp", "22/tcp/..", "..", "22%0d%0a", "22%3fx=1"])
async def test_a_port_to_forward_is_a_number(api, port) -> None:
    base = "/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachineinstances/v/portforward"
    raw = f"GET {base}/{port} HTTP/1.1\r\nAuthorization: Bearer {api.token}\r\n\r\n"
    assert (await api.raw(raw.encode()))[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 404")


async def test_a_token_in_a_subprotocol_is_a_token(api) -> None:
    encoded = base64.urlsafe_b64encode(api.token.encode()).decode().rstrip("=")
    offered = f"base64url.bearer.authorization.k8s.io.{encoded}, plain.kubevirt.io"
    await api("GET", "/api", code=200, authorization="", **{"sec-websocket-protocol": offered})


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/namespaces/default/nodes",
        "/api/v1/namespaces/default/persistentvolumes",
        "/api/v1/namespaces/default/namespaces",
        "/api/v1/namespaces/default/namespaces/kube-system",
        "/apis/rbac.authorization.k8s.io/v1/namespaces/default/clusterroles",
        "/apis/rbac.authorization.k8s.io/v1/namespaces/default/clusterroles/cluster-admin",
        "/apis/apiextensions.k8s.io/v1/watch/namespaces/default/customresourcedefinitions",
    ],
)
async def test_a_role_of_a_namespace_reaches_nothing_of_the_cluster(api, path) -> None:
    everything = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    await api("POST", f"{RBAC}/namespaces/default/roles", {"metadata": {"name": "all"}, "rules": everything}, code=201)
    binding = {
        "metadata": {"name": "all"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "all"},
        "subjects": [{"kind": "User", "name": "owner"}],
    }
    await api("POST", f"{RBAC}/namespaces/default/rolebindings", binding, code=201)
    for method, body in (("GET", None), ("DELETE", None), ("PUT", {}), ("PATCH", {})):
        await api(method, path, body, user="owner", code=404 if "/watch/" not in path or method == "GET" else 405)
    await api("GET", "/api/v1/namespaces/default", user="owner", code=200)
    await api("GET", CONFIGMAPS, user="owner", code=200)


@pytest.mark.parametrize("path", ["/apis/{}", "/apis/{}/v1/things", "/api/v1/namespaces/{}/pods"])
async def test_what_anybody_may_ask_is_not_remembered_at_length(api, path) -> None:
    for number in range(3):
        await api("GET", path.format(f"{number}{'x' * 7000}"), code=401, authorization="")
    assert all(len(str(key)) < 2000 for key in api.server.authorizer._decisions)


REVIEWS = "/apis/authorization.k8s.io/v1"
LOCAL = "namespaces/default/localsubjectaccessreviews"


@pytest.mark.parametrize(
    ("review", "spec", "code", "message"),
    [
        ("selfsubjectaccessreviews", "x", 400, "spec"),
        ("subjectaccessreviews", {"user": "u", "resourceAttributes": "x"}, 400, "spec.resourceAttributes"),
        ("subjectaccessreviews", {"user": "u", "groups": [{}], "resourceAttributes": {}}, 400, "spec.groups"),
        ("subjectaccessreviews", {"user": "u", "resourceAttributes": {"verb": ["get"]}}, 400, "verb"),
        ("selfsubjectrulesreviews", [], 400, "spec"),
        ("selfsubjectaccessreviews", {}, 422, "exactly one of nonResourceAttributes or resourceAttributes"),
        ("selfsubjectaccessreviews", {"resourceAttributes": {}, "nonResourceAttributes": {}}, 422, "in combination"),
        ("subjectaccessreviews", {"resourceAttributes": {}}, 422, "at least one of user or group"),
        ("selfsubjectrulesreviews", {}, 400, "no namespace on request"),
        (LOCAL, {"user": "u", "resourceAttributes": {"namespace": "other"}}, 422, "must match metadata.namespace"),
        (LOCAL, {"user": "u", "resourceAttributes": {}}, 422, "spec.resourceAttributes.namespace"),
        (LOCAL, {"user": "u", "nonResourceAttributes": {"path": "/"}}, 422, "disallowed on this kind of request"),
    ],
)
async def test_a_review_that_makes_no_sense_is_refused(api, review, spec, code, message) -> None:
    refused = await api("POST", f"{REVIEWS}/{review}", {"spec": spec}, code=code)
    assert message in refused["message"]


async def test_a_local_review_is_about_the_namespace_of_its_path(api) -> None:
    await bind(api, "view", "viewer", "eve")
    spec = {"user": "eve", "resourceAttributes": {"namespace": "default", "resource": "pods", "verb": "list"}}
    answer = await api("POST", f"{REVIEWS}/{LOCAL}", {"spec": spec}, code=201)
    assert answer["status"]["allowed"] and answer["metadata"] == {"namespace": "default"}
    named = {"metadata": {"namespace": "other"}, "spec": spec}
    assert "does not match" in (await api("POST", f"{REVIEWS}/{LOCAL}", named, code=400))["message"]


@pytest.mark.parametrize("review", ["selfsubjectaccessreviews", "subjectaccessreviews", LOCAL])
async def test_a_review_is_no_object_with_a_name(api, review) -> None:
    attributes = {"resourceAttributes": {"namespace": "default", "verb": "get", "resource": "pods"}}
    spec = {"user": "u"} if "self" not in review else {}
    body = {"metadata": {"name": "mine", "creationTimestamp": None}, "spec": spec | attributes}
    refused = await api("POST", f"{REVIEWS}/{review}", body, code=422)
    assert refused["details"]["causes"][0]["field"] == "metadata" and "must be empty" in refused["message"]
    del body["metadata"]["name"]
    await api("POST", f"{REVIEWS}/{review}", body, code=201)
    await api("POST", f"{REVIEWS}/{review}/mine", body, code=405)
    await api("GET", f"{REVIEWS}/{review}", code=405)


async def test_a_review_with_half_a_status_is_answered(api) -> None:
    review = {"spec": {"namespace": "default"}, "status": {"incomplete": False}}
    answer = await api("POST", f"{REVIEWS}/selfsubjectrulesreviews", review, code=201)
    assert answer["status"]["resourceRules"]


async def test_a_token_review_tells_the_audiences_that_both_have(api) -> None:
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    await api("POST", accounts, {"metadata": {"name": "robot"}}, code=201)
    wanted = {"spec": {"audiences": ["vault", "shop"]}}
    token = (await api("POST", f"{accounts}/robot/token", wanted, code=201))["status"]["token"]
    reviews = "/apis/authentication.k8s.io/v1/tokenreviews"

    async def review(**spec):
        return (await api("POST", reviews, {"spec": {"token": token, **spec}}, code=201))["status"]

    assert (await review(audiences=["bank", "shop"]))["audiences"] == ["shop"]
    assert (await review(audiences=["vault", "bank"]))["audiences"] == ["vault"]
    assert not (await review(audiences=["bank"]))["authenticated"]
    assert not (await review())["authenticated"]  # it is not for this server
    own = (await review(token=api.token))["audiences"]
    assert own == ["https://kubernetes.default.svc"]
    await api("POST", reviews, {"spec": {}}, code=400)


async def test_who_may_edit_may_what_a_role_adds_to_view(api) -> None:
    rule = {"apiGroups": ["example.org"], "resources": ["widgets"], "verbs": ["get"]}
    labels = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    role = {"metadata": {"name": "widget-viewer", "labels": labels}, "rules": [rule]}
    await api("POST", f"{RBAC}/clusterroles", role, code=201)
    attributes = {"group": "example.org", "resource": "widgets", "verb": "get"}
    for name in ("view", "edit", "admin"):
        await bind(api, name, name, name)
        spec = {"user": name, "resourceAttributes": attributes}
        answer = await api("POST", f"{REVIEWS}/subjectaccessreviews", {"spec": spec}, code=201)
        assert answer["status"]["allowed"], name


@pytest.mark.parametrize("selector", ["metadata.name!=none", "metadata.name=other", "type=Opaque"])
async def test_a_field_selector_does_not_widen_a_watch_of_one_object(api, selector) -> None:
    secrets = "/api/v1/namespaces/default/secrets"
    for name in ("allowed", "other"):
        await api("POST", secrets, {"metadata": {"name": name}}, code=201)
    rule = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["allowed"], "verbs": ["watch"]}
    await api("POST", f"{RBAC}/clusterroles", {"metadata": {"name": "one"}, "rules": [rule]}, code=201)
    await bind(api, "one", "one", "eve")
    path = "/api/v1/watch/namespaces/default/secrets/allowed?timeoutSeconds=1"
    head = f"Authorization: Bearer {api.token}\r\nImpersonate-User: eve\r\nConnection: close\r\n\r\n"
    seen = await api.raw(f"GET {path}&fieldSelector={selector} HTTP/1.1\r\n{head}".encode(), wait=2)
    assert seen.startswith(b"HTTP/1.1 200") and b'"other"' not in seen
    assert (b'"allowed"' in seen) == (selector != "metadata.name=other")
    await api("GET", f"{secrets}?watch=1&timeoutSeconds=1&fieldSelector={selector}", user="eve", code=403)


async def test_an_apply_creates_only_for_who_may_create(api) -> None:
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"]}
    await api("POST", f"{RBAC}/clusterroles", {"metadata": {"name": "patcher"}, "rules": [rule]}, code=201)
    await bind(api, "patcher", "patcher", "eve")
    apply = {"content-type": "application/apply-patch+yaml"}
    wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "", "generateName": "x-"}}
    refused = await api("PATCH", f"{CONFIGMAPS}/m?fieldManager=a", wanted, user="eve", code=403, **apply)
    assert 'User "eve" cannot create resource "configmaps"' in refused["message"]
    made = await api("PATCH", f"{CONFIGMAPS}/m?fieldManager=a", wanted, code=201, **apply)
    assert made["metadata"]["name"] == "m"
    await api("PATCH", f"{CONFIGMAPS}/m?fieldManager=a", {**wanted, "data": {}}, user="eve", code=200, **apply)
