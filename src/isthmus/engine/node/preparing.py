"""Everything that a machine needs before it starts: kernel, images, volumes, networks. Called by `vmis`, as a job.

What has been made stays: called again, after a failure or a restart of the agent, it finds it again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from isthmus.client import resources
from isthmus.client.cached import CachedClient
from isthmus.engine.node.disk import volumes
from isthmus.engine.node.disk.sources import Sources
from isthmus.engine.node.net import cni
from isthmus.engine.node.net.model import Attachment, BridgeNetwork, NicRequest
from isthmus.engine.node.vm import interfaces
from isthmus.engine.node.vm.machine import Image, KernelBoot
from isthmus.engine.node.vm.machines import Machines
from isthmus.machinery.errors import StatusError

Object = dict[str, Any]


class Networks(Protocol):
    """What is needed of `net.network.Network`."""

    async def attach(self, uid: str, requests: Sequence[NicRequest], pod_key: tuple[str, str]) -> Attachment:
        """Join a VM to its networks."""

    async def detach(self, uid: str) -> None:
        """Undo `attach`."""

    async def release(self, namespace: str, name: str) -> None:
        """Free the addresses that were kept for a VM."""

    def holders(self) -> set[tuple[str, str]]:
        """The VMs for which addresses are kept."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `prepare` has found and made."""

    images: dict[str, Image | None]
    kernel_boot: KernelBoot | None
    attachment: Attachment


class Preparer:
    """Prepares machines; holds what all of them share."""

    def __init__(
        self, cached: CachedClient, machines: Machines, networks: Networks, images: volumes.ImageStore
    ) -> None:
        self._cached = cached
        self._machines = machines
        self._networks = networks
        self._images = images

    async def prepare(self, vmi: Object) -> Prepared:
        """Raises MachineError, ImageError, NetworkError, StatusError: `reason` and text are fit for a status."""
        metadata = vmi["metadata"]
        uid, namespace = metadata["uid"], metadata["namespace"]
        directory = self._machines.reserve(uid, (namespace, metadata["name"]))
        context = volumes.Context(vmi, directory, Sources(self._cached.client, namespace), self._images)
        kernel_boot = await volumes.resolve_kernel_boot(context)
        images = await volumes.resolve_volumes(context)
        requests = interfaces.build_requests(vmi, await self._attachments(vmi))
        attachment = await self._networks.attach(uid, requests, (namespace, metadata["name"]))
        return Prepared(images, kernel_boot, attachment)

    async def _attachments(self, vmi: Object) -> dict[str, BridgeNetwork]:
        found = {}
        for name in interfaces.attachment_names(vmi):
            namespace, _, short = name.partition("/")
            try:
                nad = await self._cached.client.get(resources.NADS, short, namespace)
            except StatusError as error:
                if error.code == 404:
                    continue  # build_requests names the field
                raise
            found[name] = cni.parse((nad.get("spec") or {}).get("config") or "", name)
        return found
