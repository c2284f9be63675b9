"""One VMI, its launcher Pod and its machine: what the agent does next. API, machines and networks are played."""

import asyncio
from types import SimpleNamespace

import pytest

from isthmus.client import resources
from isthmus.engine.node.disk.sources import NotReadyError
from isthmus.engine.node.image.errors import pull_failed
from isthmus.engine.node.net.model import Attachment
from isthmus.engine.node.vm.machines import StillRunningError
from isthmus.engine.node.vm.observation import Observation
from isthmus.engine.node.vm.process import Exit
from isthmus.engine.node.vmi.assembly import build_vmis
from isthmus.engine.node.vmi.reporter import Node
from isthmus.lib import clock
from isthmus.machinery import conditions

KEY = ("default", "web")


class Api:
    """Objects by resource and key; merge patches of their statuses."""

    def __init__(self):
        self.objects = {resources.VMIS: {}, resources.PODS: {}, resources.VMS: {}, resources.PVCS: {}}
        self.events = []
        self.client = self.recorder = self

    def put(self, resource, obj):
        obj["metadata"].setdefault("resourceVersion", "1")
        self.objects[resource][obj["metadata"]["namespace"], obj["metadata"]["name"]] = obj

    def get(self, resource, *key):
        return self.objects[resource].get(key)

    def informer(self, resource):
        return SimpleNamespace(list=lambda *_: list(self.objects[resource].values()))

    async def patch(self, resource, obj, body, subresource=""):
        changed = {**obj, "status": {**obj.get("status", {}), **body["status"]}}
        self.put(resource, changed)
        return changed

    async def delete(self, resource, obj, options=None):
        del self.objects[resource][obj["metadata"]["namespace"], obj["metadata"]["name"]]

    async def normal(self, obj, reason, message):
        self.events.append(reason)

    warning = normal


class Machine:
    """One that runs."""

    def __init__(self, uid):
        self.uid, self.seen, self.ended, self.graces = uid, Observation("running"), False, []
        self.agent_connected = False

    @property
    def state(self):
        return self.seen.state

    def destroy(self):
        self.ended = True

    async def shut_down(self, seconds):
        self.graces.append(seconds)
        await asyncio.sleep(60)


class Machines:
    """All of a node; `stuck` are those that do not end."""

    def __init__(self):
        self.running, self.exits, self.owners, self.stuck, self.starts = {}, {}, {}, set(), []
        self.host = SimpleNamespace(accelerator="kvm")
        self.state = SimpleNamespace(keepers=list, forget=self._forget)
        self.records = self

    def read(self, uid):
        return {"podIPs": ["10.42.0.2"], "acpi": True} if uid in self.owners else {}

    def reserve(self, uid, key):
        self.owners[uid] = key

    def uids(self):
        return list(self.owners)

    def uids_of(self, key):
        return [uid for uid, owner in self.owners.items() if owner == key]

    def find(self, uid):
        return self.running.get(uid)

    def find_exit(self, uid):
        return self.exits.get(uid)

    async def remove(self, uid):
        if uid in self.stuck:
            raise StillRunningError(f"machine {uid} does not end")
        self.owners.pop(uid)

    async def start(self, vmi, images, attachment, kernel_boot):
        self.starts.append(vmi["metadata"]["uid"])
        self.running[vmi["metadata"]["uid"]] = Machine(vmi["metadata"]["uid"])
        return self.find(vmi["metadata"]["uid"])

    async def _forget(self, key):
        return


class Networks:
    def __init__(self):
        self.detached, self.released = [], []

    async def attach(self, uid, requests, pod_key):
        return Attachment(None, (), ("10.42.0.2",))

    async def detach(self, uid):
        self.detached.append(uid)

    async def release(self, *key):
        self.released.append(key)

    def holders(self):
        return {KEY}


class Images:
    """A registry that refuses, and what was loaded here."""

    def __init__(self):
        self.loaded, self.pulls = set(), 0

    def find(self, image):
        return image if image in self.loaded else None

    async def ensure(self, image, policy="", auth=None):
        self.pulls += 1
        if image not in self.loaded:
            raise pull_failed("connection refused")
        return SimpleNamespace(name=image)

    async def file(self, image, path):
        raise NotReadyError("no disk yet")


