"""What KubeVirt promises about VMs, instance types, DataVolumes, replica sets and pools, on a running platform.

The guests are boot sectors (tests/guests/sector.py): one idles, one powers itself off. What a guest does inside is
test_vm_lifecycle's matter.
"""

import copy
import json
import time

import pytest
from tests.e2e import manifests
from tests.e2e.platform import ApiError, get_condition, wait_for
from tests.guests import sector

pytestmark = pytest.mark.e2e
GENERATION = "kubevirt.io/vm-generation"


@pytest.fixture(scope="module", autouse=True)
def images(running_platform, tmp_path_factory):
    with running_platform.space.entered():
        for name in sector.PROGRAMS:
            archive = tmp_path_factory.mktemp("sector") / f"{name}.tar"
            sector.write(archive, name)
            running_platform.isthmus("image load", str(archive), "--name", f"isthmus.test/{name}:1")


@pytest.fixture
def made(platform):
    """Names of kinds to delete at the end: made("vm", "a")."""
    names = []
    yield lambda *pair: names.append(pair)
    for kind, name in names:
        platform.kubectl("delete", kind, name, "--ignore-not-found", "--timeout=60s")


def guest(image=sector.IDLE, **changes):
    """The spec of a VMI of one boot sector."""
    spec = manifests.vmi_spec(terminationGracePeriodSeconds=0, **changes)
    spec["volumes"][0]["containerDisk"]["image"] = image
    spec["domain"].setdefault("memory", {"guest": "32Mi"})
    return spec


def vm(name, strategy="Always", image=sector.IDLE, **spec):
    body = manifests.vm(name, strategy)
    body["spec"]["template"]["spec"] = guest(image)
    body["spec"] |= spec
    return body


def act(platform, name, verb, **body):
    path = f"/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachines/{name}/{verb}"
    platform.request("PUT", path, body)


def has(platform, kind, name, condition):
    found = platform.find(kind, name)
    return get_condition(found, condition) if found else None


def read(platform, kind, name):
    return json.loads(platform.kubectl("get", kind, name, "-o", "json"))


# What no node has


NOWHERE = [  # fields of the domain, of the spec, what the scheduler says
    ({"devices": {"gpus": [{"name": "g", "deviceName": "example.com/GPU"}]}}, {}, "1 Insufficient example.com/GPU"),
    (
        {"devices": {"hostDevices": [{"name": "u", "deviceName": "example.com/usb"}]}},
        {},
        "1 Insufficient example.com/usb",
    ),
    (
        {"devices": {"gpus": [{"name": "g", "claimName": "c", "requestName": "r"}]}},
        {"resourceClaims": [{"name": "c", "resourceClaimTemplateName": "t"}]},
        "1 cannot allocate all claims",
    ),
    ({}, {"architecture": "arm64"}, "1 node(s) didn't match Pod's node affinity/selector"),
    ({"memory": {"guest": "64Mi", "hugepages": {"pageSize": "2Mi"}}}, {}, "1 Insufficient hugepages-2Mi"),
    ({"cpu": {"cores": 500}, "resources": {"requests": {"cpu": "500"}}}, {}, "1 Insufficient cpu"),
]


@pytest.mark.parametrize(("domain", "spec", "why"), NOWHERE, ids=[why for *_, why in NOWHERE])
def test_what_no_node_has_leaves_an_instance_unscheduled_with_the_reason(platform, made, domain, spec, why):
    body = manifests.vmi("nowhere")
    body["spec"] = guest() | spec
    devices = {**body["spec"]["domain"]["devices"], **domain.get("devices", {})}
    body["spec"]["domain"] |= domain | {"devices": devices}
    made("vmi", "nowhere")
    platform.create(body)
    condition = wait_for(lambda: has(platform, "vmi", "nowhere", "PodScheduled"), 10)
    assert (condition["status"], condition["reason"]) == ("False", "Unschedulable")
    assert why in condition["message"]
    assert platform.get("vmi", "nowhere")["status"]["phase"] == "Scheduling"


# Run strategies


def test_a_paused_start_of_a_halted_vm_starts_it_paused(platform, made):
    made("vm", "sp")
    platform.create(vm("sp", "Halted"))
    platform.wait_status("sp", "Stopped")
    act(platform, "sp", "start", paused=True)
    started = platform.wait_status("sp", "Paused")
    assert started["spec"]["runStrategy"] == "Always"
    assert not started["status"].get("stateChangeRequests")


