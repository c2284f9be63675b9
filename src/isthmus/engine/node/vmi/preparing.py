"""Everything that a machine needs before it starts: kernel, images, volumes, networks. Called as a job.

What has been made stays: called again, after a failure or a restart of the agent, it finds it again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from isthmus.client import resources
from isthmus.client.cached import CachedClient
from isthmus.engine.node.disk import volumes
from isthmus.engine.node.disk.sources import Sources
from isthmus.engine.node.image.errors import ImageError
from isthmus.engine.node.net import cni
from isthmus.engine.node.net.model import Attachment, BridgeNetwork, NicRequest
from isthmus.engine.node.vm import interfaces
from isthmus.engine.node.vm.machine import Image, KernelBoot
from isthmus.engine.node.vm.records import Records
from isthmus.machinery.errors import StatusError
from isthmus.machinery.fieldtree import at

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


class Images(volumes.ImageStore, Protocol):
    """What is needed of `image.store.ImageStore`."""

    def find(self, image: str) -> Any:
        """The image of that name if it is here, else None. Raises ImageError for what is no name."""


class PullError(Exception):
    """An image cannot be had. `reason` is the kubelet's word."""

    def __init__(self, image: str, cause: ImageError) -> None:
        self.image = image
        self.reason = cause.reason
        super().__init__(str(cause))


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `prepare` has found and made."""

    images: dict[str, Image | None]
    kernel_boot: KernelBoot | None
    attachment: Attachment


class Preparer:
    """Prepares machines; holds what all of them share."""

    def __init__(self, cached: CachedClient, records: Records, networks: Networks, images: Images) -> None:
        self._cached = cached
        self._records = records
        self._networks = networks
        self._images = images

    async def prepare(self, vmi: Object, pod: Object) -> Prepared:
        """Everything for `vmi`, whose launcher is `pod`.

        Raises MachineError, PullError, NetworkError, StatusError: `reason` and text are fit for a status.
        """
        metadata = vmi["metadata"]
        uid, namespace = metadata["uid"], metadata["namespace"]
        directory = self._records.reserve(uid, (namespace, metadata["name"]))
        sources = Sources(self._cached.client, namespace, pod)
        context = volumes.Context(vmi, directory, sources, _Pulls(self._images))
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

    def local_images(self, vmi: Object) -> list[Any]:
        """Which of the VMI's images are here now. Cheap: another answer than before is worth another try."""
        return [self._find(image) for image in image_names(vmi)]

    def _find(self, image: str) -> Any:
        try:
            return self._images.find(image)
        except ImageError:
            return None


def image_names(vmi: Object) -> list[str]:
    """The images that a VMI boots from or has as disks."""
    named = [at(volume, "containerDisk.image") for volume in vmi["spec"].get("volumes") or ()]
    return [str(name) for name in (*named, at(vmi["spec"], "domain.firmware.kernelBoot.container.image")) if name]


@dataclass(frozen=True, slots=True)
class _Pulls:
    """The image store, whose complaints name the image."""

    store: Images

    async def ensure(self, image: str, pull_policy: str = "IfNotPresent", auth: Mapping[str, Any] | None = None) -> Any:
        try:
            return await self.store.ensure(image, pull_policy, auth)
        except ImageError as error:
            raise PullError(image, error) from error

    async def file(self, image: Any, path: str) -> Path:
        try:
            return await self.store.file(image, path)
        except ImageError as error:
            raise PullError(image.name, error) from error
