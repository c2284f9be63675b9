"""A real legacy guest: Debian 12 as it ran on VMware, which boots from SATA and not from virtio.

`python -m tests.guests.legacy OUT.raw [--hostname NAME] [--root-by-name]` or `build(...)`. MBR, ext4, GRUB in the MBR,
root by /dev/sda1 in fstab, an initramfs without virtio, a static address on ens192, open-vm-tools. The disk comes from
mke2fs -d, sfdisk and grub-mkimage: no loop device and no mount is used, and it takes seconds where `varied` takes
minutes. Needs root, mmdebstrap, e2fsprogs, fdisk, grub-common, grub-pc-bin.
"""

import argparse
import asyncio
import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from tests.guests import debian, disk

from isthmus.lib import run

SUITE = "bookworm"
PACKAGES = (*debian.BASE, "ifupdown", "initramfs-tools", "grub-pc")
DRACUT_PACKAGES = tuple("dracut" if name == "initramfs-tools" else name for name in PACKAGES)
SOURCES = ("legacy.py", "debian.py", "disk.py", "setup.sh", "legacy-grub.sh", "grub-probe.sh", "chroot.sh")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What may differ between legacy guests. `root_by_name` also puts root=/dev/sda1 on the kernel's command line."""

    hostname: str = "legacy"
    interface: str = "ens192"
    address: str = "192.168.50.10/24"
    gateway: str = "192.168.50.1"
    size: str = "1G"
    root_by_name: bool = False
    builder: str = "initramfs-tools"
    packages: tuple[str, ...] = field(default=PACKAGES)


async def build(recipe: Recipe | None = None) -> Path:
    """The raw disk in the cache, built if it is not there. Do not write to it: take an overlay or a copy."""
    recipe = recipe or Recipe()
    key = debian.digest(recipe, *SOURCES)
    place = debian.cache() / f"legacy-{key}.raw"
    if place.exists():
        return place
    say = debian.teller("legacy guest")
    archive = await debian.build_system(SUITE, recipe.packages, say)
    say("unpacking the system")
    async with debian.unpacked(archive) as tree:
        identity = str(uuid.uuid5(uuid.NAMESPACE_DNS, key))
        say("configuring it")
        await debian.run_in(tree, "setup.sh", _values(recipe))
        await debian.run_in(tree, "legacy-grub.sh", {"ROOT_UUID": identity}, ["grub-probe.sh"])
        say("writing the disk")
        with tempfile.TemporaryDirectory(prefix="legacy-", dir=debian.cache()) as scratch:
            draft = Path(scratch, "disk.raw")
            await disk.write_bios_disk(draft, tree, recipe.size, identity)
            draft.rename(place)
    say(f"done: {place} ({place.stat().st_blocks * 512 >> 20} MiB on disk)")
    return place


def _values(recipe: Recipe) -> dict[str, str]:
    return {
        "HOSTNAME": recipe.hostname, "NETWORK": "ifupdown", "INTERFACE": recipe.interface, "ADDRESS": recipe.address,
        "GATEWAY": recipe.gateway, "BUILDER": recipe.builder, "FSTAB": "/dev/sda1 / ext4 errors=remount-ro 0 1",
        "GRUB_MORE": "GRUB_DISABLE_LINUX_UUID=true" if recipe.root_by_name else "",
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the raw disk to write (a sparse copy of the cached one)")
    parser.add_argument("--hostname", default="legacy")
    parser.add_argument("--root-by-name", action="store_true", help="root=/dev/sda1 on the kernel's command line too")
    arguments = parser.parse_args()
    recipe = Recipe(hostname=arguments.hostname, root_by_name=arguments.root_by_name)
    built = asyncio.run(build(recipe))
    asyncio.run(run.run(["cp", "--sparse=always", "--reflink=auto", built, arguments.out], timeout=300))


if __name__ == "__main__":
    main()