def test_running_is_the_old_word_for_two_strategies_and_stays_the_word_in_use(platform, made):
    made("vm", "old")
    body = vm("old")
    body["spec"]["running"] = False
    del body["spec"]["runStrategy"]
    platform.create(body)
    platform.wait_status("old", "Stopped")
    act(platform, "old", "start")
    running = platform.wait_status("old", "Running")
    assert running["spec"]["running"] is True
    assert "runStrategy" not in running["spec"]
    platform.patch("vm", "old", {"spec": {"running": False}})
    platform.wait_status("old", "Stopped")
    assert platform.find("vmi", "old") is None


def test_a_guest_whose_work_is_done_is_left_by_once_and_manual_and_started_again_by_always(platform, made):
    for name, strategy in (("once", "Once"), ("man", "Manual"), ("alw", "Always")):
        made("vm", name)
        platform.create(vm(name, strategy, sector.DONE))
    platform.wait_status("man", "Stopped")
    act(platform, "man", "start")
    first = wait_for(lambda: platform.find("vmi", "alw"))["metadata"]["uid"]
    for name in ("once", "man"):
        platform.wait_phase("vmi", name, "Succeeded", 60)
        assert platform.wait_status(name, "Stopped")["status"]["created"]
    again = wait_for(lambda: (v := platform.find("vmi", "alw")) and v["metadata"]["uid"] != first and v, 60)
    assert not platform.get("vm", "alw")["status"].get("startFailure")
    assert again["spec"]["domain"]["firmware"]["uuid"]
    act(platform, "man", "start")
    platform.wait_status("man", "Running", 60)


def test_a_strategy_that_starts_once_waits_for_its_disk_and_then_does(platform, made):
    made("vm", "rof")
    source = {"pvc": {"namespace": "default", "name": "later"}}
    template = {"metadata": {"name": "rof-data"}, "spec": manifests.data_volume("x", source)["spec"]}
    body = vm("rof", "RerunOnFailure", dataVolumeTemplates=[template])
    body["spec"]["template"]["spec"]["volumes"].append({"name": "data", "dataVolume": {"name": "rof-data"}})
    platform.create(body)
    waiting = platform.wait_status("rof", "Provisioning")
    assert "runStrategy" not in waiting["status"]
    made("pvc", "later")
    annotations = {"cdi.kubevirt.io/storage.bind.immediate.requested": ""}
    platform.create(
        manifests.data_volume("later", {"blank": {}}) | {"metadata": {"name": "later", "annotations": annotations}}
    )
    made("dv", "later")
    assert platform.wait_status("rof", "Running", 60)["status"]["runStrategy"] == "RerunOnFailure"


def test_a_vm_that_cannot_be_given_a_pod_says_why(platform, made):
    made("vm", "noclass")
    body = vm("noclass")
    body["spec"]["template"]["spec"]["priorityClassName"] = "nobody-made-it"
    platform.create(body)
    condition = wait_for(lambda: has(platform, "vm", "noclass", "Synchronized"))
    assert (condition["status"], condition["reason"]) == ("False", "FailedCreate")
    assert "no PriorityClass with name nobody-made-it was found" in condition["message"]
    assert get_condition(platform.get("vm", "noclass"), "Ready")["reason"] == "PodNotExists"


def test_a_missing_claim_is_named_and_the_vm_starts_when_it_comes(platform, made):
    made("vm", "claims")
    body = vm("claims")
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "absent"}}
    body["spec"]["template"]["spec"]["volumes"].append(volume)
    platform.create(body)
    platform.wait_status("claims", "ErrorPvcNotFound")
    assert has(platform, "vmi", "claims", "Synchronized")["reason"] == "FailedPvcNotFound"
    made("pvc", "absent")
    platform.kubectl("create", "-f", "-", stdin=manifests.claim("absent", "64Mi"))
    platform.wait_status("claims", "Running")


def test_what_needs_a_device_that_no_node_has_is_not_scheduled(platform, made):
    made("vm", "gpu")
    body = vm("gpu")
    body["spec"]["template"]["spec"]["domain"]["devices"]["gpus"] = [{"name": "g", "deviceName": "example.com/gpu"}]
    platform.create(body)
    stuck = platform.wait_status("gpu", "ErrorUnschedulable")
    assert "Insufficient example.com/gpu" in get_condition(stuck, "PodScheduled")["message"]


# Changes of a running VM


