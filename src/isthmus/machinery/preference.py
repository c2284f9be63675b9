"""A KubeVirt preference folded into a VirtualMachine's template: it fills gaps and overrides nothing. Pure.

Called by `instancetype.expand`.
"""

import copy
from typing import Any

from isthmus.machinery.fieldtree import at, put

Object = dict[str, Any]

_FILLS = (  # preference field -> template field, written if the template has none
    ("clock.preferredClockOffset.timezone", "domain.clock.timezone"),
    ("clock.preferredClockOffset.utc", "domain.clock.utc"),
    ("clock.preferredTimer", "domain.clock.timer"),
    ("devices.preferredAutoattachGraphicsDevice", "domain.devices.autoattachGraphicsDevice"),
    ("devices.preferredAutoattachMemBalloon", "domain.devices.autoattachMemBalloon"),
    ("devices.preferredAutoattachPodInterface", "domain.devices.autoattachPodInterface"),
    ("devices.preferredAutoattachSerialConsole", "domain.devices.autoattachSerialConsole"),
    ("devices.preferredDisableHotplug", "domain.devices.disableHotplug"),
    ("devices.preferredUseVirtioTransitional", "domain.devices.useVirtioTransitional"),
    ("devices.preferredRng", "domain.devices.rng"),
    ("devices.preferredBlockMultiQueue", "domain.devices.blockMultiQueue"),
    ("devices.preferredNetworkInterfaceMultiQueue", "domain.devices.networkInterfaceMultiqueue"),
    ("devices.preferredTPM", "domain.devices.tpm"),
    ("devices.preferredVideoType", "domain.devices.video.type"),
    ("features.preferredAcpi", "domain.features.acpi"),
    ("features.preferredApic", "domain.features.apic"),
    ("features.preferredHyperv", "domain.features.hyperv"),
    ("features.preferredKvm", "domain.features.kvm"),
    ("features.preferredPvspinlock", "domain.features.pvspinlock"),
    ("features.preferredSmm", "domain.features.smm"),
    ("machine.preferredMachineType", "domain.machine.type"),
    ("preferredSubdomain", "subdomain"),
    ("preferredTerminationGracePeriodSeconds", "terminationGracePeriodSeconds"),
    ("preferredArchitecture", "architecture"),
)


def apply_preference(template: Object, preference: Object) -> None:
    """Fill what the template leaves open."""
    spec = template.setdefault("spec", {})
    for ours, theirs in _FILLS:
        value = at(preference, ours)
        if value is not None and at(spec, theirs) is None:
            put(spec, theirs, copy.deepcopy(value))
    domain = spec.setdefault("domain", {})
    _features(domain, (preference.get("cpu") or {}).get("preferredCPUFeatures") or [])
    _firmware(domain, preference.get("firmware") or {})
    devices = preference.get("devices") or {}
    for disk in (domain.get("devices") or {}).get("disks") or []:
        _disk(disk, devices)
    for interface in (domain.get("devices") or {}).get("interfaces") or []:
        _interface(interface, devices)
    for device in (domain.get("devices") or {}).get("inputs") or []:
        _fill(device, "bus", devices.get("preferredInputBus"))
        _fill(device, "type", devices.get("preferredInputType"))
    if preference.get("annotations"):
        metadata = template.setdefault("metadata", {})
        metadata["annotations"] = dict(preference["annotations"]) | (metadata.get("annotations") or {})


def _fill(target: Object, field: str, value: Any) -> None:
    if value not in (None, "") and target.get(field) in (None, ""):
        target[field] = copy.deepcopy(value)


def _features(domain: Object, features: list[Object]) -> None:
    if not features:
        return
    cpu = domain.setdefault("cpu", {})
    present = {f["name"] for f in cpu.get("features") or []}
    cpu["features"] = [*(cpu.get("features") or []), *(f for f in features if f["name"] not in present)]


def _firmware(domain: Object, firmware: Object) -> None:
    if at(domain, "firmware.bootloader") is not None:
        return
    if efi := firmware.get("preferredEfi"):
        put(domain, "firmware.bootloader.efi", copy.deepcopy(efi))
    elif firmware.get("preferredUseEfi"):
        secure = bool(firmware.get("preferredUseSecureBoot"))
        put(domain, "firmware.bootloader.efi", {"secureBoot": secure})
    elif firmware.get("preferredUseBios"):
        serial = firmware.get("preferredUseBiosSerial")
        put(domain, "firmware.bootloader.bios", {} if serial is None else {"useSerial": serial})


_DISK_BUS = {"disk": "preferredDiskBus", "lun": "preferredLunBus", "cdrom": "preferredCdromBus"}


def _disk(disk: Object, devices: Object) -> None:
    kind = next((k for k in _DISK_BUS if disk.get(k) is not None), "disk")
    target = disk.setdefault(kind, {})
    _fill(target, "bus", devices.get(_DISK_BUS[kind]))
    if kind != "disk":
        return
    _fill(disk, "cache", devices.get("preferredDiskCache"))
    _fill(disk, "io", devices.get("preferredDiskIO"))
    _fill(disk, "blockSize", devices.get("preferredDiskBlockSize"))
    if target.get("bus") == "virtio":
        _fill(disk, "dedicatedIOThread", devices.get("preferredDiskDedicatedIoThread"))


_BINDINGS = ("bridge", "masquerade", "sriov", "passt", "passtBinding", "slirp", "macvtap", "binding")


def _interface(interface: Object, devices: Object) -> None:
    if interface.get("sriov") is None:
        _fill(interface, "model", devices.get("preferredInterfaceModel"))
    masquerade = devices.get("preferredInterfaceMasquerade")
    if masquerade is not None and not any(interface.get(b) is not None for b in _BINDINGS):
        interface["masquerade"] = copy.deepcopy(masquerade)


def fill_volume_class(vm_spec: Object, preference: Object) -> None:
    """Give the VM's dataVolumeTemplates the storage class that the preference names."""
    name = at(preference, "volumes.preferredStorageClassName")
    for volume in vm_spec.get("dataVolumeTemplates") or [] if name else []:
        spec = volume.get("spec") or {}
        for part in ("pvc", "storage"):
            if spec.get(part) is not None:
                _fill(spec[part], "storageClassName", name)