class Agent:
    """The reconciler of one node with all that it works on."""

    def __init__(self):
        self.api, self.machines, self.networks, self.images = Api(), Machines(), Networks(), Images()
        self.woken = asyncio.Event()
        node = Node("node", "192.0.2.1")
        parts = (self.api, self.machines, self.networks, self.images, lambda _: self.woken.set())
        self.vmis = build_vmis(node, *parts)

    def put(self, phase="", uid="u", pod_phase="Running", spec=None, **metadata):
        """The VMI and its launcher."""
        vmi = {"metadata": {"namespace": KEY[0], "name": KEY[1], "uid": uid, **metadata}, "status": {"phase": phase}}
        vmi["spec"] = {"domain": {"devices": {}}, "volumes": [], **(spec or {})}
        labels = {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": uid, "vm.kubevirt.io/name": KEY[1]}
        pod = {"metadata": {"namespace": KEY[0], "name": f"p-{uid}", "uid": f"p{uid}", "labels": labels}}
        pod |= {"spec": {"nodeName": "node", "containers": [{"name": "compute"}]}, "status": {"phase": pod_phase}}
        self.api.put(resources.VMIS, vmi)
        self.api.put(resources.PODS, pod)

    def vmi(self):
        return self.api.get(resources.VMIS, *KEY)

    def pod(self, uid="u"):
        return self.api.get(resources.PODS, KEY[0], f"p-{uid}")

    def waiting(self, uid="u"):
        return self.pod(uid)["status"]["containerStatuses"][0]["state"]["waiting"]

    async def look(self):
        return await self.vmis.reconciler.reconcile(KEY)

    async def settle(self):
        """Look, and again whenever something has changed, as the queue does."""
        again = await self.look()
        while again is None and not self.machines.starts:
            await asyncio.wait_for(self.woken.wait(), 5)
            self.woken.clear()
            again = await self.look()
        return again


@pytest.fixture
async def agent():
    found = Agent()
    yield found
    await found.vmis.close()


async def test_a_vmi_that_is_scheduled_is_prepared_and_started(agent):
    agent.put("Scheduled", pod_phase="Pending")
    await agent.settle()
    assert agent.machines.starts == ["u"]
    assert agent.pod()["status"]["podIP"] == "10.42.0.2"
    assert agent.vmi()["status"]["phase"] == "Running"
    assert agent.api.events == ["Created", "Started"]


async def test_no_machine_starts_while_one_of_its_name_does_not_end(agent, caplog):
    agent.put("Scheduled", pod_phase="Pending")
    agent.machines.owners["earlier"] = KEY
    agent.machines.stuck.add("earlier")
    assert await agent.look() == 30
    assert agent.machines.starts == agent.networks.detached == []
    assert (agent.waiting()["reason"], "earlier" in agent.waiting()["message"]) == ("FailedKillPod", True)
    assert "does not end" in caplog.text
    agent.machines.stuck.clear()
    await agent.settle()
    assert (agent.machines.starts, agent.networks.detached) == (["u"], ["earlier"])


async def test_what_a_vm_keeps_is_not_given_away_while_its_machine_does_not_end(agent):
    agent.machines.owners["u"] = KEY
    agent.machines.stuck.add("u")
    await agent.look()
    await agent.vmis.cleanup.collect()
    assert agent.networks.released == []
    agent.machines.stuck.clear()
    await agent.look()
    assert agent.networks.released == [KEY]


async def test_a_machine_whose_vmi_was_given_up_is_ended_and_told_nothing_of(agent):
    agent.put("Failed")
    machine = agent.machines.running["u"] = Machine("u")
    await agent.look()
    assert machine.ended
    assert agent.vmi()["status"] == {"phase": "Failed"}


async def test_a_guest_is_asked_once_to_shut_down_and_again_when_it_has_less_time(agent):
    machine, now = Machine("u"), clock.timestamp()
    agent.machines.running["u"] = machine
    for grace in (180, 180, 0):
        agent.put("Running", spec={"terminationGracePeriodSeconds": grace}, deletionTimestamp=now)
        await agent.look()
        await asyncio.sleep(0)
    assert [round(seconds, -1) for seconds in machine.graces] == [180, 0]
    assert agent.api.events.count("ShuttingDown") == 1


async def test_a_machine_without_its_pod_has_no_time(agent):
    agent.put("Running")
    machine = agent.machines.running["u"] = Machine("u")
    del agent.api.objects[resources.PODS][KEY[0], "p-u"]
    await agent.look()
    await asyncio.sleep(0)
    assert machine.graces == [0]


@pytest.mark.parametrize(("reason", "phase"), [(Exit.SHUTDOWN, "Succeeded"), (Exit.CRASHED, "Failed")])
async def test_how_a_machine_ended_is_its_last_phase(agent, reason, phase):
    agent.put("Running")
    agent.machines.exits["u"] = reason
    agent.machines.owners["u"] = KEY
    await agent.look()
    assert (agent.vmi()["status"]["phase"], agent.pod()["status"]["phase"]) == (phase, phase)
    assert agent.networks.detached == ["u"]


async def test_a_pod_that_is_deleted_before_its_machine_started_goes(agent):
    agent.put("Scheduling", pod_phase="Pending")
    agent.pod()["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    await agent.look()
    assert agent.pod() is None


async def test_a_vmi_whose_directory_was_lost_with_the_disk_has_crashed(agent):
    agent.put("Running")
    agent.vmi()["status"]["nodeName"] = "node"
    del agent.api.objects[resources.PODS][KEY[0], "p-u"]
    await agent.look()
    assert agent.vmi()["status"]["reason"] == "Crashed"


async def test_an_image_that_cannot_be_had_is_told_as_a_kubelet_does(agent, monkeypatch):
    now = 0.0
    monkeypatch.setattr(agent.vmis.preparations, "_steady", lambda: now)
    agent.put("Scheduling", pod_phase="Pending", spec={"volumes": [{"name": "d", "containerDisk": {"image": "r/a:1"}}]})
    assert await agent.settle() == 2  # a failure is looked at again soon: its cause may be gone
    assert agent.waiting() == {"reason": "ErrImagePull", "message": "connection refused"}
    now = 3.0
    assert await agent.look() == 2
    assert agent.waiting()["reason"] == "ImagePullBackOff"
    assert agent.waiting()["message"].startswith('Back-off pulling image "r/a:1": ErrImagePull: connection refused')
    for _ in range(3):
        await agent.look()
    assert (agent.images.pulls, agent.api.events) == (1, ["ErrImagePull", "ImagePullBackOff"])
    agent.images.loaded.add("r/a:1")
    await agent.settle()
    assert (agent.images.pulls, agent.waiting()["reason"]) == (2, "VolumesNotReady")
    assert conditions.is_true(agent.pod(), "Ready") is False
