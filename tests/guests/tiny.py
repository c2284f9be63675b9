"""A tiny guest that boots in seconds under emulation: Debian's cloud kernel, busybox, the real QEMU guest agent.

`python -m tests.guests.tiny DIRECTORY` writes vmlinuz, initrd, disk.raw (BIOS, GRUB; also a place to write: its file
system is mounted on /disk) and containerdisk.tar (an OCI archive with /disk/disk.img, reference isthmus.test/tiny).
Log in on the serial port as root, without a password. Needs no root; apt-get, dpkg, e2fsprogs, fdisk, grub-common,
grub-pc-bin.
"""

import argparse
import asyncio
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.guests import disk

from isthmus.codec import cpio, ociarchive
from isthmus.importer.appliance import build as appliance
from isthmus.importer.appliance import packages

HERE = Path(__file__).parent
REFERENCE = "isthmus.test/tiny:latest"
DISK_SIZE = "64M"
KERNEL_ARGS = "console=tty0 console=ttyS0 quiet mitigations=off random.trust_cpu=on"
MODULES = (
    "virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod", "sr_mod", "isofs", "virtio_net", "virtio_console",
    "virtio_balloon", "virtio_rng", "virtio_mem", "virtiofs", "ext4", "button", "evdev",
)  # fmt: skip
GRUB_CONFIG = f"""serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
linux /boot/vmlinuz {KERNEL_ARGS}
initrd /boot/initrd
boot
"""
KUBEVIRT_OWNER = 107  # the user of QEMU in KubeVirt's launcher, who must be able to read a containerDisk


@dataclass(frozen=True, slots=True)
class Guest:
    """The files of one tiny guest, in the cache: take copies or overlays to write."""

    kernel: Path
    initrd: Path
    disk: Path
    container_disk: Path


async def build(*, agent: bool = True) -> Guest:
    """The tiny guest, built once; with the guest agent, or without."""
    programs = ["qemu-guest-agent"] if agent else []
    names = {await packages.find_kernel(), "busybox-static", *programs}
    if programs:
        names |= set(await packages.find_libraries(programs))
    inputs = await packages.resolve(sorted(names))
    sources = [path.read_bytes() for path in sorted(HERE.glob("tiny*")) if path.is_file()]
    key = packages.key(repr(sorted(inputs.items())), *sources, (HERE / "disk.py").read_bytes())
    place = packages.cache_root() / "guests" / f"tiny-{key}"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="tiny-", dir=place.parent) as scratch:
            draft = Path(scratch, "guest")
            draft.mkdir()
            async with packages.unpacked(sorted(names)) as root:
                await _write(root, draft, agent=agent)
            try:
                draft.rename(place)
            except OSError:
                if not place.exists():  # another build of it was quicker
                    raise
    return Guest(place / "vmlinuz", place / "initrd", place / "disk.raw", place / "containerdisk.tar")


async def _write(root: Path, out: Path, *, agent: bool) -> None:
    shutil.copyfile(next((root / "boot").glob("vmlinuz-*")), out / "vmlinuz")
    (out / "initrd").write_bytes(cpio.archive(_initrd(root, agent=agent)))
    tree = out / "tree"
    (tree / "boot/grub").mkdir(parents=True)
    for name in ("vmlinuz", "initrd"):
        shutil.copyfile(out / name, tree / "boot" / name)
    (tree / "boot/grub/grub.cfg").write_text(GRUB_CONFIG)
    identity = str(uuid.uuid5(uuid.NAMESPACE_DNS, REFERENCE))
    await disk.write_bios_disk(out / "disk.raw", tree, DISK_SIZE, identity, disk.FULL_MODULES)
    shutil.rmtree(tree)
    write_container_disk(out / "containerdisk.tar", out / "disk.raw", REFERENCE)


def write_container_disk(out: Path, image: Path, reference: str) -> str:
    """Wrap a disk image as KubeVirt wants it (/disk/disk.img) in an OCI archive; the manifest's digest."""
    with image.open("rb") as data, out.open("wb") as archive, tempfile.TemporaryFile(dir=out.parent) as scratch:
        member = ociarchive.Member("disk/disk.img", data, image.stat().st_size, 0o440, KUBEVIRT_OWNER)
        return ociarchive.write(archive, ociarchive.Image(reference), [member], scratch)


def _initrd(root: Path, *, agent: bool) -> Iterator[cpio.Entry]:
    yield cpio.file("init", (HERE / "tiny-init").read_bytes(), executable=True)
    yield cpio.file("etc/udhcpc.script", (HERE / "tiny-udhcpc").read_bytes(), executable=True)
    yield cpio.file("etc/passwd", b"root::0:0:root:/root:/bin/sh\n")
    yield cpio.file("etc/group", b"root:x:0:\n")
    yield cpio.file("etc/issue", b"Isthmus tiny guest \\l\n")
    yield cpio.file(
        "etc/os-release", b'ID=tiny\nNAME="Isthmus tiny guest"\nPRETTY_NAME="Isthmus tiny guest 1"\nVERSION_ID="1"\n'
    )
    yield cpio.file("etc/inittab", b"::ctrlaltdel:/sbin/poweroff\n::shutdown:/bin/umount -a -r\n")
    yield cpio.directory("root")
    yield cpio.Entry("tmp", stat.S_IFDIR | 0o1777)
    yield cpio.file("bin/busybox", (root / "bin/busybox").read_bytes(), executable=True)
    if agent:
        yield from appliance.program_entries(root, root / "usr/sbin/qemu-ga", "bin")
    yield from appliance.module_entries(next((root / "lib/modules").iterdir()), MODULES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--no-agent", action="store_true")
    arguments = parser.parse_args()
    guest = asyncio.run(build(agent=not arguments.no_agent))
    arguments.out.mkdir(parents=True, exist_ok=True)
    for file in (guest.kernel, guest.initrd, guest.disk, guest.container_disk):
        shutil.copyfile(file, arguments.out / file.name)


if __name__ == "__main__":
    main()
