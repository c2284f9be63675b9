"""KubeVirt's instance types and preferences: folded into a VirtualMachine's template, or the fields that forbid it.

An instance type *conflicts*: what it gives, the VM may not set. A preference *fills gaps* only. Pure. Called by the VM
controller at a start and by the API server for `expand-spec` and admission. Source: KubeVirt user guide 1.9, "Instance
types and preferences".
"""

import copy
from dataclasses import dataclass
from typing import Any

from isthmus.machinery import quantity
from isthmus.machinery.fieldtree import at, given, put
from isthmus.machinery.preference import apply_preference, fill_volume_class

Object = dict[str, Any]

TEMPLATE = "spec.template.spec"
DEFAULT_RATIO = 2
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Expansion:
    """What came of folding: the VM, or the paths of the fields that stand against it."""

    vm: Object
    conflicts: tuple[str, ...] = ()


def expand(vm: Object, instancetype: Object | None, preference: Object | None) -> Expansion:
    """Fold the `spec`s of an instance type and a preference into a copy of `vm`.

    The matchers stay: see `drop_matchers`. With conflicts the VM is returned as it was.
    """
    out = copy.deepcopy(vm)
    template = out["spec"].setdefault("template", {})
    spec = template.setdefault("spec", {})
    found = find_conflicts(template, instancetype or {}, preference or {})
    if found:
        return Expansion(vm, tuple(found))
    if preference:
        _autoattach(spec, preference)
    _default_disks(spec)
    if instancetype or preference:
        _default_interface(spec)
    if instancetype:
        apply_instancetype(template, instancetype, preference or {})
    if preference:
        apply_preference(template, preference)
        fill_volume_class(out["spec"], preference)
    return Expansion(out)


def drop_matchers(vm: Object) -> Object:
    """A copy without the matchers and their recorded references: what `expand-spec` answers."""
    spec = {k: v for k, v in vm["spec"].items() if k not in ("instancetype", "preference")}
    status = {k: v for k, v in (vm.get("status") or {}).items() if k not in ("instancetypeRef", "preferenceRef")}
    return vm | {"spec": spec} | ({"status": status} if "status" in vm else {})


# Conflicts

_ALWAYS = (  # instance type field that is given -> template fields that may not be set besides
    ("cpu.guest", "domain.cpu.sockets"),
    ("cpu.guest", "domain.cpu.cores"),
    ("cpu.guest", "domain.cpu.threads"),
    ("cpu.guest", "domain.resources.requests.cpu"),
    ("cpu.guest", "domain.resources.limits.cpu"),
    ("memory.guest", "domain.memory.guest"),
    ("memory.guest", "domain.resources.requests.memory"),
    ("memory.guest", "domain.resources.limits.memory"),
)
_BOTH = (
    ("cpu.model", "domain.cpu.model"),
    ("cpu.dedicatedCPUPlacement", "domain.cpu.dedicatedCpuPlacement"),
    ("cpu.isolateEmulatorThread", "domain.cpu.isolateEmulatorThread"),
    ("cpu.numa", "domain.cpu.numa"),
    ("cpu.realtime", "domain.cpu.realtime"),
    ("cpu.maxSockets", "domain.cpu.maxSockets"),
    ("memory.hugepages", "domain.memory.hugepages"),
    ("memory.maxGuest", "domain.memory.maxGuest"),
    ("gpus", "domain.devices.gpus"),
    ("hostDevices", "domain.devices.hostDevices"),
    ("ioThreadsPolicy", "domain.ioThreadsPolicy"),
    ("ioThreads", "domain.ioThreads"),
    ("launchSecurity", "domain.launchSecurity"),
    ("schedulerName", "schedulerName"),
)
_MAPS = (("nodeSelector", "spec", "nodeSelector"), ("annotations", "metadata", "annotations"))


def find_conflicts(template: Object, instancetype: Object, preference: Object) -> list[str]:
    """The paths, from the VM's root, of the fields that the VM sets although the instance type gives them."""
    spec = template.get("spec") or {}
    found = [
        f"{TEMPLATE}.{theirs}"
        for ours, theirs in (*_ALWAYS, *_BOTH)
        if given(at(instancetype, ours)) and given(at(spec, theirs))
    ]
    for field, part, theirs in _MAPS:
        wanted, present = instancetype.get(field) or {}, (template.get(part) or {}).get(theirs) or {}
        found += [
            f"spec.template.{part}.{theirs}.{key}" for key in wanted if present.get(key, wanted[key]) != wanted[key]
        ]
    wanted, present = preference.get("annotations") or {}, (template.get("metadata") or {}).get("annotations") or {}
    found += [
        f"spec.template.metadata.annotations.{key}" for key in wanted if present.get(key, wanted[key]) != wanted[key]
    ]
    return found


# The instance type


def apply_instancetype(template: Object, instancetype: Object, preference: Object) -> None:
    """Write what the instance type gives into `template`; conflicts have been excluded."""
    spec = template.setdefault("spec", {})
    domain = spec.setdefault("domain", {})
    _cpu(domain, instancetype.get("cpu") or {}, preference.get("cpu") or {}, preference)
    _memory(domain, instancetype.get("memory") or {})
    for ours, theirs in _BOTH:
        value = at(instancetype, ours)
        if given(value):
            put(spec, theirs, copy.deepcopy(value))
    for field, part, theirs in _MAPS:
        if instancetype.get(field):
            section = template.setdefault(part, {})
            section[theirs] = dict(instancetype[field]) | (section.get(theirs) or {})


