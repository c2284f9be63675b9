"""What QEMU and the guest's agent say of a running machine, as one value. Put together by `running`."""

import contextlib
from dataclasses import dataclass, field, replace

from isthmus.engine.node.vm.errors import MonitorError
from isthmus.engine.node.vm.guestwatch import GuestInfo
from isthmus.engine.node.vm.monitor import Monitor


@dataclass(frozen=True, slots=True)
class Look:
    """QEMU's answers to one row of questions; `memory` in bytes, None if there is no balloon to ask."""

    vcpus: int
    memory: int | None
    channel: bool  # whether a guest agent has opened its channel


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything that a status shows of a machine; two that are equal show the same."""

    state: str = ""  # QEMU's run state; empty before the first look
    agent_connected: bool = False
    guest: GuestInfo = field(default_factory=GuestInfo)
    vcpus: int = 0
    memory: int = 0  # bytes; 0 before it was told

    def looked(self, look: Look) -> "Observation":
        """The same after a look. A guest that does not run cannot answer: its open channel is all there is to know."""
        connected = look.channel and (self.agent_connected or self.state != "running")
        memory = self.memory if look.memory is None else look.memory
        return replace(self, vcpus=look.vcpus, memory=memory, agent_connected=connected)

    def answered(self, answer: GuestInfo | None) -> "Observation":
        """The same after the guest's agent was asked; None is no answer, and what it said before is kept."""
        return replace(self, agent_connected=answer is not None, guest=answer or self.guest)


async def look_at(monitor: Monitor) -> Look:
    """Ask QEMU. Raises MonitorError."""
    vcpus, memory = await monitor.cpu_count(), None
    with contextlib.suppress(MonitorError):  # a machine may have no balloon
        memory = await monitor.memory()
    return Look(vcpus, memory, await monitor.agent_connected())
