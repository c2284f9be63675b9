"""A home that an older version made, when a newer one starts."""

import copy

import pytest
from tests.unit.engine.crds import CRDS, crd

from isthmus.engine.server import bootstrap
from isthmus.kinds import catalogue

ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
OURS = catalogue.own_crds()[0]["metadata"]["name"]


async def revision(api) -> int:
    return int((await api("GET", CRDS, code=200))["metadata"]["resourceVersion"])


async def test_a_second_start_of_the_same_version_writes_nothing(api) -> None:
    before = await revision(api)
    await bootstrap.write(api.server)
    assert await revision(api) == before


async def test_our_crds_get_the_schema_of_the_new_version_and_a_users_do_not(api, monkeypatch) -> None:
    theirs = await api("POST", CRDS, crd(), code=201)
    newer = copy.deepcopy(catalogue.own_crds())
    schema = newer[0]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    schema["properties"]["brandNew"] = {"type": "string", "description": "It came with the new version."}
    monkeypatch.setattr(catalogue, "own_crds", lambda: newer)
    await bootstrap.write(api.server)
    found = await api("GET", f"{CRDS}/{OURS}", code=200)
    properties = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    assert properties["brandNew"]["type"] == "string" and found["status"]["conditions"][0]["status"] == "True"
    assert await api("GET", f"{CRDS}/{theirs['metadata']['name']}", code=200) == theirs
    kind = next(k for k in api.server.registry.kinds() if k.resource == OURS)
    assert "brandNew" in str(kind.crd_schemas)


@pytest.mark.parametrize(("autoupdate", "renewed"), [("true", True), ("false", False)])
async def test_a_role_of_ours_gets_its_new_rules_unless_its_owner_said_no(api, autoupdate, renewed) -> None:
    path = f"{ROLES}/system:public-info-viewer"
    role = await api("GET", path, code=200)
    shipped, own = role["rules"], {"verbs": ["get"], "nonResourceURLs": ["/mine"]}
    role["metadata"]["annotations"] = {bootstrap.AUTOUPDATE: autoupdate}
    await api("PUT", path, role | {"rules": [own]}, code=200)
    await bootstrap.write(api.server)
    assert (await api("GET", path, code=200))["rules"] == [own, *shipped] if renewed else [own]


async def test_roles_of_an_older_home_begin_to_collect_from_each_other(api) -> None:
    role = await api("GET", f"{ROLES}/view", code=200)
    wanted = role["metadata"]["labels"]
    role["metadata"]["labels"] = {"kubernetes.io/bootstrapping": "rbac-defaults", "own": "1"}
    await api("PUT", f"{ROLES}/view", role, code=200)
    await bootstrap.write(api.server)
    assert (await api("GET", f"{ROLES}/view", code=200))["metadata"]["labels"] == {**wanted, "own": "1"}
