"""Which converter does a guest, and what follows when it declines: ours, then virt-v2v, then compatibility mode. Pure.

A guest that nobody can convert still boots with the devices it knows: disks on SATA, interfaces as e1000e.
"""

from enum import StrEnum

from isthmus.importer.convert.events import Report


class Converter(StrEnum):
    """How a guest is made to boot here, as the VirtualMachineImport's spec and status name it."""

    ISTHMUS = "Isthmus"
    VIRT_V2V = "VirtV2V"
    COMPATIBILITY = "Compatibility"


class Verdict(StrEnum):
    """How an attempt to convert ended."""

    CONVERTED = "converted"
    UNSUPPORTED = "unsupported"
    FAILED = "failed"


COMPATIBLE_DISK_BUS, COMPATIBLE_NIC_MODEL = "sata", "e1000e"
DISK_BUS, NIC_MODEL = "virtio", "virtio"


def first(requested: Converter | None, os_type: str) -> Converter:
    """The converter to begin with: the one asked for, else ours, except for Windows, which only virt-v2v knows.

    `os_type` is the OVF's `vmw:osType` or vSphere's guestId, e.g. debian10_64Guest; only used to save an attempt.
    """
    if requested is not None:
        return requested
    return Converter.VIRT_V2V if os_type.lower().startswith(("win", "microsoftwindows")) else Converter.ISTHMUS


def following(tried: Converter, verdict: Verdict, *, virt_v2v_available: bool) -> Converter | None:
    """What to try after `tried` ended with `verdict`; None when the guest is converted.

    A failed attempt leaves a disk half changed: the caller starts the next one from the disk as it was copied.
    """
    if verdict is Verdict.CONVERTED or tried is Converter.COMPATIBILITY:
        return None
    if tried is Converter.ISTHMUS and virt_v2v_available:
        return Converter.VIRT_V2V
    return Converter.COMPATIBILITY


def verdict_of(report: Report, *, machine_ended: bool) -> Verdict | None:
    """The verdict of our converter; None while it runs. A machine that ended without a word has failed."""
    if report.verdict in list(Verdict):
        return Verdict(report.verdict)
    return Verdict.FAILED if machine_ended else None
