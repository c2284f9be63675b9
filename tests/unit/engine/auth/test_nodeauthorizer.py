"""What the agent of a node may do, and what it may not: read and written through the whole server."""

import pytest

NODE = {"user": "system:node:n1", "impersonate_group": "system:nodes"}
OTHER = {"user": "system:node:n2", "impersonate_group": "system:nodes"}
CORE, NS = "/api/v1", "/api/v1/namespaces/default"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
VMIS = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances"
MERGE = "application/merge-patch+json"


async def as_node(api, method, path, body=None, code=200, who=NODE, patch=False):
    headers = {"content_type": MERGE} if patch else {}
    return await api(method, path, body, code=code, user=who["user"], impersonate_group="system:nodes", **headers)


def a_pod(name, node=None, secret="", **metadata):
    spec = {"containers": [{"name": "c", "image": "x"}]}
    if node:
        spec["nodeName"] = node
    if secret:
        spec["volumes"] = [{"name": "v", "secret": {"secretName": secret}}]
    return {"metadata": {"name": name} | metadata, "spec": spec}


def a_machine(name, secret):
    disk = {"name": "ci", "disk": {"bus": "virtio"}}
    volume = {"name": "ci", "cloudInitNoCloud": {"secretRef": {"name": secret}}}
    domain = {"memory": {"guest": "64Mi"}, "devices": {"disks": [disk]}}
    return {"metadata": {"name": name}, "spec": {"domain": domain, "volumes": [volume]}}


@pytest.fixture
async def cluster(api):
    """Secrets `mine` and `theirs`, which pods of the same names on n1 and n2 refer to."""
    for name in ("mine", "theirs", "free"):
        await api("POST", f"{NS}/secrets", {"metadata": {"name": name}, "stringData": {"k": name}}, code=201)
    await api("POST", f"{NS}/pods", a_pod("mine", "n1", "mine"), code=201)
    await api("POST", f"{NS}/pods", a_pod("theirs", "n2", "theirs"), code=201)
    return api


async def test_a_node_reads_the_secrets_of_its_pods_and_no_others(cluster):
    await as_node(cluster, "GET", f"{NS}/secrets/mine")
    await as_node(cluster, "GET", f"{NS}/secrets?fieldSelector=metadata.name%3Dmine")
    for path in ("secrets/theirs", "secrets/free", "secrets", "secrets?fieldSelector=metadata.name%3Dtheirs"):
        await as_node(cluster, "GET", f"{NS}/{path}", code=403)
    await as_node(cluster, "GET", f"{CORE}/secrets", code=403)
    await as_node(cluster, "GET", f"{NS}/secrets?fieldSelector=metadata.name!%3Dfree", code=403)
    await as_node(cluster, "PATCH", f"{NS}/secrets/mine", {"data": None}, code=403, patch=True)
    await as_node(cluster, "DELETE", f"{NS}/secrets/mine", code=403)


async def test_a_secret_is_a_nodes_no_more_when_its_pod_has_ended_or_gone(cluster):
    ended = {"status": {"phase": "Succeeded"}}
    await as_node(cluster, "PATCH", f"{NS}/pods/mine/status", ended, patch=True)
    await as_node(cluster, "GET", f"{NS}/secrets/mine", code=403)
    await cluster("DELETE", f"{NS}/pods/theirs", {"gracePeriodSeconds": 0})
    await as_node(cluster, "GET", f"{NS}/secrets/theirs", code=403, who=OTHER)


async def test_a_node_reads_the_secrets_of_the_machine_that_its_launcher_stands_for(cluster):
    vmi = await cluster("POST", VMIS, a_machine("vm", "free"), code=201)
    await as_node(cluster, "GET", f"{NS}/secrets/free", code=403)
    owner = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "name": "vm"}
    owners = [owner | {"uid": vmi["metadata"]["uid"], "controller": True}]
    launcher = a_pod("virt-launcher-vm", "n1", labels={"kubevirt.io": "virt-launcher"}, ownerReferences=owners)
    await cluster("POST", f"{NS}/pods", launcher, code=201)
    await as_node(cluster, "GET", f"{NS}/secrets/free")
    await as_node(cluster, "GET", f"{NS}/secrets/free", code=403, who=OTHER)


