"""What KubeVirt refuses of a VMI's volumes and disks (pkg/storage/admitters; `vmispec` says how and why)."""

import base64
import binascii
import posixpath
import re
from collections import Counter
from typing import Any

from isthmus.engine.registry.strategies import vminetwork
from isthmus.machinery import names
from isthmus.machinery.errors import Cause

Object = dict[str, Any]
Found = list[Cause]
REQUIRED, UNSUPPORTED = "FieldValueRequired", "FieldValueNotSupported"
CLOUD_INIT_LIMIT = 2048  # bytes of inline user or network data
TARGETS = ("disk", "lun", "cdrom")
PLAIN = ("name", "bootOrder")  # fields of a disk that need no look of their own
BUSES = ("virtio", "scsi", "sata", "usb")
CACHES, IO_MODES = ("none", "writethrough", "writeback"), ("native", "threads")
ERROR_POLICIES = ("stop", "ignore", "report", "enospace")
MAX_SERIAL = 256
MIN_BLOCK, MAX_BLOCK = 512, 2 * 1024 * 1024  # bytes; both, and what lies between, powers of two
ONLY_ONE = {"serviceAccount": "serviceAccount", "downwardMetrics": "downwardMetric", "memoryDump": "memory dump"}
NAMED = {"configMap": "name", "secret": "secretName", "serviceAccount": "serviceAccountName"}
CLOUD_INIT = ("cloudInitNoCloud", "cloudInitConfigDrive")
SOURCES = frozenset((*CLOUD_INIT, *NAMED, "containerDisk", "dataVolume", "hostDisk"))  # that have rules
_is_serial = re.compile(r"[A-Za-z0-9_.+-]+", re.ASCII).fullmatch


def volumes(listed: list[Object], spec: Object, path: str, found: Found) -> None:
    """A row of vmispec.SPEC."""
    where, single = f"{path}.volumes", True
    seen: dict[str, int] = {}
    devices = spec["domain"].get("devices") or {}
    shown = {d.get("name") for kind in ("disks", "filesystems") for d in devices.get(kind) or ()}
    for index, volume in enumerate(listed):
        name = volume.get("name", "")
        if seen.setdefault(name, index) != index:
            message = f"{where}[{index}] and {where}[{seen[name]}] must not have the same Name."
            found.append(Cause(f"{where}[{index}].name", message))
        sources = 0
        for kind, source in volume.items():
            if source is not None and kind != "name":
                sources += 1
                single = single and kind not in ONLY_ONE
                if kind in SOURCES:
                    _source(kind, source, f"{where}[{index}]", found)
        if sources != 1:
            found.append(Cause(f"{where}[{index}]", f"{where}[{index}] must have exactly one source type set"))
        if name not in shown:  # it becomes a disk of its name
            _disk_name(name, where, index, found)
    if not single:
        counts = Counter(kind for volume in listed for kind, value in volume.items() if value is not None)
        for kind, title in ONLY_ONE.items():
            if counts[kind] > 1:
                found.append(Cause(where, f"{where} must have max one {title} volume set"))


def _source(kind: str, source: Object, field: str, found: Found) -> None:
    if kind in CLOUD_INIT:
        _cloud_init(source, f"{field}.{kind}", found)
    elif kind == "dataVolume":
        if not source.get("name"):
            found.append(Cause(f"{field}.name", "DataVolume 'name' must be set", REQUIRED))
    elif kind == "containerDisk":
        if source.get("path"):
            path_in_image(source["path"], f"{field}.containerDisk", found)
    elif kind == "hostDisk":
        _host_disk(source, f"{field}.hostDisk", found)
    elif kind in NAMED and not source.get(NAMED[kind]):
        found.append(Cause(f"{field}.{kind}.{NAMED[kind]}", f"{field}.{kind}.{NAMED[kind]} is a required field"))


def _cloud_init(source: Object, where: str, found: Found) -> None:
    given = {
        "user": ("userData", "userDataBase64", "secretRef", "userdatasource", "UserDataSecretRef"),
        "network": (
            "networkData",
            "networkDataBase64",
            "networkDataSecretRef",
            "networkdata source",
            "NetworkDataSecretRef",
        ),
    }
    total = 0
    for kind, (plain, encoded, secret, title, advice) in given.items():
        size, count = 0, int(bool((source.get(secret) or {}).get("name")))
        if text := source.get(encoded):
            count += 1
            size = _decoded_size(text, where, encoded, found)
        if text := source.get(plain):
            count += 1
            size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        if count > 1:
            found.append(Cause(where, f"{where} must have only one {title} set."))
        if size > CLOUD_INIT_LIMIT:
            limit = f"{CLOUD_INIT_LIMIT} byte limit"
            found.append(Cause(where, f"{where} {kind}data exceeds {limit}. Should use {advice} for larger data."))
        total += count
    if not total:
        message = f"{where} must have at least one userdatasource or one networkdatasource set."
        found.append(Cause(where, message))