def _cpu(domain: Object, cpu: Object, preferred: Object, preference: Object) -> None:
    if count := int(cpu.get("guest") or 0):
        domain.setdefault("cpu", {}).update(topology(count, preferred, preference))


def topology(count: int, preferred: Object, preference: Object | None = None) -> dict[str, int]:
    """`count` vCPUs as sockets, cores and threads, the way that `preferred` (a preference's cpu) asks for."""
    wanted = str(preferred.get("preferredCPUTopology") or "sockets").removeprefix("prefer").lower()
    if wanted == "spread":
        return _spread(count, preferred.get("spreadOptions") or {}, preference or {})
    chosen = wanted if wanted in ("cores", "threads") else "sockets"  # "any" is sockets
    return {"sockets": 1, "cores": 1, "threads": 1} | {chosen: count}


def _spread(count: int, options: Object, preference: Object) -> dict[str, int]:
    """Two levels in the ratio that is asked for; a count that it does not divide becomes sockets."""
    ratio = int(options.get("ratio") or preference.get("preferSpreadSocketToCoreRatio") or DEFAULT_RATIO)
    shapes = {  # across -> (cores a socket, threads a core)
        "SocketsCores": (ratio, 1),
        "SocketsCoresThreads": (ratio, 2),
        "CoresThreads": (count // ratio, ratio),
    }
    cores, threads = shapes.get(options.get("across") or "SocketsCores", (1, 1))
    if not cores or count % (cores * threads):
        cores, threads = 1, 1
    return {"sockets": count // (cores * threads), "cores": cores, "threads": threads}


def _memory(domain: Object, memory: Object) -> None:
    guest = memory.get("guest")
    if not guest:
        return
    domain.setdefault("memory", {})["guest"] = guest
    if percent := int(memory.get("overcommitPercent") or 0):
        size = quantity.whole(guest) * (100 - percent) // 100
        requests = domain.setdefault("resources", {}).setdefault("requests", {})
        requests["memory"] = quantity.from_bytes(size // MIB * MIB)


# Devices that KubeVirt adds before it folds


def _autoattach(spec: Object, preference: Object) -> None:
    devices = preference.get("devices") or {}
    for ours, theirs in (
        ("preferredAutoattachPodInterface", "domain.devices.autoattachPodInterface"),
        ("preferredAutoattachInputDevice", "domain.devices.autoattachInputDevice"),
    ):
        if devices.get(ours) is not None and at(spec, theirs) is None:
            put(spec, theirs, devices[ours])
    if at(spec, "domain.devices.autoattachInputDevice") and not at(spec, "domain.devices.inputs"):
        put(spec, "domain.devices.inputs", [{"name": "default-0"}])


def _default_disks(spec: Object) -> None:
    """A volume that no disk or filesystem shows becomes a disk."""
    volumes = spec.get("volumes") or []
    devices = at(spec, "domain.devices") or {}
    shown = {d.get("name") for key in ("disks", "filesystems") for d in devices.get(key) or []}
    missing = [v["name"] for v in volumes if v["name"] not in shown and "memoryDump" not in v]
    if missing:
        disks = spec.setdefault("domain", {}).setdefault("devices", {}).setdefault("disks", [])
        disks += [{"name": name} for name in missing]


def _default_interface(spec: Object) -> None:
    """A VM without networks has one on the pod network; a preference's model then reaches it."""
    if spec.get("networks") or at(spec, "domain.devices.interfaces"):
        return
    if at(spec, "domain.devices.autoattachPodInterface") is False:
        return
    put(spec, "domain.devices.interfaces", [{"name": "default", "masquerade": {}}])
    spec["networks"] = [{"name": "default", "pod": {}}]


# Requirements


def unmet_requirements(vm: Object, instancetype: Object | None, preference: Object) -> list[tuple[str, str]]:
    """(field path, message) for each requirement of the preference that the VM does not meet."""
    needed = preference.get("requirements") or {}
    spec = at(vm, TEMPLATE) or {}
    found = []
    if guest := at(needed, "cpu.guest"):
        have, path = _vcpus(spec, instancetype)
        if have < int(guest):
            found.append(
                (path, f"insufficient CPU resources of {have} vCPU provided, preference requires {guest} vCPU")
            )
    if guest := at(needed, "memory.guest"):
        given, path = _guest_memory(spec, instancetype)
        if quantity.parse(given) < quantity.parse(guest):
            found.append((path, f"insufficient Memory resources of {given} provided, preference requires {guest}"))
    wanted, have_arch = needed.get("architecture"), spec.get("architecture")
    if wanted and have_arch and wanted != have_arch:
        found.append((f"{TEMPLATE}.architecture", f"preference requires architecture {wanted}, got {have_arch}"))
    return found


def _vcpus(spec: Object, instancetype: Object | None) -> tuple[int, str]:
    if count := at(instancetype or {}, "cpu.guest"):
        return int(count), "spec.instancetype"
    cpu = at(spec, "domain.cpu") or {}
    count = 1
    for part in ("sockets", "cores", "threads"):
        count *= int(cpu.get(part) or 1)
    return count, f"{TEMPLATE}.domain.cpu"


def _guest_memory(spec: Object, instancetype: Object | None) -> tuple[str, str]:
    if guest := at(instancetype or {}, "memory.guest"):
        return str(guest), "spec.instancetype"
    for path in ("domain.memory.guest", "domain.resources.requests.memory", "domain.resources.limits.memory"):
        if value := at(spec, path):
            return str(value), f"{TEMPLATE}.{path}"
    return "0", f"{TEMPLATE}.domain.memory"