def test_changes_of_the_template_reach_a_running_guest_or_ask_for_a_restart(platform, made):
    made("vm", "edit")
    platform.create(vm("edit"))
    platform.wait_status("edit", "Running")

    def template(change):
        return platform.patch("vm", "edit", {"spec": {"template": change}})["metadata"]["generation"]

    def generation():
        return int(platform.get("vmi", "edit")["metadata"]["annotations"][GENERATION])

    moved = template({"spec": {"nodeSelector": {"kubernetes.io/hostname": platform.node}}})
    wait_for(lambda: platform.get("vmi", "edit")["spec"].get("nodeSelector") and generation() == moved)
    evict = "descheduler.alpha.kubernetes.io/evict"
    noted = template({"metadata": {"annotations": {evict: "true"}}})
    wait_for(lambda: generation() == noted)
    assert platform.get("vmi", "edit")["metadata"]["annotations"][evict] == "true"

    relabelled = template({"metadata": {"labels": {"tier": "db"}}})
    observed = wait_for(lambda: (s := platform.get("vm", "edit")["status"])["desiredGeneration"] == relabelled and s)
    assert observed["observedGeneration"] == noted
    assert "tier" not in platform.get("vmi", "edit")["metadata"]["labels"]

    template({"spec": {"domain": {"cpu": {"cores": 2}}}})
    wait_for(lambda: has(platform, "vm", "edit", "RestartRequired"))
    template({"spec": {"domain": {"cpu": None}}})
    wait_for(lambda: not has(platform, "vm", "edit", "RestartRequired"))
    last = template({"spec": {"domain": {"cpu": {"cores": 2}}}})
    wait_for(lambda: has(platform, "vm", "edit", "RestartRequired"))
    before = platform.get("vmi", "edit")["metadata"]["uid"]
    act(platform, "edit", "restart")
    wait_for(
        lambda: (v := platform.find("vmi", "edit")) and v["metadata"]["uid"] != before and generation() == last, 60
    )
    platform.wait_status("edit", "Running")
    assert not has(platform, "vm", "edit", "RestartRequired")
    vmi, uid = platform.get("vmi", "edit"), platform.get("vm", "edit")["metadata"]["uid"]
    assert vmi["metadata"]["labels"]["tier"] == "db"
    assert vmi["status"]["virtualMachineRevisionName"] == f"revision-start-vm-{uid}-{last}"
    names = platform.kubectl("get", "controllerrevisions", "-o", "name")
    assert names.count(f"revision-start-vm-{uid}") == 1


# Instance types and preferences


def test_the_common_types_are_there_and_a_vm_of_one_runs(platform, made):
    wait_for(lambda: "windows.2k22" in platform.kubectl("get", "vmcp", "-o", "name"))
    made("vm", "nano")
    body = vm("nano", instancetype={"name": "u1.nano"}, preference={"name": "linux"})
    domain = body["spec"]["template"]["spec"]["domain"]
    domain.pop("memory")
    domain["devices"]["disks"] = [{"name": "root"}]
    platform.create(body)
    running = platform.wait_status("nano", "Running", 60)
    vmi = platform.get("vmi", "nano")
    assert vmi["spec"]["domain"]["memory"]["guest"] == "512Mi"
    assert vmi["spec"]["domain"]["devices"]["disks"] == [{"name": "root", "disk": {"bus": "virtio"}}]
    source = read(platform, "vmcf", "u1.nano")["metadata"]
    reference = running["status"]["instancetypeRef"]
    expected = f"nano-u1.nano-v1beta1-{source['uid']}-{source.get('generation', 1)}"
    assert reference == {
        "kind": "VirtualMachineClusterInstancetype",
        "name": "u1.nano",
        "controllerRevisionRef": {"name": expected},
    }
    revision = read(platform, "controllerrevision", expected)
    assert revision["data"]["kind"] == "VirtualMachineClusterInstancetype"
    assert revision["data"]["spec"]["memory"] == {"guest": "512Mi"}
    assert revision["metadata"]["ownerReferences"][0]["uid"] == running["metadata"]["uid"]