def _decoded_size(text: str, where: str, name: str, found: Found) -> int:
    try:
        return len(base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True))
    except (binascii.Error, ValueError):
        kind = where.rpartition(".")[2]
        found.append(Cause(f"{where}.{name}", f"{where}.{name}.{kind}.{name} is not a valid base64 value."))
        return 0


def _host_disk(source: Object, field: str, found: Found) -> None:
    if not source.get("path"):
        found.append(Cause(f"{field}.path", f"{field}.path is required for hostDisk volume", "FieldValueNotFound"))
    kind = source.get("type", "")
    if kind not in ("Disk", "DiskOrCreate"):
        message = f"{field}.type has invalid value '{kind}', allowed are 'Disk' or 'DiskOrCreate'"
        found.append(Cause(f"{field}.type", message))
    elif kind == "Disk" and source.get("capacity"):
        message = f"{field}.capacity is allowed to pass only with {field}.type equal to 'DiskOrCreate'"
        found.append(Cause(f"{field}.capacity", message))


def path_in_image(path: str, field: str, found: Found) -> None:
    """A path in a container image leads to a file, without detours."""
    if path == "/":
        found.append(Cause(field, f"{field} must not point to root"))
    elif posixpath.normpath("/" + path.lstrip("/")) != path.removesuffix("/"):
        message = f"{field} must be an absolute path to a file without relative components"
        found.append(Cause(field, message))


def disks(listed: list[Object], spec: Object, path: str, found: Found) -> None:
    """A row of vmispec.DEVICES."""
    where = f"{path}.domain.devices.disks"
    seen: dict[str, int] = {}
    known = {volume.get("name"): volume for volume in spec.get("volumes") or ()}
    for index, disk in enumerate(listed):
        name = disk.get("name", "")
        if seen.setdefault(name, index) != index:
            message = f"{where}[{index}] and {where}[{seen[name]}] must not have the same Name."
            found.append(Cause(f"{where}[{index}].name", message))
        target, targets, plain = "", 0, True
        for field, value in disk.items():
            if field in TARGETS:
                targets += value is not None
                target = target if value is None else field
            elif field not in PLAIN:
                plain = False
        if targets > 1:
            found.append(Cause(f"{where}[{index}]", f"{where}[{index}] can only have a single target type defined"))
        _disk_name(name, where, index, found)
        _volume_of(disk, known.get(name), where, index, found)
        if target and (bus := disk[target].get("bus")):
            _bus(bus, target, disk, f"{where}[{index}]", found)
        if not plain:
            _options(disk, target, f"{where}[{index}]", where, found)
    _boot_order(spec["domain"]["devices"], path, found)


def _disk_name(name: str, where: str, index: int, found: Found) -> None:
    """A disk's name may become that of a container."""
    for message in names.dns1123_label(name):
        found.append(Cause(f"{where}[{index}].name", message))


def _volume_of(disk: Object, volume: Object | None, where: str, index: int, found: Found) -> None:
    field = f"{where}[{index}]"
    if volume is None:
        if disk.get("cdrom") is None:  # a CD drive may be empty
            found.append(Cause(f"{field}.name", f"{field}.Name '{disk.get('name', '')}' not found."))
        return
    if disk.get("lun") is not None and volume.get("persistentVolumeClaim") is None and volume.get("dataVolume") is None:
        message = f"{field}.lun can only be mapped to a DataVolume or PersistentVolumeClaim volume."
        found.append(Cause(f"{field}.lun", message))
    if volume.get("downwardMetrics") is not None:
        target = disk.get("disk")
        if target is None:
            message = f"DownwardMetrics volume must be mapped to a disk, but disk is not set on {field}.disk."
            found.append(Cause(f"{field}.disk", message, REQUIRED))
        elif (bus := target.get("bus") or "virtio") != "virtio":
            message = f"DownwardMetrics volume must be mapped to virtio bus, but {field}.disk.bus is set to {bus}"
            found.append(Cause(f"{field}.disk.bus", message))


