"""The kinds that are served: complete, consistent, and with schemas that know every field of KubeVirt 1.9."""

from pathlib import Path

import pytest
import yaml

from isthmus.kinds import catalogue, columns, definitions
from isthmus.machinery import structuralschema

KINDS = catalogue.builtin_kinds()
GOLDEN = Path(__file__).parents[2] / "golden/kinds"
SERVED = [(kind, version) for kind in KINDS for version in kind.versions]
STORED = [kind for kind in KINDS if kind.verbs]


def by_resource(name):
    return next(kind for kind in KINDS if kind.resource == name)


def manifests():
    for path in sorted(GOLDEN.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            yield pytest.param(document, id=f"{document['kind']}-{document['apiVersion']}")


def kind_of(manifest):
    own = [catalogue.kind_from_crd(crd) for crd in catalogue.own_crds()]
    group, _, version = manifest["apiVersion"].rpartition("/")
    kinds = [k for k in (*STORED, *own) if k.group == group and k.kind == manifest["kind"] and version in k.versions]
    assert len(kinds) == 1, f"{manifest['apiVersion']} {manifest['kind']}"
    return kinds[0], version


@pytest.mark.parametrize("manifest", list(manifests()))
def test_every_field_of_our_manifests_is_known_and_valid(manifest):
    kind, version = kind_of(manifest)
    node = catalogue.schema_node(kind, version)
    assert structuralschema.prune_and_default(manifest, node) == []
    assert structuralschema.validate(manifest, node, keyed_lists=not kind.builtin) == []


def test_a_field_that_nobody_knows_is_found():
    node = catalogue.schema_node(by_resource("virtualmachines.kubevirt.io"), "v1")
    manifest = {"metadata": {"name": "x"}, "spec": {"template": {"spec": {"domain": {"devices": {"diskz": []}}}}}}
    assert structuralschema.prune_and_default(manifest, node) == ["spec.template.spec.domain.devices.diskz"]


@pytest.mark.parametrize(("kind", "version"), SERVED, ids=lambda v: getattr(v, "resource", v))
def test_every_served_version_has_a_schema_with_metadata(kind, version):
    node = catalogue.schema_node(kind, version)
    assert node.type == "object"
    assert node.property("metadata").property("labels").additional.type == "string"


def test_no_two_kinds_share_a_resource_and_no_two_of_a_group_a_name():
    resources = [kind.resource for kind in KINDS]
    assert len(resources) == len(set(resources))
    names = [(kind.group, name) for kind in KINDS for name in {kind.plural, kind.singular, *kind.short_names}]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource)
def test_a_kind_is_consistent(kind):
    assert kind.storage_version in kind.versions
    assert set(kind.deprecated_versions) <= set(kind.versions)
    assert kind.list_kind.startswith(kind.kind)
    assert kind.stored_as == "" or kind.stored_as in {k.resource for k in KINDS}
    for column in columns.of(kind):
        assert bool(column.path) != bool(column.function), column
        assert column.path or column.function in columns.FUNCTIONS, column


def test_an_event_of_either_group_is_one_object():
    assert by_resource("events.events.k8s.io").store_key == by_resource("events").store_key == "events"


def test_discovery_of_pods_has_every_subresource():
    names = {subresource.name for subresource in by_resource("pods").subresources}
    assert names == {
        *("attach", "binding", "ephemeralcontainers", "eviction", "exec", "log", "portforward", "proxy", "resize")
    }
    eviction = next(s for s in by_resource("pods").subresources if s.name == "eviction")
    assert (eviction.group, eviction.version, eviction.kind) == ("policy", "v1", "Eviction")


def test_lists_that_merge_by_key_say_so():
    containers = catalogue.schema_node(by_resource("pods"), "v1").property("spec").property("containers")
    assert (containers.list_type, containers.list_map_keys) == ("map", ("name",))
    assert (containers.patch_merge_key, containers.patch_strategies) == ("name", {"merge"})
    vmi = catalogue.schema_node(by_resource("virtualmachineinstances.kubevirt.io"), "v1").property("spec")
    assert vmi.property("utilityVolumes").list_map_keys == ("name",)
    assert vmi.property("volumes").list_type == "atomic"


