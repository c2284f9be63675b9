"""The machines of this node: start one, find all again after a restart, remember how each ended.

A machine's directory `vms/<uid>/` lives as long as its VMI: it is where `owner.json` says whose it is, `machine.json`
what runs and `exit.json` how it ended, so that a restarted agent knows as much as the one before.
"""

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from isthmus.engine.node import launchers
from isthmus.engine.node.net.model import Attachment
from isthmus.engine.node.vm import argv, cgroup, pci, process, spec, tpm
from isthmus.engine.node.vm.errors import MonitorError, ProcessError, SpecError
from isthmus.engine.node.vm.machine import Disk, Host, Image, KernelBoot, Machine, Sockets
from isthmus.engine.node.vm.running import Running
from isthmus.lib import clock
from isthmus.lib.tasks import TaskSet

log = logging.getLogger(__name__)

Object = dict[str, Any]
Key = tuple[str, str]  # namespace, name of the VMI

ASK_AGAIN_SECONDS = 0.05


class Machines:
    """`on_change(key)` is called whenever something about a machine has changed."""

    def __init__(self, directory: Path, node: str, host: Host, on_change: Callable[[Key], None]) -> None:
        self._directory = directory
        self._node = node
        self.host = host
        self._on_change = on_change
        self._running: dict[str, Running] = {}
        self._owners = {uid: self._read_owner(uid) for uid in self.uids()}
        self._tasks = TaskSet()
        self._cgroups = cgroup.detect_version()

    def sockets(self, uid: str) -> Sockets:
        """Where a machine's files lie."""
        return Sockets(self._directory / uid)

    def find(self, uid: str) -> Running | None:
        """A machine that runs."""
        return self._running.get(uid)

    def record(self, uid: str) -> Object:
        """What was started: `machine.json`, or nothing."""
        return process.read_json(self._directory / uid / "machine.json")

    def find_exit(self, uid: str) -> process.Exit | None:
        """How a machine ended; None if it runs or was never started."""
        if uid in self._running or not self.record(uid):
            return None
        return process.find_exit(self.sockets(uid))

    def reserve(self, uid: str, key: Key) -> Path:
        """The directory of a machine, made before anything is put there: whoever is killed leaves it with its owner."""
        directory = self._directory / uid
        if self._owners.get(uid) != key:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            process.write_json(directory / "owner.json", {"namespace": key[0], "name": key[1]})
            self._owners[uid] = key
        return directory

    def _read_owner(self, uid: str) -> Key:
        owner = process.read_json(self._directory / uid / "owner.json") or self.record(uid)
        return (str(owner.get("namespace", "")), str(owner.get("name", "")))

    def uids_of(self, key: Key) -> list[str]:
        """Every machine that was made for a VMI of this name, whatever its uid."""
        return [uid for uid, owner in self._owners.items() if owner == key]

    def owner(self, uid: str) -> Key | None:
        """The VMI that a machine was made for; None for a machine that is not (yet) here."""
        return self._owners.get(uid)

    def known(self) -> set[Key]:
        """The VMIs that have had a machine here."""
        return {key for key in self._owners.values() if key[1]}

    def uids(self) -> list[str]:
        """Everything that has a directory here: prepared, running or ended."""
        return sorted(entry.name for entry in self._directory.iterdir()) if self._directory.is_dir() else []

    def adopt(self) -> set[str]:
        """After a start of the agent: take over the machines that run. Gives their uids."""
        for uid in self.uids():
            if uid not in self._running and (held := process.find(self.sockets(uid))):
                log.info("machine %s is running (pid %d)", uid, held.pid)
                self._take(uid, held)
        return set(self._running)

    def _take(self, uid: str, held: process.Process) -> Running:
        key = self._owners[uid]
        running = Running(uid, self.sockets(uid), held, partial(self._on_change, key))
        self._running[uid] = running
        self._tasks.spawn(self._watch(uid, running, key), name=f"machine {uid}")
        return running

    async def _watch(self, uid: str, running: Running, key: Key) -> None:
        await running.watch()
        self._running.pop(uid, None)
        self._on_change(key)

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
        sockets = Sockets(self.reserve(uid, key))
        nics = {nic.name: nic for nic in attachment.nics}
        state = self._state(key)
        machine = spec.build_machine(vmi, images, nics, self.host, sockets.directory, kernel_boot, state)
        try:
            arguments = argv.build_argv(machine, self.host, sockets)
        except pci.PciError as error:
            raise SpecError("spec.domain.devices", str(error)) from error
        self._prepare_firmware(machine)
        resolved = self.host.resolve_machine(machine.machine_type)
        record = build_record(vmi, machine, resolved, attachment, arguments)
        process.write_json(sockets.directory / "machine.json", record)
        (sockets.directory / "exit.json").unlink(missing_ok=True)
        groups = self._plan(uid, machine.topology.vcpus, machine.memory_limit)
        failed = cgroup.prepare(groups)
        helpers = await self._start_helpers(vmi, machine, sockets, state)
        whole = cgroup.confined(process.namespaced(arguments, attachment.netns), groups)
        running = await self._launch(uid, sockets, whole, machine.timezone)
        failed += [path for pid in (running.process.pid, *helpers) for path in cgroup.enter(groups, pid)]
        if failed:
            log.warning("machine %s runs without some of its limits: %s", uid, ", ".join(dict.fromkeys(failed)))
        for card in machine.interfaces:
            if not card.link_up:
                await running.monitor.set_link(card.name, up=False)
        return running

    async def _start_helpers(self, vmi: Object, machine: Machine, sockets: Sockets, state: Path) -> list[int]:
        """The processes that stand beside QEMU: their pids."""
        if not machine.tpm:
            return []
        persistent = (vmi["spec"]["domain"]["devices"]["tpm"] or {}).get("persistent")
        pid = await tpm.start(self.host.swtpm, sockets, (state if persistent else sockets.directory) / "tpm")
        self._tasks.spawn(process.reap(pid), name=f"TPM of {machine.name}")
        return [pid]

    async def _launch(self, uid: str, sockets: Sockets, command: list[str], timezone: str) -> Running:
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
                await running.wait_ended()
                raise ProcessError(f"QEMU refused the machine: {process.read_tail(sockets, offset)}") from error

    def _prepare_firmware(self, machine: Machine) -> None:
        target = machine.firmware.vars_file
        found = self.host.find_firmware(secure=machine.firmware.secure_boot)
        if target and found and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            part = target.with_suffix(".new")  # a copy that was cut short would keep the machine from starting for ever
            shutil.copyfile(found[1], part)
            part.replace(target)

    def _plan(self, uid: str, vcpus: int = 1, memory_limit: int = 0) -> cgroup.Plan:
        return cgroup.build_plan(self._cgroups, self._node, uid, vcpus=vcpus, memory_limit=memory_limit)

    async def remove(self, uid: str) -> None:
        """Forget a machine whose VMI is gone: end it if it runs, remove its directory and cgroup."""
        if running := self._running.get(uid):
            running.destroy()
            await running.wait_ended()
        await tpm.stop(self.sockets(uid))
        cgroup.leave(self._plan(uid))
        await asyncio.to_thread(shutil.rmtree, self._directory / uid, ignore_errors=True)
        self._owners.pop(uid, None)

    def _state(self, key: Key) -> Path:
        """What a VM keeps from one instance to the next, beside its volumes."""
        return self._directory.parent / "state" / key[0] / key[1]

    def keepers(self) -> list[Key]:
        """The VMs that keep something here."""
        return [(path.parent.name, path.name) for path in sorted((self._directory.parent / "state").glob("*/*/"))]

    async def forget(self, key: Key) -> None:
        """Remove the state of a VM that is gone."""
        await asyncio.to_thread(shutil.rmtree, self._state(key), ignore_errors=True)

    async def close(self) -> None:
        """Let go of everything; the machines run on."""
        with contextlib.suppress(asyncio.CancelledError):
            await self._tasks.close()


def build_record(vmi: Object, machine: Machine, resolved: str, attachment: Attachment, arguments: list[str]) -> Object:
    """What `machine.json` holds: enough for a status, a port-forward and a person who looks for a cause."""
    metadata = vmi["metadata"]
    return {
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "started": clock.timestamp(),
        "machineType": resolved,
        "acpi": machine.firmware.acpi,
        "graceSeconds": launchers.grace_seconds(vmi),
        "topology": asdict(machine.topology),
        "memory": machine.memory,
        "netns": str(attachment.netns) if attachment.netns else "",
        "podIPs": list(attachment.pod_ips),
        "nics": [asdict(nic) for nic in attachment.nics],
        "disks": [
            {"name": d.name, "bus": d.bus, "cache": d.cache, "io": d.aio, "why": d.why, "format": _format(d)}
            for d in machine.disks
        ],
        "notes": list(machine.notes) + [note for nic in attachment.nics for note in nic.notes],
        "argv": arguments,
    }


def _format(disk: Disk) -> str:
    return disk.image.format if disk.image else ""
