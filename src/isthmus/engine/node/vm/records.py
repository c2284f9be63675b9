"""What the directories `vms/<uid>/` say of this node's machines: a restarted agent knows as much as the one before.

A directory lives as long as its VMI: `owner.json` says whose it is, `machine.json` what was started, `exit.json` how it
ended. Written by `machines` alone, so what was read once is kept.
"""

import asyncio
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from isthmus.engine.node import graceperiods
from isthmus.engine.node.net.model import Attachment
from isthmus.engine.node.vm import process
from isthmus.engine.node.vm.machine import Disk, Machine, Sockets
from isthmus.lib import clock

Object = dict[str, Any]
Key = tuple[str, str]  # namespace, name of the VMI


class Records:
    """The machines of one node, as the disk knows them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._machines: dict[str, Object] = {}  # what the machine.json of each uid holds
        self._owners = {uid: self._read_owner(uid) for uid in self.uids()}

    def sockets(self, uid: str) -> Sockets:
        """Where a machine's files lie."""
        return Sockets(self._directory / uid)

    def uids(self) -> list[str]:
        """Everything that has a directory here: prepared, running or ended."""
        return sorted(entry.name for entry in self._directory.iterdir()) if self._directory.is_dir() else []

    # --- whose it is ------------------------------------------------------------------------------------------------

    def reserve(self, uid: str, key: Key) -> Path:
        """The directory of a machine, made before anything is put there: whoever is killed leaves it with its owner."""
        directory = self._directory / uid
        if self._owners.get(uid) != key:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            process.write_json(directory / "owner.json", {"namespace": key[0], "name": key[1]})
            self._owners[uid] = key
        return directory

    def _read_owner(self, uid: str) -> Key:
        owner = process.read_json(self._directory / uid / "owner.json") or self.read(uid)
        return (str(owner.get("namespace", "")), str(owner.get("name", "")))

    def owner(self, uid: str) -> Key | None:
        """The VMI that a machine was made for; None for a machine that is not (yet) here."""
        return self._owners.get(uid)

    def uids_of(self, key: Key) -> list[str]:
        """Every machine that was made for a VMI of this name, whatever its uid."""
        return [uid for uid, owner in self._owners.items() if owner == key]

    def known(self) -> set[Key]:
        """The VMIs that have had a machine here."""
        return {key for key in self._owners.values() if key[1]}

    # --- what was started -------------------------------------------------------------------------------------------

    def read(self, uid: str) -> Object:
        """What was started: `machine.json`, or nothing. Shared: never change it."""
        if uid not in self._machines:
            found = process.read_json(self._path(uid))
            if not found:
                return {}
            self._machines[uid] = found
        return self._machines[uid]

    def write(self, uid: str, record: Object) -> None:
        """Say what is about to be started; how an earlier start ended is forgotten."""
        self._machines.pop(uid, None)
        process.write_json(self._path(uid), record)
        (self._directory / uid / "exit.json").unlink(missing_ok=True)

    def _path(self, uid: str) -> Path:
        return self._directory / uid / "machine.json"

    async def forget(self, uid: str) -> None:
        """Remove a machine's directory with all that lies in it."""
        await asyncio.to_thread(shutil.rmtree, self._directory / uid, ignore_errors=True)
        self._machines.pop(uid, None)
        self._owners.pop(uid, None)


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
        "graceSeconds": graceperiods.spec_seconds(vmi),
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
