"""Finds the instance type and preference of a VirtualMachine and freezes them at its first start.

The folding itself is pure: `machinery.instancetype`. Called by `vm`. A type that was frozen into a ControllerRevision
(named in the VM's status) is what counts, until the VM names another.
"""

from dataclasses import dataclass
from typing import Any

from isthmus.client.api import Resource
from isthmus.client.cached import CachedClient
from isthmus.client.resources import (
    CLUSTERINSTANCETYPES,
    CLUSTERPREFERENCES,
    CONTROLLERREVISIONS,
    DATASOURCES,
    DATAVOLUMES,
    INSTANCETYPES,
    PREFERENCES,
    PVCS,
)
from isthmus.engine.controllers.virtualization import vmtemplate
from isthmus.machinery import instancetype, instancetypeinference
from isthmus.machinery.errors import StatusError
from isthmus.machinery.fieldtree import at

Object = dict[str, Any]

RESOURCES: dict[str, Resource] = {
    "virtualmachineinstancetype": INSTANCETYPES,
    "virtualmachineclusterinstancetype": CLUSTERINSTANCETYPES,
    "virtualmachinepreference": PREFERENCES,
    "virtualmachineclusterpreference": CLUSTERPREFERENCES,
}
SOURCES: dict[str, Resource] = {"PersistentVolumeClaim": PVCS, "DataVolume": DATAVOLUMES, "DataSource": DATASOURCES}


class ExpansionError(Exception):
    """The VM cannot be expanded: a type is missing, or its fields conflict. `str()` is the message for its status."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a matcher led to. `revision`: the ControllerRevision that holds it, "" if it is the live object."""

    source: Object
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Expanded:
    """A VM's template with its types folded in, and where each came from ("instancetype", "preference")."""

    template: Object
    found: dict[str, Found]


class Expander:
    """Resolves matchers through the API."""

    def __init__(self, cluster: CachedClient) -> None:
        self._cluster = cluster

    async def expand(self, vm: Object) -> Expanded:
        """The template to start `vm` from. Raises ExpansionError."""
        found: dict[str, Found] = {}
        for which in ("instancetype", "preference"):
            source = await self._find(vm, which) if vm["spec"].get(which) else None
            if source is not None:
                found[which] = source
        specs = {which: f.source.get("spec") or {} for which, f in found.items()}
        out = instancetype.expand(vm, specs.get("instancetype"), specs.get("preference"))
        if out.conflicts:
            listing = ", ".join(out.conflicts)
            raise ExpansionError(f"VM fields {listing} conflict with selected instance type or preference")
        return Expanded(out.vm["spec"]["template"], found)

    async def freeze(self, vm: Object, expanded: Expanded) -> Object:
        """Keep each live type as a ControllerRevision; the status fields that name them."""
        refs = {}
        for which, found in expanded.found.items():
            name = found.revision
            if not name:
                revision = vmtemplate.build_type_revision(vm, found.source)
                await self._cluster.create_if_absent(CONTROLLERREVISIONS, revision)
                name = revision["metadata"]["name"]
            source = found.source
            refs[f"{which}Ref"] = {
                "name": source["metadata"]["name"],
                "kind": source["kind"],
                "controllerRevisionRef": {"name": name},
            }
        return refs

    async def _find(self, vm: Object, which: str) -> Found | None:
        """What the matcher leads to; None if nothing can be inferred and that is to be ignored."""
        matcher = vm["spec"][which]
        if matcher.get("inferFromVolume") and not matcher.get("name"):
            matcher = await self._infer(vm, which)
            if matcher is None:
                return None
        kind = matcher.get("kind") or instancetypeinference.DEFAULT_KIND[which]
        reference = at(vm, f"status.{which}Ref") or {}
        frozen = matcher.get("revisionName")
        if not frozen and reference.get("name") == matcher["name"] and _same_kind(reference.get("kind"), kind):
            frozen = at(reference, "controllerRevisionRef.name")
        if frozen:
            return Found(await self._revision(vm, frozen), frozen)
        return Found(await self._live(vm, kind, matcher["name"]))

    async def _revision(self, vm: Object, name: str) -> Object:
        namespace = vm["metadata"]["namespace"]
        revision = self._cluster.get(CONTROLLERREVISIONS, namespace, name)
        if revision is None:
            revision = await self._get(CONTROLLERREVISIONS, name, namespace)
        data: Object = revision["data"]
        return data

    async def _live(self, vm: Object, kind: str, name: str) -> Object:
        resource = RESOURCES.get(kind.lower().removesuffix("s"))
        if resource is None:
            raise ExpansionError(f"kind {kind!r} is neither an instance type nor a preference")
        namespace = vm["metadata"]["namespace"] if resource.namespaced else ""
        return await self._get(resource, name, namespace)

    async def _get(self, resource: Resource, name: str, namespace: str) -> Object:
        try:
            return await self._cluster.client.get(resource, name, namespace)
        except StatusError as error:
            if error.code == 404:
                raise ExpansionError(error.message) from error
            raise

    async def _infer(self, vm: Object, which: str) -> Object | None:
        def lookup(kind: str, name: str) -> Object | None:
            return self._cluster.get(SOURCES[kind], vm["metadata"]["namespace"], name)

        try:
            return instancetypeinference.infer(vm, which, lookup)
        except instancetypeinference.InferenceError as error:
            if vm["spec"][which].get("inferFromVolumeFailurePolicy") == "Ignore":
                return None
            raise ExpansionError(str(error)) from error


def _same_kind(left: str | None, right: str) -> bool:
    return (left or "").lower() == right.lower()