async def test_a_node_lists_and_watches_its_own_pods_only(cluster):
    found = await as_node(cluster, "GET", f"{CORE}/pods?fieldSelector=spec.nodeName%3Dn1")
    assert [p["metadata"]["name"] for p in found["items"]] == ["mine"]
    await as_node(cluster, "GET", f"{CORE}/pods?watch=1&timeoutSeconds=1&fieldSelector=spec.nodeName%3Dn1")
    for path in ("pods", "pods?fieldSelector=spec.nodeName%3Dn2", "pods?fieldSelector=spec.nodeName!%3Dn1"):
        await as_node(cluster, "GET", f"{CORE}/{path}", code=403)
    await as_node(cluster, "GET", f"{NS}/pods/mine")
    await as_node(cluster, "GET", f"{NS}/pods/theirs", code=403)


async def test_a_node_writes_the_status_of_its_own_pods_and_deletes_no_others(cluster):
    ready = {"status": {"phase": "Running"}}
    await as_node(cluster, "PATCH", f"{NS}/pods/mine/status", ready, patch=True)
    await as_node(cluster, "PATCH", f"{NS}/pods/theirs/status", ready, code=403, patch=True)
    await as_node(cluster, "PATCH", f"{NS}/pods/mine", {"metadata": {"labels": {"a": "b"}}}, code=403, patch=True)
    await as_node(cluster, "DELETE", f"{NS}/pods/theirs", {"gracePeriodSeconds": 0}, code=403)
    evict = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "theirs"}}
    await as_node(cluster, "POST", f"{NS}/pods/theirs/eviction", evict, code=403)
    await as_node(cluster, "POST", f"{NS}/pods/mine/binding", {"target": {"name": "n1"}}, code=403)
    await as_node(cluster, "DELETE", f"{NS}/pods/mine", {"gracePeriodSeconds": 0})


async def test_a_node_creates_mirror_pods_only_and_none_that_refers_to_anything(cluster):
    node = await as_node(cluster, "POST", f"{CORE}/nodes", {"metadata": {"name": "n1"}, "spec": {}}, code=201)
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": node["metadata"]["uid"], "controller": True}
    mirror = {"annotations": {"kubernetes.io/config.mirror": "1"}, "ownerReferences": [owner]}
    for body in (
        a_pod("plain", "n1", "free"),
        a_pod("reading", "n1", "free", **mirror),
        a_pod("elsewhere", "n2", **mirror),
        a_pod("orphan", "n1", annotations=mirror["annotations"]),
        a_pod("false", "n1", **mirror | {"ownerReferences": [owner | {"uid": "another"}]}),
    ):
        await as_node(cluster, "POST", f"{NS}/pods", body, code=403)
    claim = a_pod("claiming", "n1", **mirror)
    claim["spec"]["volumes"] = [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]
    await as_node(cluster, "POST", f"{NS}/pods", claim, code=403)
    await as_node(cluster, "GET", f"{NS}/secrets/free", code=403)


async def test_a_mirror_pod_of_its_own_is_a_nodes_to_create(api):
    node = await as_node(api, "POST", f"{CORE}/nodes", {"metadata": {"name": "n1"}, "spec": {}}, code=201)
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": node["metadata"]["uid"], "controller": True}
    body = a_pod("static", "n1", annotations={"kubernetes.io/config.mirror": "1"}, ownerReferences=[owner])
    await as_node(api, "POST", f"{NS}/pods", body, code=201)


