"""What VMs that were deleted while no agent ran have left is removed by the next one."""

from types import SimpleNamespace

from isthmus.client import resources
from isthmus.engine.node.net.model import NetworkError
from isthmus.engine.node.vmis import VmiReconciler


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
    def __init__(self, *uids):
        self.found = list(uids)

    def uids(self):
        return list(self.found)

    async def remove(self, uid):
        self.found.remove(uid)

    def keepers(self):
        return []

    async def forget(self, key):
        return


def reconciler(machines, networks, vms):
    def get(resource, *key):
        return {} if resource is resources.VMS and key in vms else None

    cached = SimpleNamespace(
        informer=lambda _: SimpleNamespace(list=lambda *_: []), get=get, recorder=None, client=None
    )
    return VmiReconciler(cached, "node", "192.0.2.1", machines, networks, None)


async def test_the_addresses_of_vms_that_are_gone_are_free_again():
    networks = Networks(("default", "stopped"), ("default", "gone"))
    await reconciler(Machines(), networks, {("default", "stopped")}).collect()
    assert networks.held == {("default", "stopped")}


async def test_one_network_that_cannot_be_removed_does_not_end_the_agent():
    networks, machines = Networks(), Machines("broken", "whole")
    await reconciler(machines, networks, set()).collect()
    assert networks.detached == ["broken", "whole"]
    assert machines.uids() == []
