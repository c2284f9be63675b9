"""Controllers and scheduler as processes against the real API server; the test plays the node's agent through it."""

import asyncio
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from isthmus.client import resources as r
from isthmus.client.connect import open_client
from isthmus.lib import clock
from isthmus.lib.home import Home
from isthmus.machinery import conditions
from isthmus.machinery.errors import StatusError
from isthmus.operations import components, identities

pytestmark = pytest.mark.e2e


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    """A home with an API server and control loops; `client` is the administrator's."""

    def __init__(self, root: Path) -> None:
        self.home, self.port = Home(root), free_port()
        root.mkdir(parents=True)
        self.parts = components.components(self.home, self.port, ["n1"])
        identities.prepare(self.home, f"https://127.0.0.1:{self.port}", self.parts)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        argv = next(c.argv for c in self.parts if c.name == name)
        log = (self.home.root / f"{name}.log").open("ab")
        self.processes[name] = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)

    def kill(self, name: str, sig: int = signal.SIGKILL) -> None:
        process = self.processes.pop(name)
        process.send_signal(sig)
        process.wait(10)

    async def get(self, resource, name, namespace="default"):
        try:
            return await self.client.get(resource, name, namespace if resource.namespaced else "")
        except StatusError as error:
            if error.code == 404:
                return None
            raise

    async def until(self, look, seconds=15):
        """What `look()` gives once it gives something true."""
        async with asyncio.timeout(seconds):
            while True:
                try:
                    if found := await look():
                        return found
                except StatusError as error:
                    if error.code not in {404, 503}:
                        raise
                await asyncio.sleep(0.05)

    # The agent's part

    async def add_node(self, name: str, memory: str = "4Gi") -> None:
        body = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/arch": "amd64"}},
        }
        await self.client.create(r.NODES, body)
        amounts = {"cpu": "4", "memory": memory, "pods": "110"}
        ready = conditions.build("Ready", True, "KubeletReady", "ready")
        status = {"capacity": amounts, "allocatable": amounts, "conditions": [ready]}
        await self.client.patch(r.NODES, name, {"status": status}, subresource="status")

    async def launcher(self, vmi_name: str, namespace="default"):
        vmi = await self.client.get(r.VMIS, vmi_name, namespace)
        pods = await self.client.list(r.PODS, namespace, labels=f"kubevirt.io/created-by={vmi['metadata']['uid']}")
        return next((p for p in pods["items"] if p["spec"].get("nodeName")), None)

    async def run_guest(self, name: str, namespace="default"):
        """Pod Running, VMI Scheduled by the controller, VMI Running."""
        pod = await self.until(lambda: self.launcher(name, namespace))
        ready = [conditions.build("Ready", True)]
        status = {"phase": "Running", "podIP": "10.0.0.9", "conditions": ready}
        await self.client.patch(r.PODS, pod["metadata"]["name"], {"status": status}, namespace, subresource="status")
        await self.until(lambda: self.in_phase(r.VMIS, name, "Scheduled", namespace))
        await self.client.patch(r.VMIS, name, {"status": {"phase": "Running"}}, namespace)
        return await self.until(lambda: self.ready(name, namespace))

    async def ready(self, name, namespace="default"):
        vmi = await self.get(r.VMIS, name, namespace)
        return vmi if vmi and conditions.is_true(vmi, "Ready") else None

    async def end_guest(self, name: str, phase: str = "Succeeded", namespace="default") -> None:
        pod = await self.launcher(name, namespace)
        await self.client.patch(r.VMIS, name, {"status": {"phase": phase}}, namespace)
        await self.client.patch(
            r.PODS, pod["metadata"]["name"], {"status": {"phase": phase}}, namespace, subresource="status"
        )

    async def in_phase(self, resource, name, phase, namespace="default"):
        found = await self.get(resource, name, namespace)
        return found if found and (found.get("status") or {}).get("phase") == phase else None

    async def vm_is(self, name, printable, namespace="default"):
        vm = await self.get(r.VMS, name, namespace)
        return vm if vm and (vm.get("status") or {}).get("printableStatus") == printable else None

    async def gone(self, resource, name, namespace="default"):
        return await self.get(resource, name, namespace) is None

    async def call(self, verb: str, name: str) -> None:
        path = f"/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachines/{name}/{verb}"
        await self.client.call("PUT", path, body={})