async def test_a_node_writes_itself_but_no_other_and_no_label_that_draws_work_to_it(api):
    labels = {"kubernetes.io/hostname": "n1", "kubevirt.io/schedulable": "true"}
    await as_node(api, "POST", f"{CORE}/nodes", {"metadata": {"name": "n1", "labels": labels}, "spec": {}}, code=201)
    await as_node(api, "POST", f"{CORE}/nodes", {"metadata": {"name": "n2"}, "spec": {}}, code=403)
    await api("POST", f"{CORE}/nodes", {"metadata": {"name": "n2"}, "spec": {}}, code=201)
    await as_node(api, "PATCH", f"{CORE}/nodes/n1/status", {"status": {"phase": "Running"}}, patch=True)
    await as_node(api, "PATCH", f"{CORE}/nodes/n2/status", {"status": {"phase": "Running"}}, code=403, patch=True)
    taints = {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}
    await as_node(api, "PATCH", f"{CORE}/nodes/n1", taints, code=403, patch=True)
    for label, code in (
        ("topology.kubernetes.io/zone", 200),
        ("node.kubernetes.io/anything", 200),
        ("example.com/anything", 200),
        ("node-restriction.kubernetes.io/trusted", 403),
        ("node-role.kubernetes.io/control-plane", 403),
        ("x.k8s.io/y", 403),
    ):
        change = {"metadata": {"labels": {label: "v"}}}
        await as_node(api, "PATCH", f"{CORE}/nodes/n1", change, code=code, patch=True)
    await as_node(api, "GET", f"{CORE}/nodes/n1")
    await as_node(api, "GET", f"{CORE}/nodes", code=403)
    await as_node(api, "GET", f"{CORE}/nodes/n2", code=403)
    await as_node(api, "DELETE", f"{CORE}/nodes/n1", code=403)


async def test_a_node_keeps_its_own_lease(api):
    await as_node(api, "POST", LEASES, {"metadata": {"name": "n1"}, "spec": {}}, code=201)
    await as_node(api, "POST", LEASES, {"metadata": {"name": "n2"}, "spec": {}}, code=403)
    await as_node(api, "PATCH", f"{LEASES}/n1", {"spec": {"holderIdentity": "n1"}}, patch=True)
    await as_node(api, "PATCH", f"{LEASES}/n1", {"spec": {}}, code=403, who=OTHER, patch=True)
    elsewhere = LEASES.replace("kube-node-lease", "default")
    await as_node(api, "POST", elsewhere, {"metadata": {"name": "n1"}, "spec": {}}, code=403)


async def test_a_node_gets_tokens_bound_to_its_own_pods(cluster):
    pod = a_pod("bearer", "n1")
    pod["spec"]["serviceAccountName"] = "robot"
    for name in ("robot", "idle"):
        await cluster("POST", f"{NS}/serviceaccounts", {"metadata": {"name": name}}, code=201)
    made = await cluster("POST", f"{NS}/pods", pod, code=201)
    theirs = await cluster("GET", f"{NS}/pods/theirs", code=200)

    def bound(to):
        uid = to["metadata"]["uid"]
        reference = {"apiVersion": "v1", "kind": "Pod", "name": to["metadata"]["name"], "uid": uid}
        return {"spec": {"boundObjectRef": reference}}

    path = f"{NS}/serviceaccounts/robot/token"
    await as_node(cluster, "POST", path, bound(made), code=201)
    await as_node(cluster, "POST", path, {}, code=403)
    await as_node(cluster, "POST", path, bound(theirs), code=403)
    await as_node(cluster, "POST", f"{NS}/serviceaccounts/idle/token", bound(made), code=403)
    await as_node(cluster, "POST", path, bound(theirs), code=403, who=OTHER)
    await as_node(cluster, "GET", f"{NS}/serviceaccounts/robot", code=403)


