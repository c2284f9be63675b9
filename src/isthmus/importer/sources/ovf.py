"""The OVF descriptor (DSP0243 1.x and 2.0) as vSphere, Workstation, VirtualBox and others write it.

`parse` reads the envelope: files, disks, networks, machines and their start order; one machine's hardware is read by
`ovfhardware`. Unknown sections are passed over; what is missing gets a default that the target can start with.
"""

from dataclasses import dataclass, replace
from xml.etree.ElementTree import Element

from isthmus.codec import ova
from isthmus.codec.malformed import MalformedError
from isthmus.importer.sources import ovfhardware, safexml, units
from isthmus.importer.sources.machine import Disk, FileReference, Machine

MOST_DISKS = 1024


@dataclass(frozen=True, slots=True)
class Envelope:
    """A parsed descriptor: the package's files and its machines, in the order in which they are to be started."""

    files: tuple[FileReference, ...]
    networks: tuple[str, ...]
    machines: tuple[Machine, ...]

    def machine(self, name: str = "") -> Machine:
        """The machine called `name` (or with that id); the only one if no name is given. Raises LookupError."""
        if not name and len(self.machines) == 1:
            return self.machines[0]
        for machine in self.machines:
            if name and name in (machine.name, machine.id):
                return machine
        names = ", ".join(machine.name for machine in self.machines)
        raise LookupError(f"the package has no machine {name!r}: it has {names}" if name else f"name one of: {names}")


def parse(data: bytes) -> Envelope:
    """Parse a descriptor. Raises MalformedError: no XML, no envelope, references to nothing or out of the package."""
    root = safexml.parse(data)
    if root.tag != "Envelope":
        raise MalformedError(f"this is no OVF descriptor: its root element is {root.tag}, not Envelope", 0)
    files = {file.id: file for file in map(_file, root.iterfind("References/File"))}
    disks = {disk.id: disk for disk in (_disk(element, files) for element in _disk_elements(root))}
    if len(files) > MOST_DISKS or len(disks) > MOST_DISKS:
        raise MalformedError(f"more than {MOST_DISKS} files or disks", 0)
    configuration = _default_configuration(root)
    machines = [ovfhardware.parse(element, disks, files, configuration) for element in root.iter("VirtualSystem")]
    if not machines:
        raise MalformedError("the descriptor has no VirtualSystem: no machine to import", 0)
    networks = tuple(element.get("name", "") for element in root.iterfind("NetworkSection/Network"))
    return Envelope(tuple(files.values()), networks, tuple(_in_start_order(root, machines)))


def _file(element: Element) -> FileReference:
    href = element.get("href", "")
    ova.check_name(href, 0)
    compression = element.get("compression", "").lower()
    if compression not in ("", "identity", "gzip"):
        raise MalformedError(f'file "{href}" is compressed with {compression!r}: only gzip is known', 0)
    size, chunk = (units.parse_bytes(element.get(key, ""), "byte") for key in ("size", "chunkSize"))
    return FileReference(element.get("id", ""), href, size, compression.replace("identity", ""), chunk or None)


def _disk_elements(root: Element) -> list[Element]:
    # OVF 0.9 had the section's type in xsi:type of a plain Section.
    return [*root.iterfind("DiskSection/Disk"), *root.iterfind("Section/Disk")]


def _disk(element: Element, files: dict[str, FileReference]) -> Disk:
    identifier, reference = element.get("diskId", ""), element.get("fileRef", "")
    if reference and reference not in files:
        raise MalformedError(f'disk "{identifier}" refers to file "{reference}", which is not in References', 0)
    return Disk(
        id=identifier,
        label=identifier,
        capacity=units.parse_bytes(element.get("capacity", ""), element.get("capacityAllocationUnits", "byte")),
        file=files[reference] if reference else None,
        format=element.get("format", ""),
        parent=element.get("parentRef", ""),
        shared=element.get("shared", "").lower() == "true",
    )


def _default_configuration(root: Element) -> str:
    """The deployment option whose variants of items count (DSP0243, 9.8)."""
    options = root.findall("DeploymentOptionSection/Configuration")
    chosen = [option for option in options if option.get("default", "").lower() in ("true", "1")] or options
    return chosen[0].get("id", "") if chosen else ""


def _in_start_order(root: Element, machines: list[Machine]) -> list[Machine]:
    """By StartupSection; machines that it does not name come last, as the file has them."""
    order: dict[str, tuple[int, int]] = {}
    for item in root.iter("Item"):
        if "order" in item.attrib and item.get("id"):
            number, delay = item.get("order", ""), item.get("startDelay", "0")
            if number.isdigit():
                order[item.get("id", "")] = (int(number), int(delay) if delay.isdigit() else 0)
    ordered = [
        replace(machine, start_order=order[machine.id][0], start_delay=order[machine.id][1])
        if machine.id in order
        else machine
        for machine in machines
    ]
    return sorted(ordered, key=lambda m: (m.start_order is None, m.start_order or 0))
