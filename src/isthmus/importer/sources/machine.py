"""A virtual machine as its source describes it: frozen data, the same for every source, read by `importer.map`."""

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class Bus(StrEnum):
    """The kind of a disk controller."""

    SCSI = "scsi"
    SATA = "sata"
    NVME = "nvme"
    IDE = "ide"


class Firmware(StrEnum):
    """What starts the guest."""

    BIOS = "bios"
    EFI = "efi"


@dataclass(frozen=True, slots=True)
class Controller:
    """A disk controller, e.g. scsi number 0, subtype lsilogic."""

    id: str
    bus: Bus
    subtype: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class FileReference:
    """A file of the package: `size` in bytes if stated; `chunk_size` if it is cut into href.000000000, .000000001, …"""

    id: str
    href: str
    size: int | None = None
    compression: str = ""
    chunk_size: int | None = None


@dataclass(frozen=True, slots=True)
class Disk:
    """A hard disk. `capacity` in bytes, None if the source does not say; no `file` means that it is empty."""

    id: str
    label: str
    capacity: int | None
    file: FileReference | None = None
    format: str = ""
    parent: str = ""
    controller: Controller | None = None
    unit: int | None = None
    persistence: str = ""
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Nic:
    """A network card on the source's network `network`. `mac` is lower case with colons, or empty. `slot` is the PCI
    slot number that VMware gave it, which names the interface in the guest (ens192).
    """

    label: str
    network: str
    mac: str = ""
    subtype: str = ""
    slot: int | None = None


@dataclass(frozen=True, slots=True)
class OperatingSystem:
    """VMware's guest id (debian10_64Guest), CIM's number, and what people read."""

    guest_id: str = ""
    cim_id: int | None = None
    version: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """Any other device: kept so that whoever assesses the machine can see it."""

    label: str
    resource_type: int
    subtype: str = ""
    backed: bool = False


@dataclass(frozen=True, slots=True)
class Machine:
    """A virtual machine. Disks are in boot order; memory in bytes."""

    name: str
    id: str = ""
    uuid: str = ""
    os: OperatingSystem = OperatingSystem()
    cpus: int = 1
    cores_per_socket: int = 1
    memory: int = 0
    firmware: Firmware = Firmware.BIOS
    secure_boot: bool = False
    tpm: bool = False
    hardware_version: str = ""
    controllers: tuple[Controller, ...] = ()
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    devices: tuple[Device, ...] = ()
    start_order: int | None = None
    start_delay: int = 0  # seconds before the next machine is started
    config: MappingProxyType[str, str] = field(
        default_factory=lambda: MappingProxyType({})
    )  # vmw:Config, vmw:ExtraConfig
    annotation: str = ""
