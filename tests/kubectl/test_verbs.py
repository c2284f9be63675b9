"""What people do with kubectl all day, by an unmodified kubectl."""

import json
import subprocess
import threading
import time

CONFIGMAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "1", "b": "2"}}


def test_a_created_object_is_read_back(kubectl) -> None:
    kubectl("create", "configmap", "typed", "--from-literal=key=value")  # typed creates send protobuf
    assert kubectl.json("get", "cm", "typed")["data"] == {"key": "value"}


def test_every_typed_create_that_needs_no_other_object_works(kubectl) -> None:
    for arguments in (
        ("secret", "generic", "s", "--from-literal=k=v"),
        ("serviceaccount", "robot"),
        ("deployment", "web", "--image=nginx", "--replicas=2", "--port=80"),
        ("job", "once", "--image=busybox", "--", "true"),
        ("cronjob", "often", "--image=busybox", "--schedule=*/5 * * * *", "--", "true"),
        ("service", "clusterip", "svc", "--tcp=80:8080"),
        ("role", "reader", "--verb=get,list", "--resource=pods"),
        ("rolebinding", "reads", "--role=reader", "--serviceaccount=default:robot"),
        ("quota", "limit", "--hard=pods=3"),
        ("poddisruptionbudget", "pdb", "--selector=app=web", "--min-available=1"),
        ("ingress", "in", "--rule=example.org/*=svc:80"),
    ):
        kubectl("create", *arguments)
    deployment = kubectl.json("get", "deployment", "web")
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"] == 80


def test_client_side_apply_keeps_what_others_set_and_removes_what_it_no_longer_names(kubectl) -> None:
    kubectl.apply(CONFIGMAP)
    kubectl("patch", "cm", "settings", "--type=merge", "-p", '{"data":{"other":"x"}}')
    kubectl.apply({**CONFIGMAP, "data": {"a": "3"}})
    assert kubectl.json("get", "cm", "settings")["data"] == {"a": "3", "other": "x"}


def test_apply_of_an_unchanged_manifest_changes_nothing(kubectl) -> None:
    kubectl.apply(CONFIGMAP)
    before = kubectl.json("get", "cm", "settings")["metadata"]["resourceVersion"]
    assert "unchanged" in kubectl.apply(CONFIGMAP)
    assert kubectl.json("get", "cm", "settings")["metadata"]["resourceVersion"] == before


def test_server_side_apply_refuses_a_conflict_and_force_takes_over(kubectl) -> None:
    kubectl.apply(CONFIGMAP, "--server-side", "--field-manager=one")
    changed = json.dumps({**CONFIGMAP, "data": {"a": "2"}})
    refused = kubectl.run("apply", "--server-side", "--field-manager=two", "-f", "-", stdin=changed)
    assert refused.returncode == 1 and 'conflict with "one"' in refused.stderr and ".data.a" in refused.stderr
    kubectl.apply(changed, "--server-side", "--field-manager=two", "--force-conflicts")
    assert kubectl.json("get", "cm", "settings")["data"] == {"a": "2", "b": "2"}


def test_strategic_merge_patch_merges_containers_by_name(kubectl) -> None:
    kubectl("create", "deployment", "web", "--image=nginx:1")
    kubectl("set", "image", "deployment/web", "nginx=nginx:2")
    patch = '{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"busybox"}]}}}}'
    kubectl("patch", "deployment", "web", "-p", patch)
    containers = kubectl.json("get", "deployment", "web")["spec"]["template"]["spec"]["containers"]
    assert {c["name"]: c["image"] for c in containers} == {"nginx": "nginx:2", "side": "busybox"}


def test_a_json_patch_with_a_failing_test_is_refused(kubectl) -> None:
    kubectl.apply(CONFIGMAP)
    patch = '[{"op":"test","path":"/data/a","value":"9"},{"op":"remove","path":"/data/a"}]'
    assert kubectl.run("patch", "cm", "settings", "--type=json", "-p", patch).returncode == 1
    assert kubectl.json("get", "cm", "settings")["data"]["a"] == "1"


def test_labels_annotations_and_selectors(kubectl) -> None:
    for name in ("one", "two"):
        kubectl("create", "configmap", name)
    kubectl("label", "cm", "one", "tier=db", "env=test")
    kubectl("annotate", "cm", "one", "note=here it is")
    listed = kubectl.json("get", "cm", "-l", "tier in (db,web),env!=prod")
    assert [o["metadata"]["name"] for o in listed["items"]] == ["one"]
    assert kubectl.json("get", "cm", "--field-selector", "metadata.name=two")["items"][0]["metadata"]["name"] == "two"


def test_edit_with_an_editor_that_changes_a_value(kubectl, monkeypatch) -> None:
    kubectl.apply(CONFIGMAP)
    monkeypatch.setenv("KUBE_EDITOR", "sed -i 's/a: \"1\"/a: edited/'")
    kubectl("edit", "cm", "settings")
    assert kubectl.json("get", "cm", "settings")["data"]["a"] == "edited"


def test_diff_shows_what_apply_would_change(kubectl) -> None:
    kubectl.apply(CONFIGMAP)
    changed = json.dumps({**CONFIGMAP, "data": {"a": "7", "b": "2"}})
    done = kubectl.run("diff", "-f", "-", stdin=changed)
    assert done.returncode == 1 and '+  a: "7"' in done.stdout
    assert kubectl.json("get", "cm", "settings")["data"]["a"] == "1"