def test_a_type_is_captured_when_the_vm_is_made_and_another_only_when_it_is_named(platform, made):
    def put(name, memory):
        spec = {"cpu": {"guest": 1}, "memory": {"guest": memory}}
        kind = {"apiVersion": "instancetype.kubevirt.io/v1beta1", "kind": "VirtualMachineInstancetype"}
        platform.kubectl("apply", "-f", "-", stdin=kind | {"metadata": {"name": name}, "spec": spec})

    for name, memory in (("small-one", "32Mi"), ("big-one", "48Mi")):
        made("vminstancetype", name)
        put(name, memory)
    made("vm", "typed")
    body = vm("typed", "Halted", instancetype={"name": "small-one", "kind": "VirtualMachineInstancetype"})
    body["spec"]["template"]["spec"]["domain"].pop("memory")
    platform.create(body)
    wait_for(lambda: platform.get("vm", "typed").get("status", {}).get("instancetypeRef"))
    put("small-one", "64Mi")
    act(platform, "typed", "start")
    platform.wait_status("typed", "Running")
    assert platform.get("vmi", "typed")["spec"]["domain"]["memory"]["guest"] == "32Mi"
    platform.patch("vm", "typed", {"spec": {"instancetype": {"name": "big-one"}}})
    wait_for(lambda: platform.get("vm", "typed")["status"]["instancetypeRef"]["name"] == "big-one")
    wait_for(lambda: has(platform, "vm", "typed", "RestartRequired"))
    act(platform, "typed", "restart")
    wait_for(lambda: (v := platform.find("vmi", "typed")) and v["spec"]["domain"]["memory"]["guest"] == "48Mi", 60)


# Disks that come with the VM


def test_the_disk_of_a_vm_is_its_own_and_is_adopted_when_its_data_volume_was_deleted(platform, made):
    made("vm", "disk")
    template = {"metadata": {"name": "disk-data"}, "spec": manifests.data_volume("x", {"blank": {}})["spec"]}
    body = vm("disk", dataVolumeTemplates=[template])
    body["spec"]["template"]["spec"]["volumes"].append({"name": "data", "dataVolume": {"name": "disk-data"}})
    uid = platform.create(body)["metadata"]["uid"]
    platform.wait_status("disk", "Running", 60)
    volume = platform.get("dv", "disk-data")
    assert volume["metadata"]["labels"]["kubevirt.io/created-by"] == uid
    assert volume["metadata"]["ownerReferences"][0]["uid"] == uid
    claim = platform.get("pvc", "disk-data")["metadata"]["uid"]
    platform.kubectl("delete", "dv", "disk-data", "--cascade=orphan")
    adopted = wait_for(
        lambda: (d := platform.find("dv", "disk-data")) and d["metadata"]["uid"] != volume["metadata"]["uid"] and d
    )
    assert platform.wait_phase("dv", "disk-data", "Succeeded")["metadata"]["uid"] == adopted["metadata"]["uid"]
    assert platform.get("pvc", "disk-data")["metadata"]["uid"] == claim
    platform.delete("vm", "disk")
    for kind, name in (("vmi", "disk"), ("vm", "disk"), ("dv", "disk-data"), ("pvc", "disk-data")):
        platform.wait_gone(kind, name)


def test_deleting_a_vm_may_leave_its_instance_running(platform, made):
    made("vmi", "orphan")
    platform.create(vm("orphan"))
    uid = platform.wait_status("orphan", "Running") and platform.get("vmi", "orphan")["metadata"]["uid"]
    platform.kubectl("delete", "vm", "orphan", "--cascade=orphan")
    platform.wait_gone("vm", "orphan")
    time.sleep(1)
    left = platform.get("vmi", "orphan")
    assert (left["metadata"]["uid"], left["status"]["phase"]) == (uid, "Running")
    assert not left["metadata"].get("ownerReferences")


# Many of one template


def test_a_replica_set_is_scaled_by_kubectl(platform, made):
    made("vmirs", "crowd")
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "crowd"}}}
    spec["template"] = {"metadata": {"labels": {"app": "crowd"}}, "spec": guest()}
    body = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceReplicaSet", "metadata": {"name": "crowd"}}
    platform.kubectl("create", "-f", "-", stdin=body | {"spec": spec})

    def ready(count):
        status = read(platform, "vmirs", "crowd").get("status") or {}
        return (status.get("replicas"), status.get("readyReplicas")) == (count, count)

    wait_for(lambda: ready(1))
    platform.kubectl("scale", "vmirs", "crowd", "--replicas=2")
    wait_for(lambda: ready(2))
    assert platform.kubectl("get", "vmirs", "crowd", "--no-headers").split()[1:4] == ["2", "2", "2"]
    platform.kubectl("scale", "vmirs", "crowd", "--replicas=0")
    wait_for(lambda: not platform.list("vmi", query="labelSelector=app%3Dcrowd"), 60)


