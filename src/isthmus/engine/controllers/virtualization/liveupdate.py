"""What has changed in the template of a running VirtualMachine: what can reach the instance now, what needs a restart.

Pure. Called by `vm` with the template that was started (its ControllerRevision) and the template as it is, both with
instance type and preference folded in. Source: KubeVirt's user guide: live update, CPU, memory, NIC and volume hotplug.
"""

import copy
from dataclasses import dataclass, field
from typing import Any

from isthmus.machinery import conditions, quantity
from isthmus.machinery.fieldtree import at, put

Object = dict[str, Any]

MESSAGE = "a non-live-updatable field was changed in the template spec"
PLACEMENT = ("nodeSelector", "affinity", "tolerations")
MAX_VCPUS = 512
HOTPLUG_RATIO = 4
ALIGNMENT = 2 * 1024 * 1024
SMALLEST_HOTPLUG = 1024**3


@dataclass(slots=True)
class LiveUpdate:
    """`spec`: fields of the VMI's spec to write (paths as in the VMI). `reasons`: what needs a restart, as paths."""

    spec: dict[str, Any] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)

    @property
    def restart_required(self) -> bool:
        """Whether anything waits for a restart; then nothing is propagated."""
        return bool(self.reasons)


def compare(started: Object, wanted: Object, vmi: Object, *, strategy: str = "LiveUpdate") -> LiveUpdate:
    """`started`, `wanted`: template specs. `strategy`: the cluster's vmRolloutStrategy."""
    out = LiveUpdate()
    old, new = copy.deepcopy(started), copy.deepcopy(wanted)
    if strategy == "LiveUpdate":
        _sockets(old, new, vmi, out)
        _memory(old, new, vmi, out)
        _placement(old, new, vmi, out)
    _networks(old, new, vmi, out)
    _volumes(old, new, vmi, out)
    out.reasons += [f"spec.template.spec.{path}" for path in differences(old, new)]
    if out.restart_required:
        out.spec.clear()
    return out


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """The deepest paths at which two trees differ; an absent field and an empty one are the same."""
    if isinstance(old, dict) or isinstance(new, dict):
        old, new = old or {}, new or {}
        if isinstance(old, dict) and isinstance(new, dict):
            keys = sorted(old.keys() | new.keys())
            return [p for k in keys for p in differences(old.get(k), new.get(k), f"{path}.{k}".lstrip("."))]
    if (old or None) == (new or None) and type(old) is type(new):
        return []
    return [] if old in (None, [], "") and new in (None, [], "") else ([path] if old != new else [])


def _take(old: Object, new: Object, path: str) -> None:
    """The change at `path` is dealt with: make the trees equal there."""
    put(old, path, at(new, path))


def _sockets(old: Object, new: Object, vmi: Object, out: LiveUpdate) -> None:
    before, after = int(at(old, "domain.cpu.sockets") or 1), int(at(new, "domain.cpu.sockets") or 1)
    if before == after:
        return
    running = int(at(vmi, "spec.domain.cpu.sockets") or 1)
    if can_grow(vmi) and before < after <= max_sockets(vmi) and after >= running:
        _take(old, new, "domain.cpu.sockets")
        if after != running:
            out.spec["domain.cpu.sockets"] = after


def can_grow(vmi: Object) -> bool:
    """Whether devices and CPUs reach the running guest: KubeVirt brings them by a live migration, so where there is
    none they wait for a restart, and the VM says so."""
    return conditions.is_true(vmi, "LiveMigratable")


