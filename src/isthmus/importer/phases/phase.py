"""What the phases share: the import at hand, and the few things that they do with objects."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson

from isthmus.client import resources
from isthmus.client.api import Client, Resource
from isthmus.importer.sources.machine import Machine
from isthmus.importer.sources.plain import read_machine
from isthmus.lib import clock
from isthmus.machinery.errors import StatusError

Object = dict[str, Any]
LABEL = "isthmus.dev/import"
WORKER_IMAGE = "isthmus.dev/worker"
GROUP_VERSION = "isthmus.dev/v1alpha1"
MADE: tuple[Resource, ...] = (resources.VMIS, resources.PODS, resources.PVCS)  # what an import makes on its way


class ImportFailedError(Exception):
    """The import cannot go on. `str()` is its message in the status: what, where, what to do."""


@dataclass(slots=True)
class Import:
    """One VirtualMachineImport in hand."""

    client: Client
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
        kind = {"apiVersion": GROUP_VERSION, "kind": "VirtualMachineImport"}
        return {
            **kind,
            "name": metadata["name"],
            "uid": metadata["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }

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
        metadata.setdefault("labels", {})[LABEL] = self.name
        metadata["ownerReferences"] = [self.owner()]
        found = await self.find(resource, metadata["name"])
        if found is None:
            return await self.client.create(resource, manifest, self.namespace)
        owners = found["metadata"].get("ownerReferences") or []
        if not any(o["uid"] == self.obj["metadata"]["uid"] for o in owners):
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
            listed = await self.client.list(resource, self.namespace, labels=f"{LABEL}={self.name}")
            for obj in listed["items"]:
                await self.delete(resource, obj["metadata"]["name"])

    async def log(self, pod: str, container: str = "", *, tail: int = 0) -> str:
        """A container's log so far; "" while there is none."""
        query = {k: v for k, v in (("container", container), ("tailLines", str(tail or ""))) if v}
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/log"
        try:
            return (await self.client.call("GET", path, query=query)).decode(errors="replace")
        except StatusError as error:
            if error.code in (400, 404, 503):
                return ""
            raise


Step = Callable[[Import], Awaitable[bool]]


def worker_pod(name: str, arguments: list[str], claims: dict[str, str] | None = None) -> Object:
    """A Pod that runs our worker with these volumes (volume name -> claim)."""
    volumes = claims or {}
    container = {
        "name": "worker",
        "image": WORKER_IMAGE,
        "args": arguments,
        "volumeMounts": [{"name": v, "mountPath": f"/volumes/{v}"} for v in volumes],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
    }
    spec: Object = {"restartPolicy": "Never", "containers": [container], "terminationGracePeriodSeconds": 5}
    if volumes:
        spec["volumes"] = [{"name": v, "persistentVolumeClaim": {"claimName": c}} for v, c in volumes.items()]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


async def finished(work: Import, pod: Object) -> bool:
    """Whether a worker pod has ended well. Raises ImportFailedError with the worker's own words otherwise."""
    phase = (pod.get("status") or {}).get("phase")
    if phase == "Failed":
        lines = [line for line in (await work.log(pod["metadata"]["name"], tail=20)).splitlines() if line.strip()]
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        status = pod["status"].get("message") or pod["status"].get("reason") or "no message"
        raise ImportFailedError(errors[-1] if errors else f"the worker ended badly: {lines[-1] if lines else status}")
    return phase == "Succeeded"


def read_json_lines(text: str) -> list[Object]:
    """The JSON objects among the lines of a log."""
    found = []
    for line in text.splitlines():
        if line.startswith("{"):
            try:
                found.append(orjson.loads(line))
            except orjson.JSONDecodeError:
                continue
    return found