def _bus(bus: str, target: str, disk: Object, field: str, found: Found) -> None:
    where = f"{field}.{target}.bus"
    if bus == "ide":
        found.append(Cause(where, "IDE bus is not supported"))
    elif bus not in BUSES:
        listed = " ".join(BUSES)
        found.append(Cause(where, f"{field} is set with an unrecognized bus {bus}, must be one of: [{listed}]"))
    elif bus == "virtio" and target == "cdrom":
        found.append(Cause(where, "Bus type virtio is invalid for CD-ROM device"))
    elif bus == "sata" and target == "disk" and disk["disk"].get("readonly"):
        found.append(Cause(where, "sata hard-disks do not support read-only."))
    if disk.get("dedicatedIOThread") and bus != "virtio":
        found.append(Cause(field, f"IOThreads are not supported for disks on a {bus} bus", UNSUPPORTED))
    if target == "disk" and (pci := disk["disk"].get("pciAddress")):
        where = f"disk {field}.name"
        if bus != "virtio":
            message = f"{where} - setting a PCI address is only possible with bus type virtio."
            found.append(Cause(f"{field}.pciAddress", message))
        if not vminetwork.is_pci_address(pci):
            found.append(Cause(f"{field}.pciAddress", f"{where} has malformed PCI address ({pci})."))


def _options(disk: Object, target: str, field: str, where: str, found: Found) -> None:
    if serial := disk.get("serial"):
        if not _is_serial(serial):
            message = f"{field} must be made up of the following characters [A-Za-z0-9_.+-], if specified"
            found.append(Cause(f"{field}.serial", message))
        if len(serial) > MAX_SERIAL:
            message = f"{field} must be less than or equal to {MAX_SERIAL} in length, if specified"
            found.append(Cause(f"{field}.serial", message))
    if (cache := disk.get("cache")) and cache not in CACHES:
        found.append(Cause(f"{field}.cache", f"{field}.cache has invalid value {cache}"))
    if (io := disk.get("io")) and io not in IO_MODES:
        message = f"Disk IO mode for {where} is not supported. Supported modes are: native, threads."
        found.append(Cause(f"{field}.io", message, UNSUPPORTED))
    if (policy := disk.get("errorPolicy")) is not None and policy not in ERROR_POLICIES:
        found.append(Cause(f"{field}.errorPolicy", f'{field}.errorPolicy has invalid value "{policy}"'))
    block = disk.get("blockSize") or {}
    if (custom := block.get("custom")) is not None:
        matching = block.get("matchVolume")
        if matching is not None and matching.get("enabled") is not False:
            message = "Block size matching can't be enabled together with a custom value"
            found.append(Cause(f"{field}.blockSize", message))
        else:
            bus = (disk.get(target) or {}).get("bus", "")
            _block_size(custom, bus, f"{field}.blockSize.custom", found)


def _block_size(custom: Object, bus: str, field: str, found: Found) -> None:
    logical, physical, discard = (custom.get(name) or 0 for name in ("logical", "physical", "discardGranularity"))
    if logical > physical:
        message = f"Logical size {logical} must be the same or less than the physical size of {physical}"
        found.append(Cause(f"{field}.logical", message))
    elif bus == "sata" and logical != MIN_BLOCK:
        found.append(Cause(f"{field}.logical", f"Logical size {logical} must be {MIN_BLOCK} for SATA devices"))
    elif logical and discard % logical:
        message = f"Discard granularity {discard} must be multiples of logical size {logical}"
        found.append(Cause(f"{field}.discardGranularity", message))
    else:
        for name, size in (("logical", logical), ("physical", physical)):
            if wrong := _wrong_size(size):
                found.append(Cause(f"{field}.{name}", f"Provided size of {size} is {wrong}"))


def _wrong_size(size: int) -> str:
    if size < MIN_BLOCK:
        return f"less than the supported minimum size of {MIN_BLOCK}"
    if size > MAX_BLOCK:
        return f"greater than the supported maximum size of {MAX_BLOCK}"
    return "not a power of 2" if size & (size - 1) else ""


def _boot_order(devices: Object, path: str, found: Found) -> None:
    """Orders begin at 1 and are not shared, over disks and interfaces."""
    seen: set[int] = set()
    for kind in ("disks", "interfaces"):
        for index, device in enumerate(devices.get(kind) or ()):
            if (order := device.get("bootOrder")) is None:
                continue
            field = f"{path}.domain.devices.{kind}[{index}]"
            if order < 1:
                found.append(Cause(f"{field}.bootOrder", f"{field} must have a boot order > 0, if supplied"))
            elif order in seen:
                message = f"Boot order for {field}.bootOrder already set for a different device."
                found.append(Cause(f"{field}.bootOrder", message))
            seen.add(order)