@pytest.fixture
async def cluster(tmp_path):
    cluster = Cluster(tmp_path / "home")
    cluster.client = open_client(cluster.home.kubeconfig, "test")
    try:
        cluster.start("apiserver")
        cluster.start("controllers")
        await cluster.until(lambda: cluster.get(r.SERVICEACCOUNTS, "default"), seconds=30)
        yield cluster
    finally:
        await cluster.client.close()
        for name in list(cluster.processes):
            cluster.kill(name)


def vm(name, strategy="Always", **spec):
    domain = {"memory": {"guest": "128Mi"}, "devices": {"disks": [{"name": "root", "disk": {"bus": "virtio"}}]}}
    template = {"domain": domain, "volumes": [{"name": "root", "containerDisk": {"image": "example/os:1"}}]}
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"runStrategy": strategy, "template": {"metadata": {"labels": {"app": name}}, "spec": template}} | spec,
    }


def with_data_volume(body, size="1Gi"):
    name = f"{body['metadata']['name']}-data"
    storage = {"resources": {"requests": {"storage": size}}}
    body["spec"]["dataVolumeTemplates"] = [
        {"metadata": {"name": name}, "spec": {"source": {"blank": {}}, "storage": storage}}
    ]
    spec = body["spec"]["template"]["spec"]
    spec["volumes"].append({"name": "data", "dataVolume": {"name": name}})
    spec["domain"]["devices"]["disks"].append({"name": "data", "disk": {"bus": "virtio"}})
    return body


async def test_a_vm_starts_restarts_after_its_guest_ends_stops_and_goes_with_all_that_is_its(cluster):
    await cluster.add_node("n1")
    await cluster.client.create(r.VMS, with_data_volume(vm("a")))
    first = await cluster.run_guest("a")
    running = await cluster.until(lambda: cluster.vm_is("a", "Running"))
    assert conditions.is_true(running, "Ready")
    assert first["metadata"]["labels"]["kubevirt.io/nodeName"] == "n1"
    assert [s["phase"] for s in first["status"]["phaseTransitionTimestamps"]][:3] == [
        "Pending",
        "Scheduling",
        "Scheduled",
    ]

    await cluster.end_guest("a")

    async def second():
        vmi = await cluster.get(r.VMIS, "a")
        return vmi if vmi and vmi["metadata"]["uid"] != first["metadata"]["uid"] else None

    again = await cluster.until(second)
    assert again["spec"]["domain"]["firmware"]["uuid"] == first["spec"]["domain"]["firmware"]["uuid"]
    await cluster.run_guest("a")

    await cluster.call("stop", "a")
    await cluster.until(lambda: cluster.vm_is("a", "Stopping"))
    await cluster.end_guest("a")
    stopped = await cluster.until(lambda: cluster.vm_is("a", "Stopped"))
    assert stopped["spec"]["runStrategy"] == "Halted"

    async def without_instance():
        return conditions.of(await cluster.get(r.VMS, "a"), "Ready").get("reason") == "VMINotExists"

    await cluster.until(without_instance)

    await cluster.client.delete(r.VMS, "a", "default")
    for resource, name in ((r.VMS, "a"), (r.DATAVOLUMES, "a-data"), (r.PVCS, "a-data")):
        await cluster.until(lambda resource=resource, name=name: cluster.gone(resource, name))

    async def no_volumes():
        return not (await cluster.client.list(r.PVS))["items"]

    await cluster.until(no_volumes)


