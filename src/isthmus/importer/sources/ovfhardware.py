"""One VirtualSystem of an OVF descriptor -> `Machine`.

Hardware is a flat list of items typed by CIM_ResourceAllocationSettingData.ResourceType; a disk names its controller by
InstanceID. VMware adds `vmw:Config` (firmware, secure boot) and VirtualBox a whole `vbox:Machine`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from types import MappingProxyType
from xml.etree.ElementTree import Element

from isthmus.codec.malformed import MalformedError
from isthmus.importer.sources import units
from isthmus.importer.sources.machine import (
    Bus,
    Controller,
    Device,
    Disk,
    FileReference,
    Firmware,
    Machine,
    Nic,
    OperatingSystem,
)  # fmt: skip

MOST_CPUS = 8192
_HARDWARE_ITEMS = ("Item", "StorageItem", "EthernetPortItem")  # the latter two are OVF 2.0's


class ResourceType(IntEnum):
    """CIM's numbers (DMTF DSP1041 and VMware's use of them)."""

    OTHER = 1
    CPU = 3
    MEMORY = 4
    IDE = 5
    SCSI = 6
    ETHERNET = 10
    FLOPPY = 14
    CDROM = 15
    DVD = 16
    DISK = 17
    OTHER_STORAGE = 20
    USB = 23


@dataclass(frozen=True, slots=True)
class _Item:
    """A hardware item: its children's text by name, and its vmw:Config entries."""

    type: int
    id: str
    text: Mapping[str, str]
    config: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.text.get(name, "")

    @property
    def subtype(self) -> str:
        return self["ResourceSubType"]

    @property
    def label(self) -> str:
        return self["ElementName"] or self["Caption"] or self["Description"]


def parse(
    system: Element, disks: Mapping[str, Disk], files: Mapping[str, FileReference], configuration: str
) -> Machine:
    """The machine that `system` describes; `disks` and `files` are the envelope's, by id. Raises MalformedError."""
    section = system.find("VirtualHardwareSection")
    identifier = system.get("id", "")
    name = _text(system, "Name") or identifier or "virtual-machine"
    if section is None:
        raise MalformedError(f'machine "{name}" has no VirtualHardwareSection', 0)
    items = _items(section, configuration)
    config = _config(section)
    controllers = {item.id: found for item in items if (found := _controller(item))}
    vbox = system.find("Machine")
    return Machine(
        name=name,
        id=identifier,
        uuid=(vbox.get("uuid", "").strip("{}") if vbox is not None else "") or config.get("uuid", ""),
        os=_operating_system(system),
        cpus=_cpus(items),
        cores_per_socket=_cores_per_socket(items),
        memory=_memory(items),
        firmware=_firmware(config, vbox),
        secure_boot=_is_true(config.get("bootOptions.efiSecureBootEnabled", "")),
        tpm=any("tpm" in item.subtype.lower() for item in items),
        hardware_version=_text(section, "System/VirtualSystemType"),
        controllers=tuple(controllers.values()),
        disks=tuple(_disks(items, controllers, disks, files, _boot_order(system))),
        nics=tuple(_nics(items, vbox)),
        devices=tuple(_devices(items)),
        config=MappingProxyType(config),
        annotation=_text(system, "AnnotationSection/Annotation"),
    )


def _items(section: Element, configuration: str) -> list[_Item]:
    """The items that count under `configuration`: a variant replaces the plain item of the same InstanceID."""
    plain: dict[str, _Item] = {}
    for element in section:
        wanted = element.get("configuration", "").split()
        if element.tag not in _HARDWARE_ITEMS or (wanted and configuration not in wanted):
            continue
        if element.get("bound", "normal") != "normal":
            continue  # the least and the most that a deployer may choose
        text = {child.tag: (child.text or "").strip() for child in reversed(element) if child.tag != "Config"}
        kind = text.get("ResourceType", "")
        item = _Item(int(kind) if _is_number(kind) else 0, text.get("InstanceID", ""), text, _config(element))
        key = item.id or f"#{len(plain)}"
        if wanted or key not in plain:
            plain[key] = item
        else:
            plain[f"{key}#{len(plain)}"] = item  # ids are unique by the standard only
    return list(plain.values())


def _config(element: Element) -> dict[str, str]:
    entries = [child for child in element if child.tag in ("Config", "ExtraConfig")]
    return {entry.get("key", ""): entry.get("value", "") for entry in entries}


def _text(element: Element, path: str) -> str:
    found = element.find(path)
    return (found.text or "").strip() if found is not None else ""


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


def _is_true(text: str) -> bool:
    return text.strip().lower() in ("true", "1", "yes")


def _operating_system(system: Element) -> OperatingSystem:
    section = system.find("OperatingSystemSection")
    if section is None:
        return OperatingSystem()
    number = section.get("id", "")
    vbox = _text(section, "OSType")
    return OperatingSystem(
        guest_id=section.get("osType", "") or vbox,
        cim_id=int(number) if _is_number(number) else None,
        version=section.get("version", ""),
        description=_text(section, "Description") or vbox,
    )


def _cpus(items: list[_Item]) -> int:
    amounts = [item["VirtualQuantity"] for item in items if item.type == ResourceType.CPU]
    total = sum(int(amount) for amount in amounts if _is_number(amount)) or 1
    if total > MOST_CPUS:
        raise MalformedError(f"{total} CPUs: more than {MOST_CPUS} is no machine", 0)
    return total


