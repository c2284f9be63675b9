import json

import pytest

from isthmus.kinds.kind import Kind, Scale, Subresource
from isthmus.machinery import openapi

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
DEFINITIONS = {
    **{META + name: {"type": "object"} for name in ("ObjectMeta", "ListMeta", "DeleteOptions", "Patch", "Status")},
    "io.k8s.api.autoscaling.v1.Scale": {"type": "object"},
    "io.k8s.api.apps.v1.Deployment": {
        "type": "object",
        "properties": {"metadata": {"$ref": f"#/components/schemas/{META}ObjectMeta", "description": "d"}},
        "x-kubernetes-group-version-kind": [{"group": "apps", "kind": "Deployment", "version": "v1"}],
    },
    "io.k8s.api.apps.v1.DeploymentList": {"type": "object"},
}
DEPLOYMENT = Kind(
    "apps",
    ("v1",),
    "v1",
    "Deployment",
    "deployments",
    "deployment",
    "DeploymentList",
    True,
    status=True,
    scale=Scale(),
    definition="io.k8s.api.apps.{version}.Deployment",
)
TASK = Kind(
    "isthmus.dev",
    ("v1alpha1",),
    "v1alpha1",
    "Task",
    "tasks",
    "task",
    "TaskList",
    False,
    builtin=False,
    subresources=(Subresource("console", "Task", ("get",)),),
    crd_schemas={"v1alpha1": {"type": "object", "description": "A task.", "properties": {"spec": {"type": "object"}}}},
)


@pytest.fixture(scope="module")
def apps():
    return openapi.document([DEPLOYMENT, TASK], "apps", "v1", DEFINITIONS)


@pytest.fixture(scope="module")
def tasks():
    definitions = DEFINITIONS | openapi.custom_definitions(TASK, "v1alpha1")
    return openapi.document([DEPLOYMENT, TASK], "isthmus.dev", "v1alpha1", definitions)


def references(value):
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value
        for child in value.values():
            yield from references(child)
    elif isinstance(value, list):
        for child in value:
            yield from references(child)


def operations(document):
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield path, method, operation


def test_the_index_links_each_document_by_a_hash_of_its_content():
    paths = openapi.index([("", "v1"), ("apps", "v1")], "a")["paths"]
    assert set(paths) == {"api/v1", "apis/apps/v1"}
    assert paths["apis/apps/v1"]["serverRelativeURL"].startswith("/openapi/v3/apis/apps/v1?hash=")
    assert paths != openapi.index([("", "v1"), ("apps", "v1")], "b")["paths"]
    assert paths == openapi.index([("", "v1"), ("apps", "v1")], "a")["paths"]


@pytest.mark.parametrize("name", ["apps", "tasks"])
def test_every_reference_is_resolved_and_stands_alone(name, request):
    document = request.getfixturevalue(name)
    for reference in references(document):
        assert set(reference) == {"$ref"}
        assert reference["$ref"].removeprefix("#/components/schemas/") in document["components"]["schemas"]


@pytest.mark.parametrize("name", ["apps", "tasks"])
def test_every_operation_has_a_name_of_its_own_an_action_and_a_kind(name, request):
    found = [o for _, _, o in operations(request.getfixturevalue(name))]
    assert len({o["operationId"] for o in found}) == len(found)
    assert all(o["x-kubernetes-action"] and o["x-kubernetes-group-version-kind"]["kind"] for o in found)


def test_every_patch_of_the_kind_takes_field_validation(apps, tasks):
    for document in (apps, tasks):
        patches = [o for _, method, o in operations(document) if method == "patch"]
        assert patches
        for operation in patches:
            assert "fieldValidation" in [p["name"] for p in operation["parameters"] if p["in"] == "query"]


def test_the_paths_are_those_of_kube_apiserver(apps, tasks):
    base = "/apis/apps/v1/namespaces/{namespace}/deployments"
    assert set(apps["paths"]) == {
        "/apis/apps/v1/deployments",
        base,
        f"{base}/{{name}}",
        f"{base}/{{name}}/status",
        f"{base}/{{name}}/scale",
    }
    assert set(apps["paths"][base]) == {"get", "post", "delete", "parameters"}
    assert set(apps["paths"][f"{base}/{{name}}"]) == {"get", "put", "patch", "delete", "parameters"}
    assert "/apis/isthmus.dev/v1alpha1/tasks/{name}" in tasks["paths"]


def test_scale_is_read_and_written_as_a_scale(apps):
    operation = apps["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]["put"]
    assert operation["x-kubernetes-group-version-kind"] == {"group": "autoscaling", "kind": "Scale", "version": "v1"}
    schema = operation["requestBody"]["content"]["*/*"]["schema"]
    assert schema == {"$ref": "#/components/schemas/io.k8s.api.autoscaling.v1.Scale"}


def test_only_built_in_kinds_take_strategic_merge_patches(apps, tasks):
    strategic = "application/strategic-merge-patch+json"
    bodies = [o["requestBody"]["content"] for d in (apps, tasks) for _, m, o in operations(d) if m == "patch"]
    assert [strategic in body for body in bodies] == [True, True, True, False]


def test_a_custom_kind_is_described_with_what_every_object_has(tasks):
    schema = tasks["components"]["schemas"]["dev.isthmus.v1alpha1.Task"]
    assert schema["x-kubernetes-group-version-kind"] == [
        {"group": "isthmus.dev", "kind": "Task", "version": "v1alpha1"}
    ]
    assert set(schema["properties"]) == {"apiVersion", "kind", "metadata", "spec"}
    assert schema["description"] == "A task."
    assert "dev.isthmus.v1alpha1.TaskList" in tasks["components"]["schemas"]


def test_a_stream_is_a_connection(tasks):
    assert tasks["paths"]["/apis/isthmus.dev/v1alpha1/tasks/{name}/console"]["get"]["x-kubernetes-action"] == "connect"


def test_the_document_is_json(apps):
    assert json.loads(json.dumps(apps)) == apps
