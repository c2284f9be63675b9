"""What VMs that were deleted while no agent ran have left is removed by the next one; nothing before its time."""

from types import SimpleNamespace

from isthmus.client import resources
from isthmus.engine.node.net.model import NetworkError
from isthmus.engine.node.vm.machines import StillRunningError
from isthmus.engine.node.vmi.assembly import build_vmis
from isthmus.engine.node.vmi.reporter import Node


class Networks:
    def __init__(self, *holders):
        self.held = set(holders)
        self.detached = []

    def holders(self):
        return set(self.held)

    async def release(self, namespace, name):
        self.held.discard((namespace, name))

    async def detach(self, uid):
        self.detached.append(uid)
        if uid == "broken":
            raise NetworkError("NetworkFailed", "ip: busy")


class Machines:
    """Directories by uid, of VMIs of the same name; "stuck" does not end."""

    def __init__(self, *uids):
        self.found = list(uids)
        self.records = self
        self.state = SimpleNamespace(keepers=list, forget=self._forget_state)

    def uids(self):
        return list(self.found)

    def uids_of(self, key):
        return [uid for uid in self.found if uid == key[1]]

    async def remove(self, uid):
        if uid == "stuck":
            raise StillRunningError("its process does not end")
        self.found.remove(uid)

    async def _forget_state(self, key):
        return


def cleanup(machines, networks, vms=()):
    def get(resource, *key):
        return {} if resource is resources.VMS and key in vms else None

    cached = SimpleNamespace(
        informer=lambda _: SimpleNamespace(list=lambda *_: []), get=get, recorder=None, client=None
    )
    return build_vmis(Node("node", "192.0.2.1"), cached, machines, networks, None, lambda _: None).cleanup


async def test_the_addresses_of_vms_that_are_gone_are_free_again():
    networks = Networks(("default", "stopped"), ("default", "gone"))
    await cleanup(Machines(), networks, {("default", "stopped")}).collect()
    assert networks.held == {("default", "stopped")}


async def test_one_network_that_cannot_be_removed_does_not_end_the_agent():
    networks, machines = Networks(), Machines("broken", "whole")
    await cleanup(machines, networks).collect()
    assert networks.detached == ["broken", "whole"]
    assert machines.uids() == []


async def test_a_machine_that_does_not_end_keeps_its_networks_and_addresses_and_nobody_elses(caplog):
    networks, machines = Networks(("default", "stuck"), ("default", "whole")), Machines("stuck", "whole")
    await cleanup(machines, networks).collect()
    assert (networks.detached, networks.held, machines.uids()) == (["whole"], {("default", "stuck")}, ["stuck"])
    assert "does not end" in caplog.text
