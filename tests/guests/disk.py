"""Write a tree as a BIOS-bootable disk: MBR, one ext4 partition, GRUB in the MBR and the gap behind it.

No loop device and no mount: mke2fs fills the file system from the tree, grub-mkimage makes GRUB's core, and it is put
where grub-bios-setup would put it (boot.img in sector 0 around the partition table, core.img from sector 1 on).
"""

import tempfile
from pathlib import Path

from isthmus.lib import run

SECTOR = 512
FIRST_SECTOR = 2048
GRUB = Path("/usr/lib/grub/i386-pc")
CORE_MODULES = ("biosdisk", "part_msdos", "ext2")
FULL_MODULES = (*CORE_MODULES, "normal", "linux", "serial", "terminal")
_TABLE = slice(440, 510)  # disk signature and partition table
_DRIVE_CHECK = slice(0x66, 0x68)  # boot.S boot_drive_check: a jump that grub-bios-setup turns into NOPs on hard disks


async def write_bios_disk(
    out: Path, tree: Path, size: str, identity: str, modules: tuple[str, ...] = CORE_MODULES
) -> None:
    """Write `tree` to the raw disk `out` of `size` (e.g. "1G"), the file system with the UUID `identity`.

    GRUB's core has `modules`; with CORE_MODULES it takes the others from the tree's /boot/grub/i386-pc.
    """
    await run.run(["truncate", "--size", size, out])
    await run.run(["sfdisk", "--quiet", out], stdin=f"label: dos\nstart={FIRST_SECTOR}, type=83, bootable\n".encode())
    kibibytes = (out.stat().st_size - FIRST_SECTOR * SECTOR) // 1024
    await run.run(
        ["mke2fs", "-q", "-F", "-t", "ext4", "-L", "root", "-U", identity, "-E", f"offset={FIRST_SECTOR * SECTOR}",
         "-O", "^metadata_csum_seed", "-d", tree, out, f"{kibibytes}k"],
        timeout=300,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        core = Path(scratch, "core.img")
        own = tree / GRUB.relative_to("/")  # core and modules must be of one version: the guest's, if it brings GRUB
        grub = own if own.exists() else GRUB
        argv = ["grub-mkimage", "-d", grub, "-O", "i386-pc", "-p", "(,msdos1)/boot/grub", "-o", core, *modules]
        await run.run(argv)
        install_grub(out, (grub / "boot.img").read_bytes(), core.read_bytes())


def install_grub(disk: Path, boot: bytes, core: bytes) -> None:
    """Put GRUB into the disk's first sectors; the partition table stays. Raises ValueError if the gap is too small."""
    if len(core) > (FIRST_SECTOR - 1) * SECTOR:
        raise ValueError(f"GRUB's core of {len(core)} bytes does not fit before sector {FIRST_SECTOR}")
    with disk.open("r+b") as image:
        first = bytearray(boot)
        first[_TABLE] = image.read(SECTOR)[_TABLE]
        first[_DRIVE_CHECK] = b"\x90\x90"
        image.seek(0)
        image.write(first + core)
