"""What KubeVirt refuses of a VMI's CPU: policies, pinning, NUMA, real time (`vmispec` says how and why)."""

from typing import Any

from isthmus.machinery import quantity
from isthmus.machinery.errors import Cause
from isthmus.machinery.fieldtree import at

Object = dict[str, Any]
Found = list[Cause]
REQUIRED = "FieldValueRequired"
POLICIES = (None, "", "force", "require", "optional", "disable", "forbid")
PINNED_THREADS = 2


def cpu(topology: Object, spec: Object, path: str, found: Found) -> None:
    """A row of vmispec.DOMAIN."""
    where = f"{path}.domain.cpu"
    for index, feature in enumerate(topology.get("features") or ()):
        if (policy := feature.get("policy")) not in POLICIES:
            message = f"CPU feature {feature.get('name')} uses policy {policy} that is not supported."
            found.append(Cause(f"{where}.features[{index}].policy", message, "FieldValueNotSupported"))
    if topology.get("maxSockets") and (topology.get("sockets") or 0) > topology["maxSockets"]:
        message = "Number of sockets in CPU topology is greater than the maximum sockets allowed"
        found.append(Cause(f"{where}.sockets", message))
    if topology.get("dedicatedCpuPlacement"):
        _pinned(topology, spec, path, found)
    else:
        _unpinned(topology, where, found)
    passthrough = at(topology, "numa.guestMappingPassthrough") is not None
    if passthrough and at(spec["domain"], "memory.hugepages") is None:
        field = f"{where}.numa.guestMappingPassthrough"
        message = f"{path}.domain.memory.hugepages must be requested when NUMA topology strategy is set in {field}"
        found.append(Cause(field, message))
    if topology.get("realtime") is not None and not passthrough:
        field = f"{where}.numa.guestMappingPassthrough"
        found.append(Cause(field, f"{field} must be defined when {where}.realtime is used", REQUIRED))


def _unpinned(topology: Object, where: str, found: Found) -> None:
    pinning = f"{where}.dedicatedCpuPlacement"
    if topology.get("isolateEmulatorThread"):
        message = "IsolateEmulatorThread should be only set in combination with DedicatedCPUPlacement"
        found.append(Cause(f"{where}.isolateEmulatorThread", message))
    if at(topology, "numa.guestMappingPassthrough") is not None:
        field = f"{where}.numa.guestMappingPassthrough"
        found.append(Cause(field, f"{pinning} must be set to true when NUMA topology strategy is set in {field}"))
    if topology.get("realtime") is not None:
        found.append(Cause(pinning, f"{pinning} must be set to true when {where}.realtime is used", REQUIRED))


def _pinned(topology: Object, spec: Object, path: str, found: Found) -> None:
    """Each virtual CPU has a real one: their number must be certain, and memory too."""
    resources, where = spec["domain"].get("resources") or {}, f"{path}.domain.resources"
    pinning = f"{path}.domain.cpu.dedicatedCpuPlacement"
    asked = {kind: at(resources, f"{kind}.cpu") or "0" for kind in ("requests", "limits")}
    for kind, value in asked.items():
        if quantity.to_milli(value) % 1000:
            found.append(Cause(f"{where}.{kind}.cpu", f"provided resources CPU {kind} must be an interger"))
    request, limit, virtual = quantity.whole(asked["requests"]), quantity.whole(asked["limits"]), count(topology)
    cpus = f"{where}.requests.cpu or {where}.limits.cpu"
    if request > 0 and limit > 0 and request != limit:
        found.append(Cause(pinning, f"{cpus} must be equal when DedicatedCPUPlacement is true "))
    if not (request or limit or virtual):
        message = f"either {cpus} or {path}.domain.cpu.cores must be provided when DedicatedCPUPlacement is true "
        found.append(Cause(pinning, message))
    if (request > 0 or limit > 0) and virtual > 0 and virtual not in (request, limit):
        message = f"{cpus} must not be provided at the same time with {path}.domain.cpu.cores when DedicatedCPUPlacement is true "  # noqa: E501
        found.append(Cause(pinning, message))
    if (threads := topology.get("threads") or 0) > PINNED_THREADS:
        message = f"Not more than two threads must be provided at {path}.domain.cpu.threads (got {threads}) when DedicatedCPUPlacement is true"  # noqa: E501
        found.append(Cause(pinning, message))
    _pinned_memory(spec["domain"].get("memory") or {}, resources, path, found)


def _pinned_memory(memory: Object, resources: Object, path: str, found: Found) -> None:
    where = f"{path}.domain.resources"
    request, limit = (quantity.whole(at(resources, f"{kind}.memory") or "0") for kind in ("requests", "limits"))
    if request > 0 and limit > 0 and request != limit:
        field = f"{where}.requests.memory"
        found.append(Cause(field, f"{field} must be equal to {where}.limits.memory"))
    if not (request or limit or memory.get("hugepages") or quantity.whole(memory.get("guest") or "0")):
        pages, guest = f"{path}.domain.memory.hugepages", f"{path}.domain.memory.guest"
        message = f"{where}.requests.memory, {where}.limits.memory, {pages} or {guest} should be provided"
        found.append(Cause(f"{where}.limits.memory", message))


def count(topology: Object) -> int:
    """Virtual CPUs that a topology states; 0 if it states none."""
    parts = [topology[part] for part in ("sockets", "cores", "threads") if topology.get(part)]
    product = 1 if parts else 0
    for part in parts:
        product *= part
    return product