async def test_a_deleted_vm_waits_for_its_guest_and_an_orphaned_instance_lives_on(cluster):
    await cluster.add_node("n1")
    await cluster.client.create(r.VMS, vm("a"))
    await cluster.client.create(r.VMS, vm("b"))
    await cluster.run_guest("a")
    await cluster.run_guest("b")
    await cluster.client.delete(r.VMS, "a", "default")
    await cluster.until(lambda: cluster.vm_is("a", "Terminating"))
    await cluster.end_guest("a")
    await cluster.until(lambda: cluster.gone(r.VMS, "a"))
    await cluster.client.delete(r.VMS, "b", "default", options={"propagationPolicy": "Orphan"})
    await cluster.until(lambda: cluster.gone(r.VMS, "b"))
    orphan = await cluster.get(r.VMIS, "b")
    assert not orphan["metadata"].get("deletionTimestamp")
    assert not orphan["metadata"].get("ownerReferences")
    await cluster.client.create(r.VMS, vm("b"))

    async def adopted():
        return (await cluster.get(r.VMIS, "b"))["metadata"].get("ownerReferences")

    await cluster.until(adopted)
    assert (await cluster.get(r.VMIS, "b"))["metadata"]["uid"] == orphan["metadata"]["uid"]


async def test_manual_and_rerun_on_failure_do_what_their_table_says(cluster):
    await cluster.add_node("n1")
    await cluster.client.create(r.VMS, vm("m", "Manual"))
    await cluster.client.create(r.VMS, vm("f", "RerunOnFailure"))
    await cluster.until(lambda: cluster.vm_is("m", "Stopped"))
    await cluster.call("start", "m")
    await cluster.run_guest("m")
    running = await cluster.until(lambda: cluster.vm_is("m", "Running"))
    assert not running["status"].get("stateChangeRequests")
    first = (await cluster.get(r.VMIS, "m"))["metadata"]["uid"]
    await cluster.call("restart", "m")
    await cluster.until(lambda: cluster.vm_is("m", "Stopping"))
    await cluster.end_guest("m")

    async def another():
        vmi = await cluster.get(r.VMIS, "m")
        return vmi and vmi["metadata"]["uid"] != first

    await cluster.until(another)

    before = (await cluster.run_guest("f"))["metadata"]["uid"]
    await cluster.end_guest("f", "Failed")

    async def rerun():
        vmi = await cluster.get(r.VMIS, "f")
        return vmi and vmi["metadata"]["uid"] != before

    await cluster.until(rerun)
    await cluster.run_guest("f")
    await cluster.end_guest("f", "Succeeded")
    await cluster.until(lambda: cluster.vm_is("f", "Stopped"))
    await asyncio.sleep(0.5)
    assert await cluster.gone(r.VMIS, "f")


async def test_instances_that_never_run_are_started_again_later_and_later(cluster):
    await cluster.add_node("n1")
    await cluster.client.create(r.VMS, vm("c"))
    await cluster.until(lambda: cluster.launcher("c"))
    await cluster.end_guest("c", "Failed")
    crashed = await cluster.until(lambda: cluster.vm_is("c", "CrashLoopBackOff"))
    failure = crashed["status"]["startFailure"]
    assert failure["consecutiveFailCount"] == 1
    await cluster.until(lambda: cluster.gone(r.VMIS, "c"))


async def test_loops_that_are_killed_at_any_time_finish_what_they_began(cluster):
    await cluster.add_node("n1")
    for number in range(6):
        await cluster.client.create(r.VMS, with_data_volume(vm(f"k{number}")))
        await asyncio.sleep(0.05 * number)
        cluster.kill("controllers")
        cluster.start("controllers")
    for number in range(6):
        await cluster.until(lambda number=number: cluster.launcher(f"k{number}"), seconds=30)
    pods = (await cluster.client.list(r.PODS, "default"))["items"]
    volumes = (await cluster.client.list(r.PVS))["items"]
    assert len(pods) == 6
    assert len(volumes) == 6


