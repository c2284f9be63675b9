"""A path of the node is host access: who may name one in an import, a VM or a pod, and who may not."""

import pytest

RBAC = "/apis/rbac.authorization.k8s.io/v1"
IMPORTS = "/apis/isthmus.dev/v1alpha1/namespaces/default/virtualmachineimports"
VMS = "/apis/kubevirt.io/v1/namespaces/default/virtualmachines"
PODS = "/api/v1/namespaces/default/pods"


def an_import(name="i", **source):
    return {
        "apiVersion": "isthmus.dev/v1alpha1",
        "kind": "VirtualMachineImport",
        "metadata": {"name": name},
        "spec": {"source": source},
    }


def a_vm(name, volume):
    domain = {"memory": {"guest": "64Mi"}, "devices": {"disks": [{"name": "d", "disk": {"bus": "virtio"}}]}}
    spec = {"domain": domain, "volumes": [{"name": "d", **volume}]}
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": name},
        "spec": {"runStrategy": "Halted", "template": {"metadata": {}, "spec": spec}},
    }


def a_pod(name, image):
    containers = [{"name": "c", "image": image, "args": ["inspect", "--source", "/etc/shadow"]}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": containers}}


async def bind(api, role, user):
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
    subjects = [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}]
    body = {"metadata": {"name": f"{user}-{role}"}, "roleRef": reference, "subjects": subjects}
    await api("POST", f"{RBAC}/namespaces/default/rolebindings", body, code=201)


@pytest.mark.parametrize("role", ["edit", "admin"])
async def test_whoever_edits_a_namespace_may_not_import_from_a_path_but_may_upload(api, role):
    await bind(api, role, "alice")
    refused = await api("POST", IMPORTS, an_import(path="/srv/a.ova"), code=403, user="alice")
    assert "/srv/a.ova" in refused["message"]
    assert "isthmus import --upload" in refused["message"]
    assert "hostpaths" in refused["message"]
    await api("POST", IMPORTS, an_import("u", upload={"size": 5}), code=201, user="alice")
    await api("POST", IMPORTS, an_import("w", url="https://h/a.ova"), code=201, user="alice")


async def test_the_administrator_may_and_so_may_whoever_was_given_the_verb_use(api):
    await api("POST", IMPORTS, an_import("admins", path="/srv/a.ova"), code=201)
    rules = [{"apiGroups": ["isthmus.dev"], "resources": ["hostpaths"], "verbs": ["use"]}]
    await api("POST", f"{RBAC}/clusterroles", {"metadata": {"name": "paths"}, "rules": rules}, code=201)
    await bind(api, "edit", "alice")
    await bind(api, "paths", "alice")
    await api("POST", IMPORTS, an_import("hers", path="/srv/a.ova"), code=201, user="alice")


async def test_a_vm_gets_no_host_disk_at_creation_nor_later(api):
    await bind(api, "edit", "alice")
    host = {"hostDisk": {"path": "/srv/disk.img", "type": "Disk"}}
    refused = await api("POST", VMS, a_vm("v", host), code=403, user="alice")
    assert "spec.template.spec.volumes[d].hostDisk" in refused["message"]
    made = await api("POST", VMS, a_vm("v", {"emptyDisk": {"capacity": "1Mi"}}), code=201, user="alice")
    made["spec"]["template"]["spec"]["volumes"] = [{"name": "d", **host}]
    await api("PUT", f"{VMS}/v", made, code=403, user="alice")


async def test_an_object_with_a_path_stays_editable_for_others_in_everything_else(api):
    await bind(api, "edit", "alice")
    made = await api("POST", VMS, a_vm("v", {"hostDisk": {"path": "/d.img", "type": "Disk"}}), code=201)
    made["metadata"]["labels"] = {"team": "a"}
    await api("PUT", f"{VMS}/v", made, code=200, user="alice")


@pytest.mark.parametrize("image", ["isthmus.dev/worker", "isthmus.dev/worker:1", "isthmus.dev/worker@sha256:ab"])
async def test_nobody_runs_our_worker_with_arguments_of_their_own(api, image):
    await bind(api, "edit", "alice")
    await api("POST", PODS, a_pod("p", image), code=403, user="alice")
    await api("POST", PODS, a_pod("q", "example.org/other"), code=201, user="alice")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ({}, "exactly one of path, url and upload"),
        ({"path": "/a", "url": "https://h/a"}, "exactly one of path, url and upload"),
        ({"path": "/a", "secretRef": "s"}, "secretRef and certConfigMap go with url"),
        ({"url": "https://user:password@h/a"}, "secretRef"),
    ],
)
async def test_a_source_that_makes_no_sense_is_refused(api, source, why):
    assert why in (await api("POST", IMPORTS, an_import(**source), code=422))["message"]


async def test_the_spec_of_an_import_stays_but_for_running(api):
    made = await api("POST", IMPORTS, an_import(url="https://h/a.ova"), code=201)
    made["spec"]["running"] = True
    made = await api("PUT", f"{IMPORTS}/i", made, code=200)
    made["spec"]["source"]["url"] = "https://h/b.ova"
    refused = await api("PUT", f"{IMPORTS}/i", made, code=422)
    assert "only spec.running can" in refused["message"]