def test_a_pool_names_scales_updates_and_goes_with_its_vms(platform, made):
    made("vmpool", "pool")
    inner = vm("x")
    template = {"metadata": {"labels": {"pool": "p"}}, "spec": inner["spec"]}
    spec = {"replicas": 2, "selector": {"matchLabels": {"pool": "p"}}, "virtualMachineTemplate": template}
    spec["scaleInStrategy"] = {"proactive": {"selectionPolicy": {"sortPolicy": "DescendingOrder"}}}
    body = {"apiVersion": "pool.kubevirt.io/v1beta1", "kind": "VirtualMachinePool", "metadata": {"name": "pool"}}
    platform.kubectl("create", "-f", "-", stdin=body | {"spec": spec})
    for name in ("pool-0", "pool-1"):
        platform.wait_status(name, "Running", 60)
    wait_for(lambda: platform.kubectl("get", "vmpool", "pool", "--no-headers").split()[1:4] == ["2", "2", "2"])
    uids = {platform.get("vmi", name)["metadata"]["uid"] for name in ("pool-0", "pool-1")}

    changed = copy.deepcopy(template)
    changed["spec"]["template"]["spec"]["domain"]["cpu"] = {"cores": 2}
    platform.kubectl(
        "patch", "vmpool", "pool", "--type=merge", "-p", json.dumps({"spec": {"virtualMachineTemplate": changed}})
    )

    def updated():
        found = [platform.find("vmi", name) for name in ("pool-0", "pool-1")]
        return all(v and v["metadata"]["uid"] not in uids and v["spec"]["domain"]["cpu"]["cores"] == 2 for v in found)

    wait_for(updated, 60)
    platform.kubectl("scale", "vmpool", "pool", "--replicas=1")
    platform.wait_gone("vm", "pool-1")
    assert platform.find("vm", "pool-0")
    platform.kubectl("delete", "vmpool", "pool")
    for kind in ("vm", "vmi"):
        platform.wait_gone(kind, "pool-0")


# What it costs


def requests(platform):
    """How many requests the API server has answered that are not this test's own look at it."""
    text = platform.request("GET", "/metrics").decode()
    counted = [
        line for line in text.splitlines() if line.startswith("apiserver_request_total{") and 'resource=""' not in line
    ]
    return sum(float(line.rpartition(" ")[2]) for line in counted)


def test_a_start_and_a_deletion_take_few_requests_and_idling_hardly_any(platform, made):
    made("vm", "cheap")
    platform.create(vm("warm"))
    platform.wait_status("warm", "Running")
    platform.delete("vm", "warm")
    platform.wait_gone("vmi", "warm")
    time.sleep(2)
    before = requests(platform)
    platform.create(vm("cheap"))
    looks = 0
    while platform.get("vm", "cheap").get("status", {}).get("printableStatus") != "Running":
        looks += 1
        time.sleep(0.3)
    time.sleep(3)
    running = requests(platform)
    assert running - before - looks < 40
    time.sleep(15)
    idle = requests(platform)
    assert idle - running < 15
    platform.delete("vm", "cheap")
    time.sleep(4)
    assert requests(platform) - idle < 40


def test_a_guest_that_does_not_hear_the_button_is_waited_for_in_peace(platform, made):
    made("vm", "deaf")
    body = vm("deaf")
    body["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 6
    platform.create(body)
    platform.wait_status("deaf", "Running")
    act(platform, "deaf", "stop")
    platform.wait_status("deaf", "Stopping")
    before = requests(platform)
    time.sleep(4)
    assert requests(platform) - before < 20
    platform.wait_status("deaf", "Stopped")
    with pytest.raises(ApiError, match="VM is not running"):
        act(platform, "deaf", "stop")


def test_a_quota_of_pods_bounds_vms_and_the_instance_says_so(platform, made):
    made("vm", "bounded")
    made("resourcequota", "small")
    hard = {"requests.memory": "1Mi", "count/virtualmachines.kubevirt.io": "9"}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": {"hard": hard}}
    platform.kubectl("apply", "-f", "-", stdin=quota)
    platform.create(vm("bounded"))
    refused = wait_for(lambda: (has(platform, "vmi", "bounded", "Synchronized") or {}).get("message"), 20)
    assert "exceeded quota: small, requested: requests.memory=" in refused
    show = ("get", "resourcequota", "small", "-o", "jsonpath={.status.used}")
    counted = "count/virtualmachines.kubevirt.io"
    wait_for(lambda: json.loads(platform.kubectl(*show) or "{}").get(counted) == "1", 20)
    platform.kubectl("delete", "resourcequota", "small")
    platform.wait_phase("vmi", "bounded", "Running", 60)