async def test_a_node_writes_the_status_of_machines_that_it_runs_and_nothing_else_of_them(cluster):
    vmi = await cluster("POST", VMIS, a_machine("vm", "free"), code=201)
    running = {"status": {"phase": "Running", "nodeName": "n1"}}
    await as_node(cluster, "PATCH", f"{VMIS}/vm", running, code=403, patch=True)
    owner = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "name": "vm"}
    owners = [owner | {"uid": vmi["metadata"]["uid"], "controller": True}]
    launcher = a_pod("virt-launcher-vm", "n1", labels={"kubevirt.io": "virt-launcher"}, ownerReferences=owners)
    await cluster("POST", f"{NS}/pods", launcher, code=201)
    await as_node(cluster, "PATCH", f"{VMIS}/vm", running, patch=True)
    await as_node(cluster, "PATCH", f"{VMIS}/vm", running, code=403, who=OTHER, patch=True)
    credential = {"source": {"secret": {"secretName": "theirs"}}, "propagationMethod": {"qemuGuestAgent": {}}}
    for change in (
        {"status": {"nodeName": "n2"}},
        {"metadata": {"labels": {"a": "b"}}},
        {"metadata": {"finalizers": None}},
        {"spec": {"accessCredentials": [{"userPassword": credential}]}},
    ):
        await as_node(cluster, "PATCH", f"{VMIS}/vm", change, code=403, patch=True)
    await as_node(cluster, "POST", VMIS, a_machine("new", "theirs"), code=403)


def a_volume(name, node):
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "local": {"path": "/x"},
            "storageClassName": "",
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}},
        },
    }


async def test_a_node_writes_its_finalizer_on_volumes_that_lie_with_it(api):
    for name in ("n1", "n2"):
        await api("POST", f"{CORE}/persistentvolumes", a_volume(f"pv-{name}", name), code=201)
    ours = {"metadata": {"finalizers": ["isthmus.dev/local-volume"]}}
    await as_node(api, "PATCH", f"{CORE}/persistentvolumes/pv-n1", ours, patch=True)
    await as_node(api, "PATCH", f"{CORE}/persistentvolumes/pv-n2", ours, code=403, patch=True)
    for change in ({"metadata": {"finalizers": ["a.b/c"]}}, {"spec": {"persistentVolumeReclaimPolicy": "Delete"}}):
        await as_node(api, "PATCH", f"{CORE}/persistentvolumes/pv-n1", change, code=403, patch=True)


async def test_a_node_says_on_the_claim_how_an_upload_goes(api):
    claims = f"{NS}/persistentvolumeclaims"
    for name in ("n1", "n2"):
        await api("POST", f"{CORE}/persistentvolumes", a_volume(f"pv-{name}", name), code=201)
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "volumeName": f"pv-{name}",
            "storageClassName": "",
        }
        await api("POST", claims, {"metadata": {"name": name}, "spec": spec}, code=201)
    done = {"metadata": {"annotations": {"cdi.kubevirt.io/storage.pod.phase": "Succeeded"}}}
    await as_node(api, "PATCH", f"{claims}/n1", done, patch=True)
    await as_node(api, "PATCH", f"{claims}/n2", done, code=403, patch=True)
    for change in ({"metadata": {"annotations": {"a": "b"}}}, {"metadata": {"labels": {"a": "b"}}}):
        await as_node(api, "PATCH", f"{claims}/n1", change, code=403, patch=True)


async def test_a_node_tells_events_again_and_lists_none(api):
    event = {"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}}
    await as_node(api, "POST", f"{NS}/events", event, code=201)
    await as_node(api, "GET", f"{NS}/events/e")
    await as_node(api, "PATCH", f"{NS}/events/e", {"count": 2}, patch=True)
    await as_node(api, "GET", f"{NS}/events", code=403)


@pytest.mark.parametrize(
    ("user", "group"), [("system:node:n1", "others"), ("alice", "system:nodes"), ("system:node:", "system:nodes")]
)
async def test_half_an_identity_of_a_node_is_none(cluster, user, group):
    await cluster("GET", f"{NS}/secrets/mine", code=403, user=user, impersonate_group=group)
    await cluster("GET", f"{CORE}/pods?fieldSelector=spec.nodeName%3D", code=403, user=user, impersonate_group=group)


async def test_the_binding_that_older_homes_have_is_withdrawn(api):
    from isthmus.engine.server import bootstrap

    bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node"}
    subjects = [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:nodes"}]
    old = {"metadata": {"name": "system:isthmus:nodes"}, "roleRef": reference, "subjects": subjects}
    await api("POST", bindings, old, code=201)
    await bootstrap.write(api.server)
    await api("GET", f"{bindings}/system:isthmus:nodes", code=404)
    assert not (await api("GET", f"{bindings}/system:node", code=200)).get("subjects")
