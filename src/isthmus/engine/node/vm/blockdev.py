"""A disk as QEMU's block graph and device. Pure; part of `argv`.

Node names: `disk-NAME` is the disk, `disk-NAME-file` its storage, `-base`, `-base-file` ... its backing chain. The
device has the id `NAME` with the prefix `ua-` (user alias), as KubeVirt's domains have.
"""

import zlib
from typing import Any

from isthmus.engine.node.vm.machine import Disk, Image

Options = dict[str, Any]


SCSI_SERIAL = 36  # characters; QEMU refuses more
ERROR_POLICIES = {
    "stop": {"werror": "stop", "rerror": "stop"},
    "ignore": {"werror": "ignore", "rerror": "ignore"},
    "report": {"werror": "report", "rerror": "report"},
    "enospace": {"werror": "enospc", "rerror": "report"},
}


def node_name(name: str) -> str:
    """The block node of a disk. QEMU allows 31 characters; volume names may be longer, so long ones are hashed."""
    if len(name) <= 16:
        return f"disk-{name}"
    return f"disk-{name[:6]}-{_digest(name)}"


def _digest(name: str) -> str:
    return f"{zlib.crc32(name.encode()):08x}"


def _protocol(image: Image, name: str, disk: Disk, *, read_only: bool) -> Options:
    options: Options = {
        "driver": "host_device" if image.block_device else "file",
        "node-name": name,
        "filename": str(image.path),
        "aio": disk.aio if not image.backing else "threads",
        "cache": {"direct": disk.cache == "none" and image.direct, "no-flush": False},
        "read-only": read_only,
        "discard": "unmap",
    }
    if disk.shareable or read_only:
        options["locking"] = "off"
    return options


def build_blockdevs(disk: Disk) -> list[Options]:
    """The `-blockdev` options of a disk, backing images first. An empty drive has none."""
    if disk.image is None:
        return []
    return _chain(disk.image, node_name(disk.name), disk, read_only=disk.read_only)


def _chain(image: Image, name: str, disk: Disk, *, read_only: bool) -> list[Options]:
    below = _chain(image.backing, f"{name}-base", disk, read_only=True) if image.backing else []
    node: Options = {
        "driver": image.format,
        "node-name": name,
        "file": f"{name}-file",
        "read-only": read_only,
        "discard": "unmap",
        "cache": {"direct": disk.cache == "none" and image.direct, "no-flush": False},
    }
    if image.format == "qcow2":
        # Explicit, also when there is none: the header's own backing name is a guest's or a stranger's word.
        node["backing"] = f"{name}-base" if image.backing else None
    return [*below, _protocol(image, f"{name}-file", disk, read_only=read_only), node]


_DRIVERS = {
    ("virtio", "disk"): "virtio-blk-pci",
    ("virtio", "lun"): "virtio-blk-pci",
    ("sata", "disk"): "ide-hd",
    ("sata", "lun"): "ide-hd",
    ("sata", "cdrom"): "ide-cd",
    ("scsi", "disk"): "scsi-hd",
    ("scsi", "cdrom"): "scsi-cd",
    ("usb", "disk"): "usb-storage",
    ("usb", "cdrom"): "usb-storage",
    ("usb", "lun"): "usb-storage",
}


def _driver(disk: Disk) -> str:
    if (disk.bus, disk.device) == ("scsi", "lun"):
        # SCSI pass-through needs a device to pass to; a file behind a LUN is an ordinary SCSI disk.
        return "scsi-block" if disk.image and disk.image.block_device else "scsi-hd"
    return _DRIVERS[disk.bus, disk.device]


def build_disk_device(disk: Disk, placement: Options) -> Options:
    """The `-device` options; `placement` is the bus and address that `argv` found for it."""
    driver = _driver(disk)
    device: Options = {"driver": driver, "id": f"ua-{disk.name}", **placement}
    if disk.image is not None:
        device["drive"] = node_name(disk.name)
        if driver != "scsi-block":
            device["write-cache"] = "off" if disk.cache == "writethrough" else "on"
    if disk.boot_index is not None:
        device["bootindex"] = disk.boot_index
    if disk.serial and driver != "scsi-block":
        device["serial"] = disk.serial[:SCSI_SERIAL] if driver.startswith("scsi") else disk.serial
    if disk.shareable:
        device["share-rw"] = True
    if driver != "scsi-block" and disk.device != "cdrom":
        device |= ERROR_POLICIES[disk.error_policy]
    return device | _tuning(disk, driver)


def _tuning(disk: Disk, driver: str) -> Options:
    tuning: Options = {}
    if disk.logical_block_size:
        tuning["logical_block_size"] = disk.logical_block_size
    if disk.physical_block_size:
        tuning["physical_block_size"] = disk.physical_block_size
    if disk.discard_granularity >= 0:
        tuning["discard_granularity"] = disk.discard_granularity
    if driver == "virtio-blk-pci":
        if disk.iothread:
            tuning["iothread"] = disk.iothread
        if disk.queues:
            tuning["num-queues"] = disk.queues
    return tuning
