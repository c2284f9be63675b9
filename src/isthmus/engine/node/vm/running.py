"""A machine that runs: its process, monitor and guest agent, and what they say of its state.

`Running.watch` is the one task that a machine has here. It follows QEMU's events, turns the guest's power-off or panic
into an end with its reason on disk, and calls `on_change` whenever something that a status shows has changed. It
keeps nothing that cannot be asked of QEMU again, so that a new agent can take over at any moment.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from isthmus.engine.node.guest.agent import GuestAgent, GuestAgentError
from isthmus.engine.node.vm import process
from isthmus.engine.node.vm.errors import MonitorError
from isthmus.engine.node.vm.machine import Sockets
from isthmus.engine.node.vm.monitor import Monitor
from isthmus.lib import logs, tasks

log = logging.getLogger(__name__)

POLL_SECONDS = 10.0
RETRY_SECONDS = 0.5
POWERDOWN_REPEAT = 5.0
LOG_LIMIT = 16 << 20  # a guest may write on its console, and make QEMU complain, for ever
LOG_KEPT = 4 << 20
ENDINGS = {"shutdown": process.Exit.SHUTDOWN, "guest-panicked": process.Exit.PANICKED}


@dataclass(slots=True)
class GuestInfo:
    """What the guest's agent told last."""

    version: str = ""
    commands: list[str] = field(default_factory=list)
    osinfo: dict[str, str] = field(default_factory=dict)
    hostname: str = ""
    interfaces: list[dict[str, Any]] = field(default_factory=list)
    frozen: bool = False


class Running:
    """One machine of this node."""

    def __init__(self, uid: str, sockets: Sockets, held: process.Process, on_change: Callable[[], None]) -> None:
        self.uid = uid
        self.sockets = sockets
        self.process = held
        self.monitor = Monitor(sockets.qmp, uid)
        self.agent = GuestAgent(sockets.agent)
        self.state = ""
        self.agent_connected = False
        self.guest = GuestInfo()
        self.vcpus = 0
        self.memory = 0
        self._gone = asyncio.Event()
        self._on_change = on_change
        self.forwards: dict[tuple[str, int], tuple[str, int]] = {}  # made for port-forwards, with user networking
        self._rebooting = False
        self._poll_now = asyncio.Event()
        self._watching = True

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._gone.is_set()

    async def watch(self) -> None:
        """Until the machine has ended."""
        helpers = [asyncio.create_task(self._follow()), asyncio.create_task(self._poll())]
        try:
            await self.process.wait()
            self._gone.set()
        finally:
            # The flag, because a cancellation may get lost where it meets the end of a `wait_for`.
            self._watching = False
            self._poll_now.set()
            await tasks.cancel_and_wait(helpers)
            await self.monitor.close()
            self.process.close()
        self._on_change()

    async def _follow(self) -> None:
        while self._watching:
            with contextlib.suppress(MonitorError):
                async for event in self.monitor.follow(self._poll_now.set):
                    log.info("%s: %s %s", self.uid, event["event"], event.get("data", ""))
                    self._poll_now.set()
            await asyncio.sleep(RETRY_SECONDS)

    async def _poll(self) -> None:
        """Ask again after every event, and every POLL_SECONDS."""
        while self._watching:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._poll_now.wait(), POLL_SECONDS)
            self._poll_now.clear()
            before = self.snapshot()
            try:
                await self._refresh()
            except MonitorError as error:
                log.debug("%s", error)  # its end, if it is one, shows in `watch`
            except OSError as error:  # a full disk: its end is written down at the next look, or the one after
                log.warning("%s: its end cannot be recorded: %s", self.uid, error)
            for path in (self.sockets.serial_log, self.sockets.qemu_log):
                logs.bound(path, LOG_LIMIT, LOG_KEPT)
            if self.snapshot() != before:
                self._on_change()

    def snapshot(self) -> tuple[Any, ...]:
        """Everything that a status shows; comparable."""
        return (self.state, self.agent_connected, repr(self.guest), self.vcpus, self.memory)

    async def _refresh(self) -> None:
        self.state = await self.monitor.status()
        if self.state == "shutdown" and self._rebooting:
            self._rebooting = False
            await self.monitor.reset()
            await self.monitor.resume()
            self.state = await self.monitor.status()
        if ending := ENDINGS.get(self.state):
            process.record_exit(self.sockets, ending)
            await self.monitor.quit()
            return
        self.vcpus = await self.monitor.cpu_count()
        with contextlib.suppress(MonitorError):  # a machine may have no balloon
            self.memory = await self.monitor.memory()
        connected = await self.monitor.agent_connected()
        # A paused guest cannot answer, and is not asked.
        self.agent_connected = connected and (self.state != "running" or await self._ask_guest())

    async def _ask_guest(self) -> bool:
        """Whether the agent answers; what it says is kept."""
        guest = GuestInfo(frozen=self.guest.frozen)
        try:
            guest.version, guest.commands = await self.agent.info()
        except GuestAgentError as error:
            log.debug("%s: %s", self.uid, error)
            return False
        # Each of these may be switched off in a guest, and none is worth losing the others for.
        with contextlib.suppress(GuestAgentError):
            guest.frozen = await self.agent.freeze_status() == "frozen"
        if guest.frozen:  # a frozen agent answers nothing else
            guest.osinfo, guest.hostname = self.guest.osinfo, self.guest.hostname
            guest.interfaces = self.guest.interfaces
        else:
            with contextlib.suppress(GuestAgentError):
                guest.osinfo = await self.agent.osinfo()
            with contextlib.suppress(GuestAgentError):
                guest.hostname = await self.agent.hostname()
            with contextlib.suppress(GuestAgentError):
                guest.interfaces = await self.agent.interfaces()
        self.guest = guest
        return True

    def poll(self) -> None:
        """Look again now, e.g. after a command that changed the state."""
        self._poll_now.set()

    async def reboot(self) -> None:
        """Let the guest end in order and start again: its agent can, else its power-off is answered by a reset."""
        if self.agent_connected:
            await self.agent.shutdown("reboot")
        else:
            self._rebooting = True
            await self.monitor.powerdown()

    async def shut_down(self, grace: float) -> None:
        """Ask the guest to power off, for `grace` seconds; then end it. Returns when it has ended or been killed."""
        self._rebooting = False
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        while not self.ended and loop.time() < deadline:
            again = min(deadline, loop.time() + POWERDOWN_REPEAT)
            with contextlib.suppress(TimeoutError):  # a monitor or a guest's agent may take its time to answer
                async with asyncio.timeout_at(again):
                    await self._ask_to_power_off()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), again - loop.time())
        if not self.ended:
            self.destroy()

    async def _ask_to_power_off(self) -> None:
        if self.state == "paused":
            with contextlib.suppress(MonitorError):
                await self.monitor.resume()
        with contextlib.suppress(MonitorError):
            await self.monitor.powerdown()
        if self.agent_connected:
            with contextlib.suppress(GuestAgentError):
                await self.agent.shutdown()

    async def wait_ended(self) -> None:
        """Until the process is gone."""
        await self._gone.wait()

    def destroy(self) -> None:
        """End it now, and say on disk that it was us, if the disk has room for that."""
        try:
            process.record_exit(self.sockets, process.Exit.DESTROYED)
        except OSError as error:
            log.warning("%s is ended without a record: %s", self.uid, error)
        self.process.kill()
