"""Tells on VMI and launcher Pod what a running machine and its guest say. Called by `startup` and `supervision`."""

from dataclasses import dataclass
from typing import Any

from isthmus.client import resources
from isthmus.client.cached import CachedClient
from isthmus.engine.node import podstatus, status
from isthmus.engine.node.vm.machines import Machines
from isthmus.engine.node.vm.running import Running
from isthmus.engine.node.vmi.guestcare import GuestCare
from isthmus.engine.node.writer import Writer
from isthmus.lib import clock
from isthmus.machinery.fieldtree import at

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Node:
    """Who we are."""

    name: str
    address: str


class Reporter:
    """Keeps nothing: statuses are made anew from what is there."""

    def __init__(self, cached: CachedClient, writer: Writer, machines: Machines, care: GuestCare, node: Node) -> None:
        self._cached = cached
        self._writer = writer
        self._machines = machines
        self._care = care
        self._node = node

    async def report(self, vmi: Object, pod: Object | None, running: Running) -> None:
        """Write both statuses, as far as they differ from what is told already."""
        record, now = self._machines.records.read(running.uid), clock.timestamp()
        await self._writer.patch_vmi(vmi, status.build_status(vmi, self._facts(vmi, running, record), now))
        if pod is not None:
            unready = self._care.unready(vmi, running.uid)
            paused = running.state in status.PAUSED_REASONS
            addresses = record.get("podIPs") or ()
            wanted = podstatus.running(pod, self._node.address, addresses, now, unready=unready, paused=paused)
            await self._writer.patch_pod(pod, wanted)

    def _facts(self, vmi: Object, running: Running, record: Object) -> status.Facts:
        seen, guest = running.seen, running.seen.guest
        return status.Facts(
            node=self._node.name,
            phase="Running",
            record=record,
            accelerator=self._machines.host.accelerator,
            claims=self._claims(vmi),
            state=seen.state or "running",
            agent_connected=seen.agent_connected,
            agent_version=guest.version,
            os_info=guest.osinfo,
            guest_interfaces=guest.interfaces,
            frozen=guest.frozen,
            memory=seen.memory,
            vcpus=seen.vcpus,
            credentials=self._care.credentials_error(running.uid),
        )

    def _claims(self, vmi: Object) -> dict[str, status.Claim]:
        found = {}
        for volume in vmi["spec"].get("volumes") or ():
            name = at(volume, "persistentVolumeClaim.claimName") or at(volume, "dataVolume.name")
            if name and (pvc := self._cached.get(resources.PVCS, vmi["metadata"]["namespace"], name)):
                found[volume["name"]] = build_claim(pvc)
        return found


def build_claim(pvc: Object) -> status.Claim:
    """What a VMI's status tells of a claim."""
    spec = pvc["spec"]
    return status.Claim(
        pvc["metadata"]["name"],
        tuple(spec.get("accessModes") or ()),
        spec.get("volumeMode") or "Filesystem",
        str(at(pvc, "status.capacity.storage") or ""),
        str(at(spec, "resources.requests.storage") or ""),
    )
