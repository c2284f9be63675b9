"""What the phases share: the import at hand, and the few things that they do with objects."""

import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from isthmus.client import resources
from isthmus.client.api import Client, Resource
from isthmus.client.events import Recorder
from isthmus.importer.map import names
from isthmus.importer.sources.machine import Machine
from isthmus.importer.sources.plain import read_machine
from isthmus.lib import clock
from isthmus.machinery.errors import StatusError

Object = dict[str, Any]
LABEL = "isthmus.dev/import"
GROUP_VERSION, KIND = "isthmus.dev/v1alpha1", "VirtualMachineImport"
# What an import makes on its way and what goes with it when it fails; the picture of a failed proof stays as evidence.
MADE: tuple[Resource, ...] = (resources.VMIS, resources.PODS, resources.VMS, resources.NADS, resources.PVCS)


class Next(Enum):
    """What follows a step."""

    STAY = auto()  # the phase is not over: look again
    ONWARD = auto()  # it is
    TRANSFER = auto()  # the disks are not as they should be: copy them once more


class ImportFailedError(Exception):
    """The import cannot go on. `str()` is its message in the status: what, where, what to do."""


@dataclass(slots=True)
class Import:
    """One VirtualMachineImport in hand."""

    client: Client
    recorder: Recorder
    obj: Object

    @property
    def name(self) -> str:
        """metadata.name."""
        return str(self.obj["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """metadata.namespace."""
        return str(self.obj["metadata"]["namespace"])

    @property
    def generation(self) -> int:
        """metadata.generation."""
        return int(self.obj["metadata"].get("generation") or 0)

    @property
    def spec(self) -> Object:
        """What was asked for."""
        spec: Object = self.obj["spec"]
        return spec

    @property
    def status(self) -> Object:
        """What is known so far."""
        status: Object = self.obj.get("status") or {}
        return status

    @property
    def phase(self) -> str:
        """status.phase."""
        return str(self.status.get("phase") or "")

    @property
    def message(self) -> str:
        """status.message."""
        return str(self.status.get("message") or "")

    @property
    def machine(self) -> Machine:
        """The machine as the source describes it. Raises ImportFailedError before it was inspected."""
        try:
            return read_machine(self.status["source"]["machine"])
        except (KeyError, ValueError) as error:
            raise ImportFailedError(
                "the status does not hold what the source says of the machine: delete the import, make it anew"
            ) from error

    @property
    def vm_name(self) -> str:
        """The name that the virtual machine gets."""
        return str(self.status["virtualMachineName"])

    @property
    def claims(self) -> dict[str, str]:
        """Disk id -> PersistentVolumeClaim."""
        return {disk["name"]: disk["claimName"] for disk in self.status.get("disks") or []}

    def owner(self) -> Object:
        """The ownerReference of what the import makes: it goes with the import."""
        metadata = self.obj["metadata"]
        return {
            "apiVersion": GROUP_VERSION,
            "kind": KIND,
            "name": metadata["name"],
            "uid": metadata["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }

    def child(self, suffix: str) -> str:
        """The name of something that the import makes; long names are cut and stay different."""
        return f"{_short(self.name, names.LABEL - len(suffix) - 1)}-{suffix}"

    @property
    def label(self) -> str:
        """The value of the label `LABEL` of what the import makes."""
        return _short(self.name, names.LABEL)

    def owns(self, obj: Object) -> bool:
        """Whether the import has made `obj`."""
        owners = obj["metadata"].get("ownerReferences") or []
        return any(owner["uid"] == self.obj["metadata"]["uid"] for owner in owners)

    def seconds_in_phase(self) -> float:
        """Since the phase began."""
        timings = self.status.get("timings") or []
        return time.time() - clock.parse(timings[-1]["startTime"]) if timings else 0.0

    def finished_timings(self) -> list[Object]:
        """The timings with the running one ended now."""
        timings = [dict(t) for t in self.status.get("timings") or []]
        if timings and "seconds" not in timings[-1]:
            timings[-1]["seconds"] = round(self.seconds_in_phase(), 2)
        return timings

    async def patch_status(self, change: Object) -> None:
        """Merge `change` into the status, on the server and here."""
        body = {"status": change}
        self.obj = await self.client.patch(resources.IMPORTS, self.name, body, self.namespace, subresource="status")

    async def tell(self, message: str) -> None:
        """Say in the status what is going on, if that is new."""
        if message != self.message:
            await self.patch_status({"message": message})

    async def warn(self, reason: str, message: str) -> None:
        """Say in an event what a person should look at."""
        await self.recorder.warning(self.obj, reason, message)

    async def find(self, resource: Resource, name: str) -> Object | None:
        """An object of the import's namespace, or None."""
        try:
            return await self.client.get(resource, name, self.namespace)
        except StatusError as error:
            if error.code == 404:
                return None
            raise

    async def ensure(self, resource: Resource, manifest: Object) -> Object:
        """The object of this name, made if it is not there. Raises ImportFailedError if it is somebody else's."""
        metadata = manifest["metadata"]
        metadata.setdefault("labels", {})[LABEL] = self.label
        metadata["ownerReferences"] = [self.owner()]
        found = await self.find(resource, metadata["name"])
        if found is None:
            return await self.client.create(resource, manifest, self.namespace)
        if not self.owns(found):
            raise ImportFailedError(
                f"{manifest['kind']} {metadata['name']} is there already and not ours: choose another targetName"
            )
        return found

    async def delete(self, resource: Resource, name: str) -> None:
        """Delete an object if it is there."""
        try:
            await self.client.delete(resource, name, self.namespace, options={"gracePeriodSeconds": 0})
        except StatusError as error:
            if error.code != 404:
                raise

    async def delete_all(self) -> None:
        """Delete everything that the import made."""
        for resource in MADE:
            listed = await self.client.list(resource, self.namespace, labels=f"{LABEL}={self.label}")
            for obj in listed["items"]:
                if self.owns(obj):
                    await self.delete(resource, obj["metadata"]["name"])

    async def log(self, pod: str, container: str = "", *, tail: int = 0) -> str:
        """A container's log so far; "" while there is none. Raises StatusError 503 if the node cannot be asked."""
        query = {k: v for k, v in (("container", container), ("tailLines", str(tail or ""))) if v}
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/log"
        try:
            return (await self.client.call("GET", path, query=query)).decode(errors="replace")
        except StatusError as error:
            if error.code in (400, 404):
                return ""
            raise


Step = Callable[[Import], Awaitable[Next]]


def _short(name: str, longest: int) -> str:
    """A label made of `name`; one that had to be cut ends in a hash of the whole."""
    if len(label := names.to_label(name)) <= longest and label == name:
        return label
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{names.to_label(name, longest=longest - len(digest) - 1)}-{digest}"
