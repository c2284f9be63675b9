"""What firmware, boot loaders, kernels and init systems write on a console, and what it means. Data for `judge`."""

import re
from dataclasses import dataclass

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[()][0-9A-B]|[=>c78MDE])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def plain(console: str) -> str:
    """Console text without terminal escapes and control characters."""
    return _CONTROLS.sub("", _ESCAPES.sub("", console))


def _p(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.MULTILINE)


FIRMWARE = (
    _p(r"SeaBIOS \(version[^)]*\)"),
    _p(r"Booting from Hard Disk"),
    _p(r"BdsDxe: (?:loading|starting) Boot\w+.*"),
)
BOOT_LOADER = (_p(r"GRUB loading.*"), _p(r"Welcome to GRUB!"), _p(r"Booting `[^']*'"), _p(r"Loading Linux \S+"))
KERNEL = (
    _p(r"Linux version \S+"),
    _p(r"systemd\[1\]: systemd \S+ running in system mode"),
    _p(r"Loading initial ramdisk"),
    _p(r"^Loading, please wait\.\.\."),
    _p(r"Welcome to \S.*!$"),
)
VIRTIO_ROOT = (
    _p(r"/dev/vd[a-z]\d+: (?:clean|recovering journal).*"),
    _p(r"EXT4-fs \(vd[a-z]\d+\): (?:mounted|re-mounted).*"),
    _p(r"XFS \(vd[a-z]\d+\): Ending clean mount"),
    _p(r"BTRFS: device .*/dev/vd[a-z]\d*.*"),
    _p(r"virtio_blk virtio\d+: \[vd[a-z]\].*"),
    _p(r"scsi host\d+: Virtio SCSI HBA"),
)
LOGIN = _p(r"^\S* ?login: ?")


@dataclass(frozen=True, slots=True)
class Failure:
    """A text after which a boot does not come right by itself, and what it means in words."""

    pattern: re.Pattern[str]
    reason: str


_NO_DISK = "the firmware found no disk that it could boot from"
_NO_LOADER = "the firmware (UEFI) found no boot loader on the disk: EFI/BOOT/BOOTX64.EFI is missing"
_NO_ROOT = "the kernel did not find the root disk: its initramfs lacks the driver, or the root's name has changed"
_DRACUT = "the initramfs (dracut) could not find or mount the root file system"
_EMERGENCY = "systemd gave up and opened emergency mode: a file system in fstab could not be mounted"

FAILURES = (
    Failure(_p(r"No bootable device"), _NO_DISK),
    Failure(_p(r"Boot failed: not a bootable disk[\s\S]*No bootable"), _NO_DISK),
    Failure(_p(r"BdsDxe: No bootable option"), _NO_DISK),
    Failure(
        _p(r"BdsDxe: failed to load Boot\d+ \"UEFI (?:Misc Device|QEMU)[^\n]*Not Found[\s\S]*Start PXE"), _NO_LOADER
    ),
    Failure(_p(r"^(?:UEFI Interactive )?Shell> *$"), "the firmware found nothing to boot and opened its own shell"),
    Failure(_p(r"^grub rescue>"), "GRUB did not find its files (grub rescue)"),
    Failure(_p(r"^grub>"), "GRUB found no configuration (grub prompt)"),
    Failure(
        _p(r"^error: .*(?:not found|no such|unknown filesystem)[\s\S]*Press any key"), "GRUB did not find what to load"
    ),
    Failure(_p(r"Gave up waiting for (?:root file system|root) device"), _NO_ROOT),
    Failure(_p(r"ALERT!\s+\S+ does not exist"), _NO_ROOT),
    Failure(_p(r"dracut-initqueue\S*: Warning: Could not boot"), _DRACUT),
    Failure(_p(r"Warning: /dev/\S+ does not exist"), _DRACUT),
    Failure(_p(r"^dracut:/#"), _DRACUT),
    Failure(_p(r"^\(initramfs\)"), "the initramfs gave up and opened a shell"),
    Failure(_p(r"VFS: Unable to mount root fs"), "the kernel could not mount the root file system"),
    Failure(_p(r"Kernel panic - not syncing"), "the kernel panicked"),
    Failure(_p(r"You are in emergency mode|Entering emergency mode"), _EMERGENCY),
    Failure(_p(r"Give root password for maintenance|Press Enter for maintenance"), _EMERGENCY),
    Failure(_p(r"INACCESSIBLE_BOOT_DEVICE|STOP: 0x0000007[Bb]"), "Windows has no driver for the disk (0x7B)"),
)


def find_failure(text: str) -> Failure | None:
    """The first failure in the list that the text shows."""
    return next((failure for failure in FAILURES if failure.pattern.search(text)), None)