async def test_loops_outlive_an_api_server_that_is_killed(cluster):
    await cluster.add_node("n1")
    await cluster.client.create(r.VMS, vm("before"))
    await cluster.run_guest("before")
    process = cluster.processes["controllers"]
    cluster.kill("apiserver")
    cluster.start("apiserver")
    await cluster.until(lambda: cluster.vm_is("before", "Running"))
    await cluster.client.create(r.VMS, vm("after"))
    await cluster.run_guest("after")
    await cluster.end_guest("before")
    await cluster.until(lambda: cluster.vm_is("before", "Starting"))
    assert process.poll() is None


async def test_a_bare_claim_takes_an_upload_once_it_is_bound(cluster):
    await cluster.add_node("n1")
    annotations = {"cdi.kubevirt.io/storage.upload.target": ""}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    metadata = {"name": "up", "namespace": "default", "annotations": annotations}
    body = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}
    await cluster.client.create(r.PVCS, body)

    async def ready():
        claim = await cluster.get(r.PVCS, "up")
        return claim["metadata"]["annotations"].get("cdi.kubevirt.io/storage.pod.ready") == "true"

    await cluster.until(ready)
    assert await cluster.in_phase(r.PVCS, "up", "Bound")


async def test_a_replica_set_holds_its_number_and_scales(cluster):
    await cluster.add_node("n1")
    template = vm("x")["spec"]["template"]
    body = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstanceReplicaSet",
        "metadata": {"name": "rs", "namespace": "default"},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "x"}}, "template": template},
    }
    await cluster.client.create(r.VMIRS, body)

    async def counted(number):
        found = await cluster.get(r.VMIRS, "rs")
        return (found.get("status") or {}).get("replicas") == number

    await cluster.until(lambda: counted(3))
    await cluster.client.patch(r.VMIRS, "rs", {"spec": {"replicas": 1}}, "default", subresource="scale")
    await cluster.until(lambda: counted(1))
    await cluster.client.delete(r.VMIRS, "rs", "default")

    async def no_instances():
        return not (await cluster.client.list(r.VMIS, "default"))["items"]

    await cluster.until(no_instances)


def configmap(name, *owners, **metadata):
    references = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": o["metadata"]["name"],
            "uid": o["metadata"]["uid"],
            "blockOwnerDeletion": True,
        }
        for o in owners
    ]
    meta = {"name": name, "namespace": "default", "ownerReferences": references} | metadata
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}


async def test_garbage_is_what_has_lost_its_last_owner(cluster):
    create = cluster.client.create
    left, right = await create(r.CONFIGMAPS, configmap("left")), await create(r.CONFIGMAPS, configmap("right"))
    await create(r.CONFIGMAPS, configmap("both", left, right))
    await create(r.CONFIGMAPS, configmap("mine", left))
    ghost = {"metadata": {"name": "ghost", "uid": "00000000-0000-0000-0000-000000000000"}}
    await create(r.CONFIGMAPS, configmap("haunted", ghost))
    await cluster.until(lambda: cluster.gone(r.CONFIGMAPS, "haunted"))
    await cluster.client.delete(r.CONFIGMAPS, "left", "default")
    await cluster.until(lambda: cluster.gone(r.CONFIGMAPS, "mine"))

    async def unlinked():
        return len((await cluster.get(r.CONFIGMAPS, "both"))["metadata"]["ownerReferences"]) == 1

    await cluster.until(unlinked)


