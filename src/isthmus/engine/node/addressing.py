"""Which machine a request to the agent is about: every path that begins with /vmis/{namespace}/{name}."""

from aiohttp import web

from isthmus.client import resources
from isthmus.client.cached import CachedClient
from isthmus.engine.node.vm.machines import Machines
from isthmus.engine.node.vm.running import Running
from isthmus.machinery import errors


class Addressing:
    """Finds the machines of this node by the names of their VMIs."""

    def __init__(self, cached: CachedClient, machines: Machines) -> None:
        self._cached = cached
        self._machines = machines

    def running(self, request: web.Request) -> Running:
        """The machine that is meant. Raises StatusError 409 if it does not run here."""
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        vmi = self._cached.get(resources.VMIS, namespace, name)
        running = self._machines.find(vmi["metadata"]["uid"]) if vmi else None
        if running is None:
            raise errors.conflict("kubevirt.io", "virtualmachineinstance", name, "it does not run on this node")
        return running
