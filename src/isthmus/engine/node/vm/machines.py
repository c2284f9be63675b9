"""The machines of this node: start one, find all again after a restart of the agent, end and forget one.

What must outlive the agent is on the disk (`records`, `persistentstate`); here is what lives.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from isthmus.engine.node.net.model import Attachment
from isthmus.engine.node.vm import cgroup, planning, process, tpm
from isthmus.engine.node.vm.errors import MachineError, MonitorError, ProcessError
from isthmus.engine.node.vm.machine import Host, Image, KernelBoot, Machine, Sockets
from isthmus.engine.node.vm.persistentstate import PersistentState
from isthmus.engine.node.vm.records import Records
from isthmus.engine.node.vm.running import Running
from isthmus.lib.tasks import TaskSet

log = logging.getLogger(__name__)

Object = dict[str, Any]
Key = tuple[str, str]  # namespace, name of the VMI

ASK_AGAIN_SECONDS = 0.05


class StillRunningError(MachineError):
    """A machine that was killed is not gone: the kernel waits for something of its own (a disk) before it lets go."""

    reason = "FailedKillPod"


class Machines:
    """`on_change(key)` is called whenever something about a machine has changed, its end included."""

    def __init__(self, directory: Path, node: str, host: Host, on_change: Callable[[Key], None]) -> None:
        self.host = host
        self.records = Records(directory)
        self.state = PersistentState(directory.parent / "state")
        self._node = node
        self._on_change = on_change
        self._running: dict[str, Running] = {}
        self._tasks = TaskSet()
        self._cgroups = cgroup.detect_version()

    def sockets(self, uid: str) -> Sockets:
        """Where a machine's files lie."""
        return self.records.sockets(uid)

    def find(self, uid: str) -> Running | None:
        """A machine that runs."""
        return self._running.get(uid)

    def find_exit(self, uid: str) -> process.Exit | None:
        """How a machine ended; None if it runs or was never started."""
        if uid in self._running or not self.records.read(uid):
            return None
        return process.find_exit(self.sockets(uid))

    # --- taking over ------------------------------------------------------------------------------------------------

    def adopt(self) -> set[str]:
        """After a start of the agent: take over the machines that run. Gives their uids."""
        for uid in self.records.uids():
            self._adopt(uid)
        return set(self._running)

    def _adopt(self, uid: str) -> Running | None:
        """The machine of that uid, found again if we do not hold it."""
        if uid not in self._running and (held := process.find(self.sockets(uid))):
            log.info("machine %s is running (pid %d)", uid, held.pid)
            self._take(uid, held)
        return self._running.get(uid)

    def _take(self, uid: str, held: process.Process) -> Running:
        key = self.records.owner(uid) or ("", "")
        running = Running(uid, self.sockets(uid), held, partial(self._on_change, key))
        self._running[uid] = running
        self._tasks.spawn(self._watch(uid, running, key), name=f"machine {uid}")
        return running

    async def _watch(self, uid: str, running: Running, key: Key) -> None:
        await running.watch()
        self._running.pop(uid, None)
        self._on_change(key)

    # --- starting ---------------------------------------------------------------------------------------------------

    async def start(
        self,
        vmi: Object,
        images: Mapping[str, Image | None],
        attachment: Attachment,
        kernel_boot: KernelBoot | None,
    ) -> Running:
        """Start the machine of a VMI. Raises MachineError.

        The record is written before the process is started: whoever is killed between the two finds either the
        process, or a machine that ended without a word.
        """
        uid, key = vmi["metadata"]["uid"], (vmi["metadata"]["namespace"], vmi["metadata"]["name"])
        sockets = Sockets(self.records.reserve(uid, key))
        state = self.state.path(key)
        planned = planning.build_planned(
            vmi, images, kernel_boot, planning.Place(self.host, sockets, attachment, state)
        )
        planning.prepare_firmware(planned.machine, self.host)
        self.records.write(uid, planned.record)
        running = await self._run(vmi, planned, sockets, state)
        for card in planned.machine.interfaces:
            if not card.link_up:
                await running.monitor.set_link(card.name, up=False)
        return running

    async def _run(self, vmi: Object, planned: planning.Planned, sockets: Sockets, state: Path) -> Running:
        """QEMU and what stands beside it, inside the machine's cgroup. Raises ProcessError."""
        uid, machine = vmi["metadata"]["uid"], planned.machine
        groups = self._plan(uid, machine.topology.vcpus, machine.memory_limit)
        failed = cgroup.prepare(groups)
        helpers = await self._start_helpers(vmi, machine, sockets, state)
        running = await self._launch(uid, sockets, cgroup.confined(planned.command, groups), machine.timezone)
        failed += [path for pid in (running.process.pid, *helpers) for path in cgroup.enter(groups, pid)]
        if failed:
            log.warning("machine %s runs without some of its limits: %s", uid, ", ".join(dict.fromkeys(failed)))
        return running

    async def _start_helpers(self, vmi: Object, machine: Machine, sockets: Sockets, state: Path) -> list[int]:
        """The processes that stand beside QEMU: their pids."""
        if not machine.tpm:
            return []
        kept = state if planning.wants_persistent_tpm(vmi) else sockets.directory
        pid = await tpm.start(self.host.swtpm, sockets, kept / "tpm")
        self._tasks.spawn(process.reap(pid), name=f"TPM of {machine.name}")
        return [pid]

    async def _launch(self, uid: str, sockets: Sockets, command: list[str], timezone: str) -> Running:
        """Start QEMU and wait for the monitor's first answer. Raises ProcessError with QEMU's own words."""
        offset = process.log_size(sockets)
        running = self._take(uid, await process.start(command, sockets, timezone))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + process.START_DEADLINE
        while True:
            try:
                await running.monitor.status()
                return running
            except MonitorError as error:
                if not running.ended and loop.time() < deadline:
                    await asyncio.sleep(ASK_AGAIN_SECONDS)  # on a busy host its socket is there before it listens
                    continue
                running.process.kill()  # without a word on disk: a machine that was refused did not end well
                await running.wait_ended(process.KILL_SECONDS)
                raise ProcessError(f"QEMU refused the machine: {process.read_tail(sockets, offset)}") from error

    def _plan(self, uid: str, vcpus: int = 1, memory_limit: int = 0) -> cgroup.Plan:
        return cgroup.build_plan(self._cgroups, self._node, uid, vcpus=vcpus, memory_limit=memory_limit)

    # --- ending -----------------------------------------------------------------------------------------------------

    async def remove(self, uid: str) -> None:
        """Forget a machine whose VMI is gone: end it if it runs, remove its directory and cgroup.

        Raises StillRunningError if its process is not gone within KILL_SECONDS. Nothing is forgotten then: who forgot
        a process that still writes would let another write on the same disk. `on_change` tells when it has ended.
        """
        if (running := self._adopt(uid)) and not await running.wait_destroyed():
            raise StillRunningError(f"machine {uid} was killed, but its process {running.process.pid} does not end")
        await tpm.stop(self.sockets(uid))
        cgroup.leave(self._plan(uid))
        await self.records.forget(uid)

    async def close(self) -> None:
        """Let go of everything; the machines run on."""
        with contextlib.suppress(asyncio.CancelledError):
            await self._tasks.close()