async def test_a_foreground_deletion_takes_the_dependents_first_and_an_orphaning_one_spares_them(cluster):
    create = cluster.client.create
    owner, other = await create(r.CONFIGMAPS, configmap("owner")), await create(r.CONFIGMAPS, configmap("other"))
    await create(r.CONFIGMAPS, configmap("held", owner, finalizers=["example.com/hold"]))
    await create(r.CONFIGMAPS, configmap("spared", other))
    await cluster.client.delete(r.CONFIGMAPS, "owner", "default", options={"propagationPolicy": "Foreground"})

    async def held_is_deleting():
        return (await cluster.get(r.CONFIGMAPS, "held"))["metadata"].get("deletionTimestamp")

    await cluster.until(held_is_deleting)
    assert not await cluster.gone(r.CONFIGMAPS, "owner")
    await cluster.client.patch(r.CONFIGMAPS, "held", {"metadata": {"finalizers": None}}, "default")
    await cluster.until(lambda: cluster.gone(r.CONFIGMAPS, "owner"))
    await cluster.client.delete(r.CONFIGMAPS, "other", "default", options={"propagationPolicy": "Orphan"})
    await cluster.until(lambda: cluster.gone(r.CONFIGMAPS, "other"))
    assert not (await cluster.get(r.CONFIGMAPS, "spared"))["metadata"].get("ownerReferences")


async def test_garbage_collection_covers_kinds_that_are_defined_later(cluster):
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]},
    }
    await cluster.client.create(r.CRDS, definition)
    widgets = r.Resource("example.com", "v1", "widgets")
    owner = await cluster.client.create(r.CONFIGMAPS, configmap("owner"))
    body = configmap("w", owner) | {"apiVersion": "example.com/v1", "kind": "Widget"}
    await cluster.until(lambda: cluster.client.create(widgets, body))
    await asyncio.sleep(2)
    await cluster.client.delete(r.CONFIGMAPS, "owner", "default")
    await cluster.until(lambda: cluster.gone(widgets, "w"))


async def test_a_namespace_goes_with_its_machines(cluster):
    await cluster.add_node("n1")
    await cluster.client.create(r.NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    body = with_data_volume(vm("t"))
    body["metadata"]["namespace"] = "team"
    await cluster.client.create(r.VMS, body)
    await cluster.run_guest("t", "team")
    await cluster.client.delete(r.NAMESPACES, "team")

    async def told():
        namespace = await cluster.get(r.NAMESPACES, "team")
        return conditions.is_true(namespace, "NamespaceContentRemaining")

    await cluster.until(told)
    await cluster.end_guest("t", namespace="team")
    await cluster.until(lambda: cluster.gone(r.NAMESPACES, "team"), seconds=30)


async def test_with_two_nodes_a_volume_is_made_where_its_machine_goes(cluster):
    await cluster.add_node("small", "256Mi")
    await cluster.add_node("large")
    await cluster.client.create(r.VMS, with_data_volume(vm("w")))
    pod = await cluster.until(lambda: cluster.launcher("w"))
    assert pod["spec"]["nodeName"] == "large"
    claim = await cluster.until(lambda: cluster.in_phase(r.PVCS, "w-data", "Bound"))
    volume = await cluster.get(r.PVS, claim["spec"]["volumeName"])
    expression = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0]
    assert expression["values"] == ["large"]
    await cluster.run_guest("w")


async def test_what_fits_nowhere_says_why_and_goes_when_there_is_room(cluster):
    await cluster.add_node("n1", "256Mi")
    big = vm("big")
    big["spec"]["template"]["spec"]["domain"]["memory"]["guest"] = "1Gi"
    await cluster.client.create(r.VMS, big)
    stuck = await cluster.until(lambda: cluster.vm_is("big", "ErrorUnschedulable"))
    message = conditions.of(stuck, "PodScheduled")["message"]
    assert message == "0/1 nodes are available: 1 Insufficient memory."
    await cluster.add_node("n2")
    pod = await cluster.until(lambda: cluster.launcher("big"))
    assert pod["spec"]["nodeName"] == "n2"
    assert await cluster.until(lambda: cluster.vm_is("big", "Starting"))


