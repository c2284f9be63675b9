"""A user's own CRD behaves like any kind."""

import json
import time

import pytest


def crd(group: str) -> dict:
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "required": ["size"],
                "properties": {
                    "size": {"type": "integer", "minimum": 1},
                    "colour": {"type": "string", "default": "blue", "enum": ["blue", "red"]},
                    "replicas": {"type": "integer"},
                },
            },
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
        },
        "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
    }
    names = {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {"group": group, "names": names, "scope": "Namespaced", "versions": [version]},
    }


@pytest.fixture
def group(kubectl):
    name = f"{kubectl.namespace}.example.org"
    kubectl.apply(crd(name))
    kubectl("wait", f"crd/widgets.{name}", "--for=condition=Established", "--timeout=10s")
    yield name
    kubectl("delete", "crd", f"widgets.{name}", "--ignore-not-found", "--timeout=20s")


def widget(group: str, name: str, **spec: object) -> dict:
    return {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec}


def test_defaults_columns_status_and_scale(kubectl, group) -> None:
    kubectl.apply(widget(group, "one", size=3))
    assert kubectl.json("get", f"widgets.{group}", "one")["spec"] == {"size": 3, "colour": "blue"}
    table = kubectl("get", f"widgets.{group}")
    assert table.split() == ["NAME", "SIZE", "one", "3"]
    status = '{"status":{"replicas":2}}'
    kubectl("patch", f"widgets.{group}", "one", "--subresource=status", "--type=merge", "-p", status)
    kubectl("scale", f"widgets.{group}/one", "--replicas=5")
    stored = kubectl.json("get", f"widgets.{group}", "one")
    assert stored["spec"]["replicas"] == 5 and stored["status"]["replicas"] == 2
    assert stored["metadata"]["generation"] == 2, "the status does not count, the spec does"


def test_what_the_schema_forbids_is_refused_with_every_reason(kubectl, group) -> None:
    bad = json.dumps(widget(group, "bad", size=0, colour="green"))
    refused = kubectl.run("create", "--validate=false", "-f", "-", stdin=bad)
    assert refused.returncode == 1
    assert "spec.size" in refused.stderr and "spec.colour" in refused.stderr and "green" in refused.stderr


def test_explain_reads_the_crds_own_schema(kubectl, group) -> None:
    assert "colour" in kubectl("explain", "widgets.spec", f"--api-version={group}/v1")


def test_deleting_the_crd_deletes_its_objects_and_the_kind(kubectl, group) -> None:
    kubectl.apply(widget(group, "one", size=1))
    kubectl("delete", "crd", f"widgets.{group}", "--timeout=20s")
    time.sleep(0.2)
    assert kubectl.run("get", "--raw", f"/apis/{group}/v1/widgets").returncode == 1
