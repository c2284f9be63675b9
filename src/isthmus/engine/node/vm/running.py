"""A machine that runs: its process, its monitor, its guest's agent, and the acts on its life.

`Running.watch` is the one task that a machine has here. It follows QEMU's events, turns the guest's power-off or panic
into an end with its reason on disk, and calls `on_change` whenever something that a status shows has changed. It
keeps nothing that cannot be asked of QEMU again, so that a new agent can take over at any moment.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace

from isthmus.engine.node.guest.agent import GuestAgent, GuestAgentError
from isthmus.engine.node.vm import logcutting, observation, process
from isthmus.engine.node.vm.errors import MonitorError
from isthmus.engine.node.vm.guestwatch import GuestInfo, GuestWatch
from isthmus.engine.node.vm.machine import Sockets
from isthmus.engine.node.vm.monitor import Monitor
from isthmus.engine.node.vm.observation import Observation
from isthmus.lib import tasks

log = logging.getLogger(__name__)

POLL_SECONDS = 10.0
RETRY_SECONDS = 0.5
POWERDOWN_REPEAT = 5.0
ENDINGS = {"shutdown": process.Exit.SHUTDOWN, "guest-panicked": process.Exit.PANICKED}


class Running:
    """One machine of this node."""

    def __init__(self, uid: str, sockets: Sockets, held: process.Process, on_change: Callable[[], None]) -> None:
        self.uid = uid
        self.sockets = sockets
        self.process = held
        self.monitor = Monitor(sockets.qmp, uid)
        self.agent = GuestAgent(sockets.agent)
        self.seen = Observation()
        self.forwards: dict[tuple[str, int], tuple[str, int]] = {}  # made for port-forwards, with user networking
        self._on_change = on_change
        self._gone = asyncio.Event()
        self._guest_watch = GuestWatch(lambda answer: self._show(self.seen.answered(answer)))
        self._rebooting = False
        self._killed_at = 0.0  # the loop's time; 0: not by us
        self._poll_now = asyncio.Event()
        self._watching = True

    # --- what is known of it ----------------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._gone.is_set()

    @property
    def state(self) -> str:
        """QEMU's run state as last seen; empty before the first look."""
        return self.seen.state

    @property
    def agent_connected(self) -> bool:
        """Whether the guest's agent answered last."""
        return self.seen.agent_connected

    @property
    def guest(self) -> GuestInfo:
        """What the guest's agent told last."""
        return self.seen.guest

    async def wait_ended(self, seconds: float | None = None) -> bool:
        """Until the process is gone, for `seconds` at most; whether it is."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._gone.wait(), seconds)
        return self.ended

    # --- following it -----------------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Until the machine has ended."""
        works = (self._follow(), self._poll(), logcutting.keep_small(self.sockets))
        helpers = [asyncio.create_task(work) for work in works]
        try:
            await self.process.wait()
            self._gone.set()
        finally:
            # The flag, because a cancellation may get lost where it meets the end of a `wait_for`.
            self._watching = False
            self._poll_now.set()
            await tasks.cancel_and_wait([*helpers, *self._guest_watch.stop()])
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
            try:
                await self._look()
            except MonitorError as error:
                log.debug("%s", error)  # its end, if it is one, shows in `watch`
            except OSError as error:  # a full disk: its end is written down at the next look, or the one after
                log.warning("%s: its end cannot be recorded: %s", self.uid, error)

    def poll(self) -> None:
        """Look again now, e.g. after a command that changed the state."""
        self._poll_now.set()

    async def _look(self) -> None:
        self._show(replace(self.seen, state=await self._settled_state()))
        if ending := ENDINGS.get(self.state):
            process.record_exit(self.sockets, ending)
            await self.monitor.quit()
            return
        look = await observation.look_at(self.monitor)
        self._show(self.seen.looked(look))
        if look.channel and self.state == "running":
            self._guest_watch.ask(self.agent, self.guest)
        else:
            self._guest_watch.stop()

    def _show(self, seen: Observation) -> None:
        if seen != self.seen:
            self.seen = seen
            self._on_change()

    async def _settled_state(self) -> str:
        """The run state; a power-off that we asked for as the first half of a reboot is answered by a start."""
        state = await self.monitor.status()
        if state != "shutdown" or not self._rebooting:
            return state
        self._rebooting = False
        await self.monitor.reset()
        await self.monitor.resume()
        return await self.monitor.status()

    # --- acting on it -----------------------------------------------------------------------------------------------

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
            await self.wait_ended(again - loop.time())
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

    def destroy(self) -> None:
        """End it now, and say on disk that it was us, if the disk has room for that."""
        try:
            process.record_exit(self.sockets, process.Exit.DESTROYED)
        except OSError as error:
            log.warning("%s is ended without a record: %s", self.uid, error)
        self._killed_at = self._killed_at or asyncio.get_running_loop().time()
        self.process.kill()

    async def wait_destroyed(self) -> bool:
        """End it now, and wait until it is gone, KILL_SECONDS from the first time at most; whether it is."""
        self.destroy()
        return await self.wait_ended(self._killed_at + process.KILL_SECONDS - asyncio.get_running_loop().time())
