"""A Debian cloud guest with the real cloud-init: what reads our seeds as users' images do.

`python -m tests.guests.cloud OUT.raw` or `await build()`. BIOS, GRUB, Debian's cloud kernel, cloud-init 22.4 with
ifupdown. Built once (about two minutes), kept in the cache. Needs root, mmdebstrap and what `disk` needs.
"""

import argparse
import asyncio
import tempfile
import uuid
from pathlib import Path

from tests.guests import debian, disk

from isthmus.lib import run

SUITE = "bookworm"
PACKAGES = (
    "linux-image-cloud-amd64", "initramfs-tools", "systemd-sysv", "udev", "dbus", "kmod", "zstd", "iproute2", "netbase",
    "login", "cloud-init", "ifupdown", "isc-dhcp-client", "qemu-guest-agent",
)  # fmt: skip
SIZE = "1200M"
SOURCES = ("cloud.py", "cloud-setup.sh", "debian.py", "disk.py")
GRUB_CONFIG = """serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
linux /boot/vmlinuz root=UUID={identity} ro console=tty0 console=ttyS0 mitigations=off random.trust_cpu=on
initrd /boot/initrd.img
boot
"""


async def build() -> Path:
    """The raw disk in the cache. Do not write to it."""
    key = debian.digest((SUITE, PACKAGES, SIZE, GRUB_CONFIG), *SOURCES)
    place = debian.cache() / f"cloud-{key}.raw"
    if place.exists():
        return place
    say = debian.teller("cloud guest")
    archive = await debian.build_system(SUITE, PACKAGES, say)
    async with debian.unpacked(archive) as tree:
        say("configuring it")
        await debian.run_in(tree, "cloud-setup.sh", {})
        identity = str(uuid.uuid5(uuid.NAMESPACE_DNS, key))
        (tree / "boot/grub").mkdir(parents=True)
        (tree / "boot/grub/grub.cfg").write_text(GRUB_CONFIG.format(identity=identity))
        say("writing the disk")
        with tempfile.TemporaryDirectory(prefix="cloud-", dir=debian.cache()) as scratch:
            draft = Path(scratch, "disk.raw")
            await disk.write_bios_disk(draft, tree, SIZE, identity, disk.FULL_MODULES)
            draft.rename(place)
    say(f"done: {place}")
    return place


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the raw disk to write (a sparse copy of the cached one)")
    arguments = parser.parse_args()
    built = asyncio.run(build())
    asyncio.run(run.run(["cp", "--sparse=always", "--reflink=auto", built, arguments.out], timeout=300))


if __name__ == "__main__":
    main()
