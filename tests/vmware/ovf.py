"""OVF descriptors as vSphere writes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

CONTROLLERS = {  # what vSphere calls them: resource type, subtype, name
    "lsilogic": (6, "lsilogic", "SCSI Controller 0"),
    "lsilogicsas": (6, "lsilogicsas", "SCSI Controller 0"),
    "pvscsi": (6, "VirtualSCSI", "SCSI Controller 0"),
    "sata": (20, "vmware.sata.ahci", "SATA Controller 0"),
    "nvme": (20, "vmware.nvme.controller", "NVME Controller 0"),
    "ide": (5, "", "IDE 0"),
}

_ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<Envelope vmw:buildId="build-20000000" xmlns="http://schemas.dmtf.org/ovf/envelope/1"'
    ' xmlns:cim="http://schemas.dmtf.org/wbem/wscim/1/common" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"'
    ' xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"'
    ' xmlns:vmw="http://www.vmware.com/schema/ovf"'
    ' xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">\n'
)


@dataclass(frozen=True)
class DiskFile:
    """A disk of the machine and its file; sizes in bytes."""

    href: str
    size: int
    capacity: int


@dataclass(frozen=True)
class Card:
    """A network card."""

    network: str
    mac: str = ""
    subtype: str = "VmxNet3"
    slot: int = 192


@dataclass(frozen=True)
class Machine:
    """What the descriptor says."""

    name: str
    disks: Sequence[DiskFile]
    cards: Sequence[Card] = ()
    cpus: int = 1
    cores_per_socket: int = 1
    memory_mib: int = 512
    firmware: str = "bios"
    secure_boot: bool = False
    os_type: str = "debian10_64Guest"
    os_id: int = 96
    controller: str = "lsilogic"


def descriptor(machine: Machine) -> bytes:
    """The .ovf."""
    name = escape(machine.name)
    hardware = "\n".join(_hardware(machine))
    networks = "".join(
        f"<Network ovf:name={quoteattr(n)}><Description>The {escape(n)} network</Description></Network>"
        for n in dict.fromkeys(card.network for card in machine.cards)
    )
    files = "".join(
        f'<File ovf:href={quoteattr(d.href)} ovf:id="file{i}" ovf:size="{d.size}"/>'
        for i, d in enumerate(machine.disks, 1)
    )
    disks = "".join(
        f'<Disk ovf:capacity="{d.capacity}" ovf:capacityAllocationUnits="byte" ovf:diskId="vmdisk{i}"'
        f' ovf:fileRef="file{i}" ovf:populatedSize="0"'
        ' ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>'
        for i, d in enumerate(machine.disks, 1)
    )
    return f"""{_ENVELOPE}  <References>{files}</References>
  <DiskSection><Info>Virtual disk information</Info>{disks}</DiskSection>
  <NetworkSection><Info>The list of logical networks</Info>{networks}</NetworkSection>
  <VirtualSystem ovf:id={quoteattr(machine.name)}>
    <Info>A virtual machine</Info>
    <Name>{name}</Name>
    <OperatingSystemSection ovf:id="{machine.os_id}" vmw:osType="{machine.os_type}">
      <Info>The kind of installed guest operating system</Info>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Virtual hardware requirements</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>{name}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>vmx-14</vssd:VirtualSystemType>
      </System>
{hardware}
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
""".encode()


def _hardware(machine: Machine) -> list[str]:
    kind, subtype, label = CONTROLLERS[machine.controller]
    cores = f'<vmw:CoresPerSocket ovf:required="false">{machine.cores_per_socket}</vmw:CoresPerSocket>'
    items = [
        _item(1, 3, f"{machine.cpus} virtual CPU(s)", AllocationUnits="hertz * 10^6", VirtualQuantity=machine.cpus,
              extra=cores),
        _item(2, 4, f"{machine.memory_mib}MB of memory", AllocationUnits="byte * 2^20",
              VirtualQuantity=machine.memory_mib),
        _item(3, kind, label, Address=0, **({"ResourceSubType": subtype} if subtype else {})),
    ]  # fmt: skip
    for number, _ in enumerate(machine.disks):
        unit = number if number < 7 else number + 1  # 7 is the SCSI controller's own
        items.append(
            _item(10 + number, 17, f"Hard Disk {number + 1}", AddressOnParent=unit,
                  HostResource=f"ovf:/disk/vmdisk{number + 1}", Parent=3)
        )  # fmt: skip
    for number, card in enumerate(machine.cards):
        slot = f'<vmw:Config ovf:required="false" vmw:key="slotInfo.pciSlotNumber" vmw:value="{card.slot}"/>'
        address = {"Address": card.mac} if card.mac else {}
        items.append(
            _item(100 + number, 10, f"Ethernet {number + 1}", AddressOnParent=7 + number, AutomaticAllocation="true",
                  Connection=card.network, ResourceSubType=card.subtype, extra=slot, **address)
        )  # fmt: skip
    items.append(f'      <vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="{machine.firmware}"/>')
    if machine.secure_boot:
        items.append(
            '      <vmw:Config ovf:required="false" vmw:key="bootOptions.efiSecureBootEnabled" vmw:value="true"/>'
        )
    return items


def _item(instance: int, kind: int, label: str, *, extra: str = "", **children: object) -> str:
    """Children in alphabetical order, as the schema wants them."""
    fields = {**children, "ElementName": label, "InstanceID": instance, "ResourceType": kind}
    text = "".join(f"<rasd:{key}>{escape(str(value))}</rasd:{key}>" for key, value in sorted(fields.items()))
    return f"      <Item>{text}{extra}</Item>"
