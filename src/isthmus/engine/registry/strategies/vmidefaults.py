"""What KubeVirt fills in when a VirtualMachineInstance is made, so that `kubectl get vmi -o yaml` says what will run.

Pure; called by `kubevirt` on create, in place. Source: virt-api's VMI mutator of KubeVirt 1.9 (pkg/defaults and the
API types' defaults). The limits of CPU and memory hotplug are left out: nothing here grows a running guest.
"""

from collections.abc import Iterator
from typing import Any

from isthmus.machinery import quantity
from isthmus.machinery.fieldtree import at, put

Object = dict[str, Any]
ARCHITECTURE, BUS = "amd64", "sata"
MACHINES = {"amd64": "q35", "arm64": "virt", "s390x": "s390-ccw-virtio"}
TARGETS = ("disk", "cdrom", "lun")
PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
PIECES = ("sockets", "cores", "threads")
SWITCHES = ("acpi", "apic", "pvspinlock", "smm")  # features that are on when they are named
HYPERV_NEEDS = (("evmcs", "vapic"), ("ipi", "vpindex"), ("tlbflush", "vpindex"), ("synictimer", "synic"), ("synic", "vpindex"))  # fmt: skip  # noqa: E501


def apply(spec: Object) -> None:
    """Complete the spec of an instance."""
    domain = spec.setdefault("domain", {})
    spec.setdefault("architecture", ARCHITECTURE)
    spec.setdefault("evictionStrategy", "None")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    put(domain, "machine.type", at(domain, "machine.type") or machine(spec["architecture"]))
    _requests(domain)
    _memory(domain)
    _topology(domain)
    _pull_policies(spec)
    show_volumes(spec)
    attach_pod_network(spec)
    _devices(domain["devices"])
    _features(domain)
    for probe in (spec.get("readinessProbe"), spec.get("livenessProbe")):
        if probe:
            probe |= {field: value for field, value in PROBE.items() if not probe.get(field)}


def machine(architecture: str) -> str:
    """The machine type of who names none."""
    return MACHINES.get(architecture, MACHINES[ARCHITECTURE])


def _requests(domain: Object) -> None:
    limit = at(domain, "resources.limits.cpu")
    if limit and not at(domain, "resources.requests.cpu"):
        put(domain, "resources.requests", {**(at(domain, "resources.requests") or {}), "cpu": limit})


def _memory(domain: Object) -> None:
    if at(domain, "memory.guest"):
        return
    paths = ("resources.requests.memory", "resources.limits.memory", "memory.hugepages.pageSize")
    if size := next((value for path in paths if (value := at(domain, path))), None):
        put(domain, "memory.guest", size)


def _topology(domain: Object) -> None:
    """Without any, one socket for each CPU of the resources."""
    cpu = domain.setdefault("cpu", {})
    if not any(cpu.get(piece) for piece in PIECES):
        resources = domain.get("resources") or {}
        asked = at(resources, "limits.cpu") or at(resources, "requests.cpu")
        cpu |= {"sockets": quantity.whole(asked) if asked else 1, "cores": 1, "threads": 1}
    cpu.setdefault("model", "host-model")


def _pull_policies(spec: Object) -> None:
    for volume in spec.get("volumes") or ():
        disk = volume.get("containerDisk")
        if disk and not disk.get("imagePullPolicy"):
            image = str(disk.get("image") or "")
            latest = image.endswith(":latest") or not (":" in image or "@" in image)
            disk["imagePullPolicy"] = "Always" if latest else "IfNotPresent"


def show_volumes(spec: Object) -> None:
    """A volume that no disk or file system shows becomes a disk."""
    devices = spec["domain"].setdefault("devices", {})
    named = {d.get("name") for d in [*(devices.get("disks") or []), *(devices.get("filesystems") or [])]}
    missing = [v["name"] for v in spec.get("volumes") or [] if v.get("name") and v["name"] not in named]
    if missing:
        devices["disks"] = [*(devices.get("disks") or []), *({"name": n, "disk": {}} for n in missing)]


def attach_pod_network(spec: Object) -> None:
    """An instance that names no network at all is on the pod's, behind a masquerade."""
    devices = spec["domain"]["devices"]
    if not (spec.get("networks") or devices.get("interfaces") or devices.get("autoattachPodInterface") is False):
        devices["interfaces"] = [{"name": "default", "masquerade": {}}]
        spec["networks"] = [{"name": "default", "pod": {}}]


def _devices(devices: Object) -> None:
    for disk in devices.get("disks") or ():
        if all(disk.get(kind) is None for kind in TARGETS):
            disk["disk"] = {}
        for kind in TARGETS:
            if disk.get(kind) is not None and not disk[kind].get("bus"):
                disk[kind]["bus"] = BUS
        if (drive := disk.get("cdrom")) is not None:
            drive.setdefault("readonly", True)
            drive.setdefault("tray", "closed")
    for device in devices.get("inputs") or ():
        device |= {"bus": device.get("bus") or "usb", "type": device.get("type") or "tablet"}
    if devices.get("watchdog") is not None:
        put(devices["watchdog"], "i6300esb.action", at(devices["watchdog"], "i6300esb.action") or "reset")


def _features(domain: Object) -> None:
    """What is named is on; ACPI is on unless it is switched off; Hyper-V's features bring what they need."""
    features = domain.setdefault("features", {})
    features.setdefault("acpi", {})
    for feature in _named(features, SWITCHES):
        feature.setdefault("enabled", True)
    hyperv = features.get("hyperv")
    if hyperv is None:
        return
    for feature in _named(hyperv, tuple(hyperv)):
        feature.setdefault("enabled", True)
    if (spinlocks := hyperv.get("spinlocks")) and spinlocks["enabled"]:
        spinlocks.setdefault("spinlocks", 4096)
    for dependent, needed in HYPERV_NEEDS:
        if at(hyperv, f"{dependent}.enabled") and at(hyperv, f"{needed}.enabled") is None:
            put(hyperv, f"{needed}.enabled", True)


def _named(features: Object, names: tuple[str, ...]) -> Iterator[Object]:
    return (features[name] for name in names if isinstance(features.get(name), dict))
