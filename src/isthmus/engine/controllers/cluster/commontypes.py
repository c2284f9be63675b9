"""The instance types (u1.medium ...) and preferences (fedora ...) of every cluster, from the table commontypes.yaml.

Written once when the controllers start, where they are missing; an administrator's changes of them stay. Turned off as
in KubeVirt: `spec.configuration.commonInstancetypesDeployment.enabled: false` of the KubeVirt object.
"""

import asyncio
import functools
import importlib.resources
from collections.abc import Iterator
from typing import Any

import yaml

from isthmus.client.api import Object, Resource
from isthmus.client.cached import CachedClient
from isthmus.client.resources import CLUSTERINSTANCETYPES, CLUSTERPREFERENCES, KUBEVIRTS
from isthmus.engine.controllers.cluster import kubevirt
from isthmus.machinery import mergepatch
from isthmus.machinery.fieldtree import at

GROUP = "instancetype.kubevirt.io"
API_VERSION = f"{GROUP}/v1beta1"
VENDOR = "isthmus.dev"
PAGE, LARGE_PAGE = "2Mi", "1Gi"


@functools.cache
def _table() -> Any:
    text = (importlib.resources.files(__package__) / "commontypes.yaml").read_text()
    return yaml.safe_load(text)


def instancetypes() -> Iterator[Object]:
    """Every VirtualMachineClusterInstancetype."""
    for family, row in _table()["families"].items():
        for size, amounts in row["sizes"].items():
            pages = {"": PAGE, "1gi": LARGE_PAGE} if row.get("pages") else {"": None}
            for suffix, page in pages.items():
                yield _instancetype(family, f"{size}{suffix}", amounts, row, page)


def _instancetype(family: str, size: str, amounts: str, row: Any, page: str | None) -> Object:
    count, memory = amounts.split()
    own: Object = {"cpu": {"guest": int(count)}, "memory": {"guest": memory}}
    if row.get("sockets"):
        own["cpu"]["maxSockets"] = int(count)
    if page:
        own["memory"]["hugepages"] = {"pageSize": page}
    spec: Object = mergepatch.apply(row.get("spec") or {}, own)
    labels = {"class": row["class"], "cpu": count, "memory": memory, "size": size, "version": "1", "vendor": VENDOR}
    labels |= {key: "true" for key in ("dedicatedCPUPlacement", "isolateEmulatorThread") if spec["cpu"].get(key)}
    labels |= {key: "true" for key in ("numa", "realtime") if key in spec["cpu"]}
    if found := at(spec, "memory.hugepages.pageSize"):
        labels["hugepages"] = found
    annotations = {f"{GROUP}/displayName": row["title"], f"{GROUP}/description": row["about"]}
    return _object("VirtualMachineClusterInstancetype", f"{family}.{size}", labels, annotations, spec)


def preferences() -> Iterator[Object]:
    """Every VirtualMachineClusterPreference."""
    table = _table()
    for row in table["preferences"]:
        name, title, traits, *required = (cell.strip() for cell in row.split("|"))
        spec: Object = {}
        for trait in traits.split():
            spec = mergepatch.apply(spec, table["traits"][trait])
        if required:
            count, memory = required[0].split()
            spec = mergepatch.apply(spec, {"requirements": {"cpu": {"guest": int(count)}, "memory": {"guest": memory}}})
        labels = {"vendor": VENDOR}
        if systems := {"linux", "windows"} & set(traits.split()):
            labels["os-type"] = systems.pop()
        yield _object("VirtualMachineClusterPreference", name, labels, {f"{GROUP}/displayName": title}, spec)


def _object(kind: str, name: str, labels: Object, annotations: Object, spec: Object) -> Object:
    metadata = {"name": name, "labels": {f"{GROUP}/{k}": v for k, v in labels.items()}, "annotations": annotations}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


class CommonTypes:
    """Writes what is missing."""

    def __init__(self, cluster: CachedClient) -> None:
        self.cluster = cluster

    async def ensure(self) -> None:
        """Create each instance type and preference that is not there. Two lists if nothing is missing."""
        await self.cluster.informer(KUBEVIRTS).wait_synced()
        configured = self.cluster.get(KUBEVIRTS, kubevirt.NAMESPACE, kubevirt.NAME)
        if at(configured, "spec.configuration.commonInstancetypesDeployment.enabled") is False:
            return
        await self._ensure(CLUSTERINSTANCETYPES, instancetypes())
        await self._ensure(CLUSTERPREFERENCES, preferences())

    async def _ensure(self, resource: Resource, wanted: Iterator[Object]) -> None:
        answer = await self.cluster.client.list(resource)
        present = {item["metadata"]["name"] for item in answer["items"]}
        missing = [body for body in wanted if body["metadata"]["name"] not in present]
        await asyncio.gather(*(self.cluster.create_if_absent(resource, body) for body in missing))
