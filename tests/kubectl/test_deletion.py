"""Deletion: each cascade, finalizers, namespaces."""

import json
import time


def until(check, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def family(kubectl, owner: str) -> None:
    """An owner ConfigMap and one that it owns."""
    kubectl("create", "configmap", owner)
    uid = kubectl.json("get", "cm", owner)["metadata"]["uid"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": uid, "blockOwnerDeletion": True}
    metadata = {"name": f"{owner}-child", "ownerReferences": [reference]}
    child = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    kubectl("create", "-f", "-", stdin=json.dumps(child))


def exists(kubectl, name: str) -> bool:
    return kubectl.run("get", "cm", name).returncode == 0


def test_background_deletion_takes_the_dependents_along(kubectl) -> None:
    family(kubectl, "back")
    kubectl("delete", "cm", "back", "--cascade=background")
    until(lambda: not exists(kubectl, "back-child"))


def test_foreground_deletion_waits_for_the_dependents(kubectl) -> None:
    family(kubectl, "fore")
    kubectl("delete", "cm", "fore", "--cascade=foreground", "--timeout=20s")
    assert not exists(kubectl, "fore-child") and not exists(kubectl, "fore")


def test_orphaning_leaves_the_dependents_without_owner(kubectl) -> None:
    family(kubectl, "orphan")
    kubectl("delete", "cm", "orphan", "--cascade=orphan", "--timeout=20s")
    time.sleep(1)
    child = kubectl.json("get", "cm", "orphan-child")
    assert not child["metadata"].get("ownerReferences")


def test_a_finalizer_holds_an_object_until_it_is_taken_away(kubectl) -> None:
    metadata = {"name": "held", "finalizers": ["example.org/hold"]}
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    kubectl.apply(manifest)
    kubectl("delete", "cm", "held", "--wait=false")
    assert kubectl.json("get", "cm", "held")["metadata"]["deletionTimestamp"]
    kubectl("patch", "cm", "held", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    assert not exists(kubectl, "held")


def test_a_namespace_goes_with_all_that_is_in_it(kubectl) -> None:
    name = f"{kubectl.namespace}-gone"
    kubectl("create", "namespace", name)
    kubectl("create", "configmap", "inside", "-n", name)
    kubectl("delete", "namespace", name, "--timeout=25s", timeout=40)
    assert kubectl.run("get", "namespace", name).returncode == 1


def test_nothing_can_be_created_in_a_namespace_that_is_not_there(kubectl) -> None:
    refused = kubectl.run("create", "configmap", "x", "-n", "nowhere")
    assert refused.returncode == 1 and 'namespaces "nowhere" not found' in refused.stderr
