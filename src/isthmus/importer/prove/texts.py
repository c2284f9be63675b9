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


FIRMWARE = (_p(r"SeaBIOS \(version[^)]*\)"), _p(r"Booting from Hard Disk"), _p(r"BdsDxe: (?:loading|starting) Boot\w+.*"))
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


FAILURES = (
    Failure(_p(r"No bootable device"), "the firmware found no disk that it could boot from"),
    Failure(_p(r"BdsDxe: (?:failed to load|No bootable option)"), "the firmware found no disk that it could boot from"),
    Failure(_p(r"Shell> *$"), "the firmware found nothing to boot and opened its own shell"),
    Failure(_p(r"^grub rescue>"), "GRUB did not find its files (grub rescue)"),
    Failure(_p(r"^grub> "), "GRUB found no configuration (grub prompt)"),
    Failure(_p(r"error: (?:disk|no such device|unknown filesystem|file) .*not found"), "GRUB did not find what it should load"),
    Failure(_p(r"Gave up waiting for root file system device"), "the kernel did not find the root disk: its initramfs lacks the driver, or the root's name has changed"),
    Failure(_p(r"ALERT!\s+\S+ does not exist"), "the kernel did not find the root disk: its initramfs lacks the driver, or the root's name has changed"),
    Failure(_p(r"Entering emergency mode\. Exit the shell|dracut-initqueue.*timeout.*(?:starting timeout scripts)?.*\n.*Could not boot"), "the initramfs (dracut) could not find or mount the root file system"),
    Failure(_p(r"Warning: /dev/\S+ does not exist"), "the initramfs (dracut) could not find the root file system"),
    Failure(_p(r"^\(initramfs\)"), "the initramfs gave up and opened a shell"),
    Failure(_p(r"VFS: Unable to mount root fs"), "the kernel could not mount the root file system"),
    Failure(_p(r"Kernel panic - not syncing: ?.*"), "the kernel panicked"),
    Failure(_p(r"You are in emergency mode"), "systemd gave up and opened emergency mode: a file system in fstab could not be mounted"),
    Failure(_p(r"Give root password for maintenance|Press Enter for maintenance"), "the system gave up and asks for maintenance"),
    Failure(_p(r"INACCESSIBLE_BOOT_DEVICE|STOP: 0x0000007[Bb]"), "Windows has no driver for the disk (0x7B)"),
)  # fmt: skip


def find_failure(text: str) -> Failure | None:
    """The first failure in the list that the text shows."""
    return next((failure for failure in FAILURES if failure.pattern.search(text)), None)