def test_a_document_holds_all_that_it_refers_to_and_its_texts():
    document = catalogue.definitions("kubevirt.io", "v1")
    for schema in document.values():
        assert set(definitions.references(schema)) <= set(document)
    machine = document["io.kubevirt.api.v1.VirtualMachine"]
    assert {"group": "kubevirt.io", "kind": "VirtualMachine", "version": "v1"} in machine[
        "x-kubernetes-group-version-kind"
    ]
    assert machine["description"]
    assert document["io.kubevirt.api.v1.CPU"]["properties"]["cores"]["description"]


def test_the_structure_carries_no_texts():
    definition = catalogue.DEFINITIONS["io.k8s.api.core.v1.PodSpec"]
    assert "description" not in definition
    assert all("description" not in field for field in definition["properties"].values())


def test_a_document_of_core_names_the_bodies_of_subresources():
    document = catalogue.definitions("", "v1")
    assert {"io.k8s.api.policy.v1.Eviction", "io.k8s.api.core.v1.Binding"} <= set(document)
    assert "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions" in document


# --- custom resource definitions ---

CRD = {
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"kind": "Widget", "plural": "widgets", "shortNames": ["wd"], "categories": ["all"]},
        "versions": [
            {"name": "v1alpha1", "served": True, "storage": False, "deprecated": True},
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}},
                    }
                },
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"},
                },
                "additionalPrinterColumns": [
                    {"name": "Size", "type": "integer", "jsonPath": ".spec.size", "priority": 1}
                ],
                "selectableFields": [{"jsonPath": ".spec.size"}],
            },
            {"name": "v10", "served": False, "storage": False},
        ],
    },
}


def test_a_crd_becomes_a_kind():
    kind = catalogue.kind_from_crd(CRD)
    assert (kind.versions, kind.storage_version) == (("v1", "v1alpha1"), "v1")
    assert (kind.resource, kind.singular, kind.list_kind) == ("widgets.example.com", "widget", "WidgetList")
    assert kind.status
    assert not kind.builtin
    assert kind.scale.spec_replicas == ".spec.size"
    assert kind.selectable_fields == ("spec.size",)
    assert kind.deprecated_versions == ("v1alpha1",)
    assert [(c.name, c.path, c.priority) for c in kind.columns] == [("Size", ".spec.size", 1)]


def test_a_crds_schema_knows_metadata():
    node = catalogue.schema_node(catalogue.kind_from_crd(CRD), "v1")
    assert node.property("spec").property("size").type == "integer"
    assert node.property("metadata").property("ownerReferences").type == "array"
    assert node.property("spec").property("colour") is None


def test_a_crds_document_is_named_as_the_real_server_names_it():
    kind = catalogue.kind_from_crd(CRD)
    document = catalogue.described_definitions([kind], "v1")
    assert {"com.example.v1.Widget", "com.example.v1.WidgetList", catalogue.OBJECT_META} <= set(document)
    for schema in document.values():
        assert set(definitions.references(schema)) <= set(document)


@pytest.mark.parametrize(
    "order", [["v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2", "foo1", "foo10"]]
)
def test_versions_are_in_kubernetes_order(order):
    versions = [{"name": name, "served": True, "storage": name == "v1"} for name in sorted(order)]
    crd = {**CRD, "spec": {**CRD["spec"], "versions": versions}}
    assert list(catalogue.kind_from_crd(crd).versions) == order


@pytest.mark.parametrize("crd", catalogue.own_crds(), ids=lambda crd: crd["metadata"]["name"])
def test_our_own_crds_are_structural_and_every_field_is_described(crd):
    kind = catalogue.kind_from_crd(crd)
    assert crd["metadata"]["name"] == kind.resource
    for version in crd["spec"]["versions"]:
        schema = version["schema"]["openAPIV3Schema"]
        assert structuralschema.check_structural(schema) == []
        undescribed = [path for path, node in walk(schema) if not node.get("description") and not path.endswith("[]")]
        assert undescribed == []


def walk(schema, path=""):
    yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from walk(below, f"{path}.{name}")
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")
