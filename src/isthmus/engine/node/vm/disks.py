"""The disks of a VMI as machine disks: bus, boot order, cache and I/O mode, each with KubeVirt's defaults. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from isthmus.engine.node.vm.errors import SpecError
from isthmus.engine.node.vm.machine import Disk, Image

Object = dict[str, Any]

BUSES = ("virtio", "sata", "scsi", "usb")
TYPES = ("disk", "cdrom", "lun")
NO_DISK_SOURCES = ("memoryDump", "downwardMetrics", "containerPath")
IOTHREAD_BUSES = ("virtio",)


def choose_io(wanted_cache: str, wanted_io: str, image: Image | None) -> tuple[str, str, str]:
    """(cache, aio, why). The host's page cache is avoided where the file system lets us, as KubeVirt does:

    a guest caches by itself, and what it flushed is on the disk. Native AIO would block QEMU's loop in a sparse
    file's allocations, so only block devices and preallocated files get it.
    """
    direct = image is None or image.direct
    if wanted_cache == "none" and not direct:
        cache, why = "writethrough", "cache none was asked for, but the file system refuses O_DIRECT"
    elif wanted_cache:
        cache, why = wanted_cache, "as asked"
    elif direct:
        cache, why = "none", "O_DIRECT works there"
    else:
        cache, why = "writethrough", "the file system refuses O_DIRECT"
    if cache != "none":
        return cache, "threads", f"{why}; native I/O needs cache none" if wanted_io == "native" else why
    if wanted_io in ("native", "threads"):
        return cache, wanted_io, f"{why}; io as asked"
    solid = image is not None and (image.block_device or image.preallocated)
    return cache, "native" if solid else "threads", why


def _device_type(disk: Object) -> str:
    present = [kind for kind in TYPES if disk.get(kind) is not None]
    if len(present) > 1:
        raise SpecError(f"spec.domain.devices.disks[{disk['name']}]", f"has {' and '.join(present)}; choose one")
    return present[0] if present else "disk"


def _bus(disk: Object, device: str) -> str:
    bus = str((disk.get(device) or {}).get("bus") or "sata")
    if bus not in BUSES:
        raise SpecError(
            f"spec.domain.devices.disks[{disk['name']}].{device}.bus", f"{bus!r}; expected {', '.join(BUSES)}"
        )
    return "sata" if device == "cdrom" and bus == "virtio" else bus


def _block_sizes(disk: Object) -> Object:
    size = disk.get("blockSize") or {}
    custom = size.get("custom") or {}
    granularity = custom.get("discardGranularity")
    return {
        "logical_block_size": int(custom.get("logical") or 0),
        "physical_block_size": int(custom.get("physical") or 0),
        "discard_granularity": -1 if granularity is None else int(granularity),
    }


def list_disks(spec: Object) -> list[Object]:
    """The disk entries of a VMI spec, with a default one for each volume that none names."""
    devices = spec["domain"].get("devices") or {}
    disks = list(devices.get("disks") or [])
    named = {disk["name"] for disk in disks} | {fs["name"] for fs in devices.get("filesystems") or []}
    unnamed = [
        volume["name"]
        for volume in spec.get("volumes") or []
        if volume["name"] not in named and not any(source in volume for source in NO_DISK_SOURCES)
    ]
    return disks + [{"name": name, "disk": {}} for name in unnamed]


def build_disks(spec: Object, images: Mapping[str, Image | None], iothreads: int) -> tuple[Disk, ...]:
    """Every disk of the VMI; `images` are the resolved volumes. Raises SpecError."""
    entries = list_disks(spec)
    boot = _boot_indexes(spec, entries)
    queues = 0
    if (spec["domain"].get("devices") or {}).get("blockMultiQueue"):
        cpu = spec["domain"].get("cpu") or {}
        queues = int(cpu.get("sockets") or 1) * int(cpu.get("cores") or 1) * int(cpu.get("threads") or 1)
    volumes = {volume["name"] for volume in spec.get("volumes") or []}
    disks = []
    for number, entry in enumerate(entries):
        name = entry["name"]
        if name in volumes and name not in images:
            raise SpecError(f"spec.volumes[{name}]", "has not been prepared on this node")
        if name not in volumes and _device_type(entry) != "cdrom":
            raise SpecError(f"spec.domain.devices.disks[{name}]", f"no volume has the name {name!r}")
        thread = f"iothread{number % iothreads + 1}" if iothreads else ""
        disks.append(_build_disk(entry, images.get(name), boot.get(name), thread, queues))
    return tuple(disks)


def _build_disk(entry: Object, image: Image | None, boot_index: int | None, iothread: str, queues: int) -> Disk:
    device = _device_type(entry)
    target = entry.get(device) or {}
    bus = _bus(entry, device)
    cache, aio, why = choose_io(entry.get("cache") or "", entry.get("io") or "", image)
    read_only = device == "cdrom" or bool(target.get("readonly")) or (image is not None and image.read_only)
    if read_only and (bus, device) == ("sata", "disk"):
        raise SpecError(
            f"spec.domain.devices.disks[{entry['name']}]", "a SATA disk cannot be read-only; use virtio or scsi"
        )
    shareable = bool(entry.get("shareable"))
    if shareable and cache != "none":
        # Two machines on one disk must not each keep a cache of it.
        cache, aio, why = "none", "threads", "shareable"
    values: Object = {
        "name": entry["name"],
        "image": image,
        "device": device,
        "bus": bus,
        "boot_index": boot_index,
        "serial": str(entry.get("serial") or ""),
        "cache": cache,
        "aio": aio,
        "why": why,
        "read_only": read_only,
        "shareable": shareable,
        "error_policy": entry.get("errorPolicy") or "stop",
        "iothread": iothread if bus in IOTHREAD_BUSES else "",
        "queues": queues if bus == "virtio" else 0,
        "pci_address": str(target.get("pciAddress") or "") if bus == "virtio" else "",
    }
    return Disk(**values, **_block_sizes(entry))


def _boot_indexes(spec: Object, entries: Sequence[Object]) -> dict[str, int]:
    """Boot order by disk name. Without any `bootOrder` in the VMI its disks are tried in the order of the spec."""
    explicit = {entry["name"]: int(entry["bootOrder"]) for entry in entries if entry.get("bootOrder")}
    interfaces = (spec["domain"].get("devices") or {}).get("interfaces") or []
    if explicit or any(nic.get("bootOrder") for nic in interfaces):
        return explicit
    return {entry["name"]: number for number, entry in enumerate(entries, 1)}