def test_explain_knows_built_in_and_kubevirt_fields(kubectl) -> None:
    assert "restartPolicy" in kubectl("explain", "pod.spec")
    assert "runStrategy" in kubectl("explain", "vm.spec")
    assert "FIELDS" in kubectl("explain", "vmi.spec.domain.devices.disks", "--recursive")


def test_an_unknown_field_is_refused_by_name(kubectl) -> None:
    manifest = json.dumps({**CONFIGMAP, "dta": {}})
    refused = kubectl.run("create", "-f", "-", stdin=manifest)
    assert refused.returncode == 1 and 'unknown field "dta"' in refused.stderr


def test_wait_for_a_condition_a_jsonpath_and_a_deletion(kubectl) -> None:
    kubectl.apply(CONFIGMAP)
    changer = threading.Timer(1, lambda: kubectl("patch", "cm", "settings", "-p", '{"data":{"a":"ready"}}'))
    changer.start()
    kubectl("wait", "cm/settings", "--for=jsonpath={.data.a}=ready", "--timeout=10s")
    threading.Timer(1, lambda: kubectl("delete", "cm", "settings")).start()
    kubectl("wait", "cm/settings", "--for=delete", "--timeout=10s")


def test_get_watch_shows_changes_as_they_happen(kubectl) -> None:
    kubectl.apply(CONFIGMAP)
    command = ["--kubeconfig", str(kubectl.home.kubeconfig), "-n", kubectl.namespace, "get", "cm", "-w", "-o", "name"]
    from tests.kubectl.conftest import KUBECTL

    watcher = subprocess.Popen([KUBECTL, *command], stdout=subprocess.PIPE, text=True)
    assert watcher.stdout
    seen: list[str] = []
    reader = threading.Thread(target=lambda: seen.extend(iter(watcher.stdout.readline, "")), daemon=True)
    reader.start()
    time.sleep(1)
    kubectl("create", "configmap", "later")
    deadline = time.monotonic() + 10
    while "configmap/later\n" not in seen and time.monotonic() < deadline:
        time.sleep(0.05)
    watcher.kill()
    watcher.wait()
    assert "configmap/settings\n" in seen and "configmap/later\n" in seen


def test_scale_changes_replicas(kubectl) -> None:
    kubectl("create", "deployment", "web", "--image=nginx")
    kubectl("scale", "deployment", "web", "--replicas=4")
    assert kubectl.json("get", "deployment", "web")["spec"]["replicas"] == 4


def test_replace_needs_the_newest_revision(kubectl) -> None:
    kubectl.apply(CONFIGMAP)
    stale = kubectl.json("get", "cm", "settings")
    kubectl("patch", "cm", "settings", "-p", '{"data":{"a":"5"}}')
    refused = kubectl.run("replace", "-f", "-", stdin=json.dumps(stale))
    assert refused.returncode == 1 and "the object has been modified" in refused.stderr


def test_can_i_and_whoami(kubectl) -> None:
    assert kubectl("auth", "can-i", "delete", "nodes").strip() == "yes"
    done = kubectl.run("auth", "can-i", "delete", "nodes", "--as=somebody")
    assert done.stdout.strip() == "no" and done.returncode == 1
    assert "kubernetes-admin" in kubectl("auth", "whoami")
    assert "*.*" in kubectl("auth", "can-i", "--list")


def test_a_role_allows_what_it_says_and_no_more(kubectl) -> None:
    kubectl("create", "role", "reader", "--verb=get,list", "--resource=configmaps")
    kubectl("create", "rolebinding", "reads", "--role=reader", "--user=alice")
    kubectl("create", "configmap", "visible")
    assert "visible" in kubectl("get", "cm", "--as=alice")
    refused = kubectl.run("delete", "cm", "visible", "--as=alice")
    assert refused.returncode == 1 and 'User "alice" cannot delete resource "configmaps"' in refused.stderr
    assert kubectl.run("get", "secrets", "--as=alice").returncode == 1


def test_api_resources_lists_short_names_and_crds(kubectl) -> None:
    listed = kubectl("api-resources")
    assert "vm,vms" in listed and "customresourcedefinitions" in listed


def test_describe_shows_an_object_and_its_events(kubectl) -> None:
    kubectl.apply(CONFIGMAP)
    assert "settings" in kubectl("describe", "cm", "settings")
    assert "Status:" in kubectl("describe", "namespace", kubectl.namespace)


def test_a_service_account_token_opens_the_api_as_that_account(kubectl) -> None:
    kubectl("create", "serviceaccount", "robot")
    token = kubectl("create", "token", "robot").strip()
    who = kubectl.run("auth", "whoami", "--token", token, "--client-certificate=", "--client-key=")
    assert f"system:serviceaccount:{kubectl.namespace}:robot" in who.stdout, who.stderr


def test_an_unknown_name_and_an_unknown_kind_are_told_apart(kubectl) -> None:
    assert 'configmaps "nope" not found' in kubectl.run("get", "cm", "nope").stderr
    assert "the server doesn't have a resource type" in kubectl.run("get", "nopes").stderr