def _cores_per_socket(items: list[_Item]) -> int:
    for item in items:
        if item.type == ResourceType.CPU and _is_number(item["CoresPerSocket"]):
            return max(1, min(int(item["CoresPerSocket"]), MOST_CPUS))
    return 1


def _memory(items: list[_Item]) -> int:
    total = 0
    for item in items:
        if item.type == ResourceType.MEMORY:
            # "MB" is what is meant where nothing is said: VMware's older exports.
            total += units.parse_bytes(item["VirtualQuantity"], item["AllocationUnits"] or "MB") or 0
    return total


def _firmware(config: Mapping[str, str], vbox: Element | None) -> Firmware:
    declared = config.get("firmware", "")
    if not declared and vbox is not None:
        declared = next((element.get("type", "") for element in vbox.iter("Firmware")), "")
    return Firmware.EFI if declared.lower().startswith("efi") else Firmware.BIOS


def _controller(item: _Item) -> Controller | None:
    buses = {ResourceType.IDE: Bus.IDE, ResourceType.SCSI: Bus.SCSI}
    bus = buses.get(item.type)  # type: ignore[call-overload]
    if item.type == ResourceType.OTHER_STORAGE:
        words = f"{item.subtype} {item.label}".lower()
        bus = Bus.NVME if "nvme" in words else Bus.SCSI if "scsi" in words or "sas" in words else Bus.SATA
    if bus is None:
        return None
    return Controller(item.id, bus, item.subtype, int(item["Address"]) if _is_number(item["Address"]) else 0)


def _boot_order(system: Element) -> list[str]:
    """VMware's vmw:BootOrderSection: instance ids, the first to boot from first."""
    return [element.get("instanceId", "") for element in system.iterfind("BootOrderSection")]


def _disks(
    items: list[_Item],
    controllers: Mapping[str, Controller],
    disks: Mapping[str, Disk],
    files: Mapping[str, FileReference],
    boot: list[str],
) -> list[Disk]:
    """Hard disks in boot order: as vmw:BootOrderSection says, else controllers as they come, disks by their unit."""
    drives = [item for item in items if item.type == ResourceType.DISK]
    found = [(item, _attached(item, controllers, _backing(item, disks, files))) for item in drives]
    appearance = [disk.controller for _, disk in found]

    def key(entry: tuple[_Item, Disk]) -> tuple[int, int, int]:
        item, disk = entry
        chosen = boot.index(item.id) if item.id in boot else len(boot)
        return chosen, appearance.index(disk.controller), disk.unit if disk.unit is not None else 1 << 16

    return [disk for _, disk in sorted(found, key=key)]


def _backing(item: _Item, disks: Mapping[str, Disk], files: Mapping[str, FileReference]) -> Disk:
    """HostResource: ovf:/disk/ID, ovf:/file/ID, or without the scheme as VirtualBox writes it; none: a new disk."""
    kind, _, identifier = item["HostResource"].removeprefix("ovf:").strip("/").partition("/")
    if kind == "disk" and identifier in disks:
        return disks[identifier]
    if kind == "file" and identifier in files:
        return Disk(identifier, identifier, None, files[identifier])
    if item["HostResource"]:
        raise MalformedError(
            f'{item.label or "a disk"} refers to "{item["HostResource"]}", which the package has not', 0
        )
    return Disk(item.id, item.label, units.parse_bytes(item["VirtualQuantity"], item["VirtualQuantityUnits"] or "byte"))


def _attached(item: _Item, controllers: Mapping[str, Controller], disk: Disk) -> Disk:
    unit = item["AddressOnParent"]
    return replace(
        disk,
        label=item.label or disk.label,
        controller=controllers.get(item["Parent"]),
        unit=int(unit) if _is_number(unit) else None,
        persistence=item.config.get("backing.diskMode", "") or item.config.get("diskMode", ""),
        shared=disk.shared or item.config.get("backing.sharing", "").lower() == "sharingmultiwriter",
    )


def _nics(items: list[_Item], vbox: Element | None) -> list[Nic]:
    cards = [item for item in items if item.type == ResourceType.ETHERNET]
    adapters = _vbox_macs(vbox)
    nics = []
    for number, item in enumerate(cards):
        slot = item.config.get("slotInfo.pciSlotNumber", "")
        mac = parse_mac(item["Address"]) or (adapters[number] if number < len(adapters) else "")
        network = item["Connection"]
        nics.append(Nic(item.label, network, mac, item.subtype, int(slot) if _is_number(slot) else None))
    return nics


def _vbox_macs(vbox: Element | None) -> list[str]:
    if vbox is None:
        return []
    enabled: Callable[[Element], bool] = lambda adapter: _is_true(adapter.get("enabled", ""))  # noqa: E731
    return [parse_mac(adapter.get("MACAddress", "")) for adapter in filter(enabled, vbox.iter("Adapter"))]


def parse_mac(text: str) -> str:
    """A MAC address in lower case with colons; empty if `text` is none."""
    digits = text.strip().lower().replace(":", "").replace("-", "").replace(".", "")
    if len(digits) != 12 or any(digit not in "0123456789abcdef" for digit in digits):
        return ""
    return ":".join(digits[i : i + 2] for i in range(0, 12, 2))


def _devices(items: list[_Item]) -> list[Device]:
    """What is neither CPU, memory, controller, disk nor network card."""
    known = (ResourceType.CPU, ResourceType.MEMORY, ResourceType.DISK, ResourceType.ETHERNET)
    rest = [item for item in items if item.type not in known and _controller(item) is None]
    return [Device(item.label, item.type, item.subtype, bool(item["HostResource"])) for item in rest]
