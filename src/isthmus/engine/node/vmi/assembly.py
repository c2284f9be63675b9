"""Puts together what looks after the VMIs of a node. Called by the agent."""

from collections.abc import Callable
from dataclasses import dataclass

from isthmus.client.cached import CachedClient
from isthmus.engine.node.graceperiods import Deadlines
from isthmus.engine.node.vm.machines import Machines
from isthmus.engine.node.vmi.cleanup import Cleanup
from isthmus.engine.node.vmi.guestcare import GuestCare
from isthmus.engine.node.vmi.preparations import Preparations
from isthmus.engine.node.vmi.preparing import Images, Networks, Preparer
from isthmus.engine.node.vmi.reconciler import VmiReconciler
from isthmus.engine.node.vmi.reporter import Node, Reporter
from isthmus.engine.node.vmi.startup import Startup
from isthmus.engine.node.vmi.supervision import Supervision
from isthmus.engine.node.writer import Writer

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Vmis:
    """The reconciler, and the parts of it that have a life of their own."""

    reconciler: VmiReconciler
    cleanup: Cleanup
    preparations: Preparations
    supervision: Supervision

    async def close(self) -> None:
        """End our jobs; machines run on."""
        await self.supervision.close()
        await self.preparations.close()


def build_vmis(
    node: Node,
    cached: CachedClient,
    machines: Machines,
    networks: Networks,
    images: Images,
    enqueue: Callable[[Key], None],
) -> Vmis:
    """`enqueue` puts a VMI into the queue of whoever calls the reconciler: something about it has changed here."""
    writer = Writer(cached)
    care = GuestCare(cached)
    reporter = Reporter(cached, writer, machines, care, node)
    preparations = Preparations(Preparer(cached, machines.records, networks, images), enqueue)
    supervision = Supervision(machines, care, reporter, writer, enqueue, Deadlines())
    cleanup = Cleanup(cached, writer, machines, networks, preparations, supervision)
    startup = Startup(node, writer, machines, preparations, reporter, cleanup)
    reconciler = VmiReconciler(node, cached, machines, writer, startup, supervision, cleanup)
    return Vmis(reconciler, cleanup, preparations, supervision)
