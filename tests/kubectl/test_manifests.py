"""Manifests as people keep them: lists, several documents, directories, kustomizations; pruned, checked, explained."""

import json

import pytest

SEVERAL = """
apiVersion: v1
kind: ConfigMap
metadata: {name: one, labels: {set: a}}
---
# nothing here
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: two, labels: {set: a}}
spec:
  selector: {matchLabels: {app: two}}
  template:
    metadata: {labels: {app: two}}
    spec: {containers: [{name: c, image: "example.org/c:1", ports: [{containerPort: 80}]}]}
---
"""
LISTED = {
    "apiVersion": "v1",
    "kind": "List",
    "items": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "three"}, "data": {"a": "1"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "four"}, "stringData": {"k": "v"}},
    ],
}
ALL = ("configmap/one", "deployment.apps/two", "configmap/three", "secret/four")


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "a.yaml").write_text(SEVERAL)
    (tmp_path / "b.json").write_text(json.dumps(LISTED))
    (tmp_path / "README.md").write_text("no manifest")
    return str(tmp_path)


def test_a_directory_of_lists_and_documents_goes_through_every_verb(kubectl, directory) -> None:
    for command in (("create",), ("replace",), ("apply",), ("apply", "--server-side", "--force-conflicts")):
        assert kubectl(*command, "-f", directory, "-o", "name").split() == list(ALL), command
    assert kubectl("diff", "-f", directory) == ""
    assert kubectl("get", "-f", directory, "-o", "name").split() == list(ALL)
    kubectl("replace", "--force", "-f", directory)
    kubectl("delete", "-f", directory, "--timeout=20s")
    assert kubectl.run("get", "-f", directory).returncode == 1


def test_a_dry_run_stores_nothing_on_either_side(kubectl, directory) -> None:
    for side in ("server", "client"):
        for verb in ("create", "apply"):
            assert "(server dry run)" * (side == "server") in kubectl(verb, "-f", directory, f"--dry-run={side}")
    assert kubectl.run("get", "-f", directory).returncode == 1


def test_unknown_fields_are_refused_warned_about_or_ignored(kubectl) -> None:
    wrong = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "dta": {"a": "b"}})
    strict = kubectl.run("apply", "--validate=strict", "-f", "-", stdin=wrong)
    assert strict.returncode == 1 and 'unknown field "dta"' in strict.stderr
    warned = kubectl.run("apply", "--validate=warn", "-f", "-", stdin=wrong)
    assert warned.returncode == 0 and 'Warning: unknown field "dta"' in warned.stderr
    ignored = kubectl.run("apply", "--validate=ignore", "-f", "-", stdin=wrong)
    assert (ignored.returncode, ignored.stderr) == (0, "")


def test_apply_prunes_what_the_manifests_no_longer_name(kubectl, monkeypatch) -> None:
    kept = SEVERAL.partition("---")[0]
    kubectl.apply(SEVERAL)
    assert "deployment.apps/two pruned" in kubectl.apply(kept, "--prune", "-l", "set=a")
    monkeypatch.setenv("KUBECTL_APPLYSET", "true")
    kubectl.apply(SEVERAL, "--prune", "--applyset=mine")
    assert "deployment.apps/two pruned" in kubectl.apply(kept, "--prune", "--applyset=mine")
    assert kubectl("get", "cm", "one", "-o", "name") == "configmap/one\n"


def test_a_kustomization_is_applied_and_deleted(kubectl, tmp_path) -> None:
    (tmp_path / "d.yaml").write_text(SEVERAL)
    generator = "configMapGenerator: [{name: made, literals: [a=b]}]"
    (tmp_path / "kustomization.yaml").write_text(f"namePrefix: k-\n{generator}\nresources: [d.yaml]\n")
    applied = kubectl("apply", "-k", str(tmp_path), "-o", "name").split()
    assert {"configmap/k-one", "deployment.apps/k-two"} < set(applied) and len(applied) == 3
    kubectl("delete", "-k", str(tmp_path), "--timeout=20s")


def test_fields_are_explained_from_either_openapi_and_by_version(kubectl) -> None:
    for output in ("plaintext", "plaintext-openapiv2"):
        told = kubectl("explain", "deployment.spec.strategy", "--output", output)
        assert "rollingUpdate" in told and "Recreate" in told
    assert "targetCPUUtilizationPercentage" in kubectl("explain", "hpa.spec", "--api-version=autoscaling/v1")
    assert "behavior" in kubectl("explain", "hpa.spec", "--api-version=autoscaling/v2", "--recursive")
    assert "runStrategy" in kubectl("explain", "vm.spec", "--output", "plaintext-openapiv2")


def test_everything_of_a_namespace_can_be_deleted_at_once(kubectl) -> None:
    kubectl.apply(SEVERAL)
    kubectl("create", "service", "clusterip", "s", "--tcp=80")
    deleted = kubectl("delete", "all", "--all", "--timeout=20s")
    assert 'deployment.apps "two" deleted' in deleted and 'service "s" deleted' in deleted
    assert kubectl("get", "all", "-o", "name") == ""