async def test_a_type_is_frozen_at_the_first_start_and_conflicts_are_named(cluster):
    await cluster.add_node("n1")
    spec = {"cpu": {"guest": 2}, "memory": {"guest": "192Mi"}}
    body = {"apiVersion": "instancetype.kubevirt.io/v1beta1", "kind": "VirtualMachineInstancetype", "spec": spec}
    await cluster.client.create(r.INSTANCETYPES, body | {"metadata": {"name": "tiny", "namespace": "default"}})
    matcher = {"instancetype": {"name": "tiny", "kind": "VirtualMachineInstancetype"}}
    good = vm("g", **matcher)
    del good["spec"]["template"]["spec"]["domain"]["memory"]
    await cluster.client.create(r.VMS, good)
    vmi = await cluster.run_guest("g")
    assert vmi["spec"]["domain"]["cpu"]["sockets"] == 2
    assert vmi["spec"]["domain"]["memory"]["guest"] == "192Mi"
    reference = (await cluster.get(r.VMS, "g"))["status"]["instancetypeRef"]
    revision = await cluster.get(r.CONTROLLERREVISIONS, reference["controllerRevisionRef"]["name"])
    assert revision["data"]["spec"] == spec


async def test_a_change_that_cannot_reach_a_running_guest_asks_for_a_restart(cluster):
    await cluster.add_node("n1")
    await cluster.client.create(r.VMS, vm("r"))
    await cluster.run_guest("r")
    domain = {"spec": {"template": {"spec": {"domain": {"cpu": {"cores": 2}}}}}}
    await cluster.client.patch(r.VMS, "r", domain, "default")

    async def required():
        return conditions.of(await cluster.get(r.VMS, "r"), "RestartRequired")

    condition = await cluster.until(required)
    assert "spec.template.spec.domain.cpu.cores" in condition["message"]
    await cluster.client.patch(r.VMS, "r", {"spec": {"template": {"spec": {"domain": {"cpu": None}}}}}, "default")

    async def withdrawn():
        return not await required()

    await cluster.until(withdrawn)
    selector = {"spec": {"template": {"spec": {"nodeSelector": {"disk": "fast"}}}}}
    await cluster.client.patch(r.VMS, "r", selector, "default")

    async def arrived():
        return (await cluster.get(r.VMIS, "r"))["spec"].get("nodeSelector") == {"disk": "fast"}

    await cluster.until(arrived)


async def test_a_silent_node_is_unknown_and_takes_no_pods(cluster):
    await cluster.add_node("n1")
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "n1", "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": "n1", "leaseDurationSeconds": 40, "renewTime": clock.micro_timestamp()},
    }
    await cluster.client.create(r.LEASES, lease)
    await cluster.client.patch(r.NODES, "n1", {"metadata": {"labels": {"touched": "yes"}}})

    async def unknown():
        node = await cluster.get(r.NODES, "n1")
        taints = [t["key"] for t in (node.get("spec") or {}).get("taints") or []]
        return conditions.of(node, "Ready")["status"] == "Unknown" and taints == ["node.kubernetes.io/unreachable"]

    await cluster.until(unknown, 90)  # the grace period counts from when the loops first saw the Lease


async def test_the_ready_made_objects_are_there(cluster):
    async def deployed():
        kubevirt = await cluster.get(r.KUBEVIRTS, "kubevirt", "kubevirt")
        return kubevirt and conditions.is_true(kubevirt, "Available")

    await cluster.until(deployed)
    config = await cluster.until(lambda: cluster.get(r.CDICONFIGS, "config"))
    assert config["status"]["uploadProxyURL"] == f"https://127.0.0.1:{cluster.port}"
    await cluster.until(lambda: cluster.get(r.STORAGEPROFILES, "local"))
    storage_class = await cluster.get(r.STORAGECLASSES, "local")
    assert set(storage_class["metadata"]["annotations"].values()) == {"true"}


async def test_the_loops_end_cleanly_when_asked(cluster):
    await cluster.until(lambda: cluster.get(r.STORAGEPROFILES, "local"))
    process = cluster.processes["controllers"]
    await asyncio.to_thread(cluster.kill, "controllers", signal.SIGTERM)
    assert process.returncode == 0
    assert not (cluster.home.run / "controllers.sock").exists()