def max_sockets(vmi: Object) -> int:
    """What the instance may grow to: its own limit, else four times its sockets within 512 vCPUs."""
    cpu = at(vmi, "spec.domain.cpu") or {}
    if limit := cpu.get("maxSockets"):
        return int(limit)
    each = int(cpu.get("cores") or 1) * int(cpu.get("threads") or 1)
    sockets = int(cpu.get("sockets") or 1)
    return max(sockets, min(sockets * HOTPLUG_RATIO, MAX_VCPUS // each))


def _memory(old: Object, new: Object, vmi: Object, out: LiveUpdate) -> None:
    before, after = at(old, "domain.memory.guest"), at(new, "domain.memory.guest")
    if before == after or not before or not after:
        return
    if memory_is_hotpluggable(vmi, quantity.whole(after)):
        _take(old, new, "domain.memory.guest")
        if quantity.whole(at(vmi, "spec.domain.memory.guest") or 0) != quantity.whole(after):
            out.spec["domain.memory.guest"] = after


def memory_is_hotpluggable(vmi: Object, size: int) -> bool:
    """Whether the running instance can be given `size` bytes."""
    domain = at(vmi, "spec.domain") or {}
    boot = quantity.whole(at(vmi, "status.memory.guestAtBoot") or at(domain, "memory.guest") or 0)
    limit = at(domain, "memory.maxGuest")
    largest = quantity.whole(limit) if limit else boot * HOTPLUG_RATIO
    failed = (conditions.of(vmi, "HotMemoryChange") or {}).get("status") == "False"
    fixed = at(domain, "cpu.realtime") or at(domain, "cpu.numa") or at(domain, "launchSecurity")
    aligned = size % (1024**3 if at(domain, "memory.hugepages.pageSize") == "1Gi" else ALIGNMENT) == 0
    return can_grow(vmi) and aligned and not failed and not fixed and SMALLEST_HOTPLUG <= boot <= size <= largest


def _placement(old: Object, new: Object, vmi: Object, out: LiveUpdate) -> None:
    for key in PLACEMENT:
        if (old.get(key) or None) != (new.get(key) or None):
            _take(old, new, key)
        if (at(vmi, f"spec.{key}") or None) != (new.get(key) or None):
            out.spec[key] = new.get(key)


def _named(items: Any) -> dict[str, Object]:
    return {item["name"]: item for item in items or []}


def _networks(old: Object, new: Object, vmi: Object, out: LiveUpdate) -> None:
    """A secondary bridge NIC may come, and go by way of `state: absent`; a link may be set up or down."""
    was, wanted = _named(at(old, "domain.devices.interfaces")), _named(at(new, "domain.devices.interfaces"))
    networks = _named(new.get("networks"))
    live = {i.get("name") for i in at(vmi, "status.interfaces") or []}
    settled = dict(was)
    for name, interface in wanted.items():
        added = (
            name not in was and "multus" in networks.get(name, {}) and ("bridge" in interface or "sriov" in interface)
        )
        same = name in was and _without_state(was[name]) == _without_state(interface)
        if added or same:
            settled[name] = interface
    for name in was.keys() - wanted.keys():
        if was[name].get("state") == "absent" and name not in live:
            settled.pop(name)
    if can_grow(vmi) and settled == wanted and (settled != was or old.get("networks") != new.get("networks")):
        kept = {n: v for n, v in _named(old.get("networks")).items() if n in wanted and n in was}
        if all(networks.get(n) == v for n, v in kept.items()):
            _take(old, new, "networks")
            _take(old, new, "domain.devices.interfaces")
            out.spec["networks"] = new.get("networks") or []
            out.spec["domain.devices.interfaces"] = at(new, "domain.devices.interfaces") or []


def _without_state(interface: Object) -> Object:
    return {k: v for k, v in interface.items() if k != "state"}


def _is_hotpluggable(volume: Object) -> bool:
    return any((volume.get(k) or {}).get("hotpluggable") for k in ("persistentVolumeClaim", "dataVolume"))


def _volumes(old: Object, new: Object, vmi: Object, out: LiveUpdate) -> None:
    """Volumes marked hotpluggable come and go with their disks; a CD-ROM's medium may be swapped, its drive stays."""
    was, wanted = _named(old.get("volumes")), _named(new.get("volumes"))
    changed = {n for n in was.keys() | wanted.keys() if was.get(n) != wanted.get(n)}
    disks_was, disks = _named(at(old, "domain.devices.disks")), _named(at(new, "domain.devices.disks"))
    if (
        not changed
        or not can_grow(vmi)
        or not all(_is_hotpluggable(v) for n in changed for v in (was.get(n), wanted.get(n)) if v)
    ):
        return
    moved = {n for n in disks_was.keys() | disks.keys() if disks_was.get(n) != disks.get(n)}
    if not moved <= changed or any("cdrom" in disks_was.get(n, {}) and n not in disks for n in moved):
        return
    _take(old, new, "volumes")
    _take(old, new, "domain.devices.disks")
    out.spec["volumes"] = new.get("volumes") or []
    out.spec["domain.devices.disks"] = at(new, "domain.devices.disks") or []
