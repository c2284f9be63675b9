import json

import pytest

from isthmus.kinds.kind import Kind, Scale, Subresource
from isthmus.machinery import discovery


def kind(group, versions, name, plural, **more):
    return Kind(group, versions, versions[0], name, plural, name.lower(), f"{name}List", True, **more)


KINDS = (
    kind(
        "",
        ("v1",),
        "Pod",
        "pods",
        short_names=("po",),
        categories=("all",),
        status=True,
        subresources=(
            Subresource("log", "Pod", ("get",)),
            Subresource("eviction", "Eviction", ("create",), "policy", "v1"),
        ),
    ),
    kind("apps", ("v1",), "Deployment", "deployments", status=True, scale=Scale()),
    kind("kubevirt.io", ("v1", "v1alpha3"), "VirtualMachine", "virtualmachines"),
    kind("kubevirt.io", ("v1alpha3", "v2beta1"), "Old", "olds"),
    kind(
        "subresources.kubevirt.io",
        ("v1",),
        "VirtualMachineInstance",
        "virtualmachineinstances",
        verbs=(),
        subresources=(Subresource("vnc/screenshot", "VirtualMachineInstance", ("get",)),),
    ),
)


def test_a_group_lists_the_versions_of_all_its_kinds_the_preferred_first():
    group = discovery.group(KINDS, "kubevirt.io")
    assert [v["version"] for v in group["versions"]] == ["v1", "v2beta1", "v1alpha3"]
    assert group["preferredVersion"]["groupVersion"] == "kubevirt.io/v1"
    assert [g["name"] for g in discovery.group_list(KINDS)["groups"]] == [
        "apps",
        "kubevirt.io",
        "subresources.kubevirt.io",
    ]


@pytest.mark.parametrize(
    "versions", [["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2", "foo1", "foo10"]]
)
def test_versions_are_ordered_as_kubernetes_documents_it(versions):
    assert sorted(sorted(versions), key=discovery.version_priority) == versions


def test_the_legacy_list_names_every_subresource_with_its_kind():
    pods = {r["name"]: r for r in discovery.resource_list(KINDS, "", "v1")["resources"]}
    assert pods["pods/eviction"] == {
        "name": "pods/eviction",
        "singularName": "",
        "namespaced": True,
        "group": "policy",
        "version": "v1",
        "kind": "Eviction",
        "verbs": ["create"],
    }
    assert pods["pods/status"]["verbs"] == ["get", "patch", "update"]
    assert (pods["pods"]["shortNames"], pods["pods"]["categories"]) == (["po"], ["all"])
    scale = discovery.resource_list(KINDS, "apps", "v1")["resources"][1]
    assert (scale["name"], scale["group"], scale["kind"]) == ("deployments/scale", "autoscaling", "Scale")


def test_a_resource_of_which_only_subresources_are_served_is_listed_by_them():
    legacy = discovery.resource_list(KINDS, "subresources.kubevirt.io", "v1")["resources"]
    assert [r["name"] for r in legacy] == ["virtualmachineinstances/vnc/screenshot"]
    (resource,) = discovery.aggregated(KINDS, "apis")["items"][2]["versions"][0]["resources"]
    assert (resource["verbs"], resource["responseKind"]["kind"]) == ([], "")
    assert resource["subresources"][0]["subresource"] == "vnc/screenshot"


def test_what_is_not_served_has_no_document():
    assert discovery.group(KINDS, "no.such") is None
    assert discovery.group(KINDS, "") is None
    assert discovery.resource_list(KINDS, "apps", "v2") is None


def test_aggregated_discovery_says_the_same_as_the_legacy_lists():
    for root, groups in (("api", [""]), ("apis", ["apps", "kubevirt.io", "subresources.kubevirt.io"])):
        items = discovery.aggregated(KINDS, root, "v2beta1")["items"]
        assert [i["metadata"].get("name", "") for i in items] == groups
        for item, group in zip(items, groups, strict=True):
            for version in item["versions"]:
                legacy = discovery.resource_list(KINDS, group, version["version"])["resources"]
                names = [
                    f"{r['resource']}{s}"
                    for r in version["resources"]
                    for s in [*[""] * bool(r["verbs"]), *(f"/{x['subresource']}" for x in r.get("subresources", ()))]
                ]
                assert sorted(names) == sorted(r["name"] for r in legacy)


def test_equal_kinds_give_equal_documents():
    first, second = (json.dumps(discovery.aggregated(KINDS, "apis")) for _ in range(2))
    assert first == second


def test_the_core_group_has_one_version_and_an_address():
    assert discovery.api_versions("10.0.0.1:6443")["serverAddressByClientCIDRs"] == [
        {"clientCIDR": "0.0.0.0/0", "serverAddress": "10.0.0.1:6443"}
    ]
