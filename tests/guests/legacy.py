"""A real legacy guest: Debian 12 as it ran on VMware, which boots from SATA and not from virtio.

`python -m tests.guests.legacy OUT.raw [--config KEY=VALUE]` or `build(...)`. MBR, ext4, GRUB in the MBR, root by
/dev/sda1 in fstab, an initramfs without virtio, a static address on ens192, open-vm-tools. The system comes from
mmdebstrap (cached), the disk from mke2fs -d, sfdisk and grub-mkimage: no loop device and no mount is used.
Needs root, mmdebstrap, e2fsprogs, fdisk, grub-common, grub-pc-bin.
"""

import argparse
import asyncio
import hashlib
import os
import shutil
import sys
import tempfile
import time
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.guests import disk

from isthmus.lib import run

HERE = Path(__file__).parent
SUITE = "bookworm"
PACKAGES = (
    "linux-image-amd64", "systemd-sysv", "udev", "dbus", "kmod", "initramfs-tools", "zstd", "grub-pc", "iproute2",
    "iputils-ping", "ifupdown", "netbase", "login", "open-vm-tools",
)  # fmt: skip
# What no virtual machine has drivers for; the rest is Debian's kernel package as it is.
UNUSED_DRIVERS = (
    "gpu", "media", "infiniband", "staging", "iio", "usb", "net/wireless", "net/ethernet/mellanox",
    "net/ethernet/chelsio", "net/ethernet/qlogic", "scsi/lpfc", "scsi/qla2xxx", "bluetooth", "isdn", "hwmon", "mtd",
    "hid", "input/touchscreen", "gnss", "comedi", "thunderbolt",
)  # fmt: skip
UNUSED_MODULES = ("sound", "net/bluetooth", "net/mac80211", "net/wireless", "fs/ocfs2", "fs/ceph")
UNUSED = (
    *(f"/usr/share/{name}/*" for name in ("man", "doc", "locale", "info")),
    *(f"/lib/modules/*/kernel/drivers/{name}/*" for name in UNUSED_DRIVERS),
    *(f"/lib/modules/*/kernel/{name}/*" for name in UNUSED_MODULES),
)
PASSWORD = "isthmus"


DRACUT_PACKAGES = tuple("dracut" if name == "initramfs-tools" else name for name in PACKAGES)


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

    @property
    def key(self) -> str:
        """Changes with the recipe and with the code that follows it."""
        digest = hashlib.sha256(repr(sorted(asdict(self).items())).encode())
        for source in ("legacy.py", "disk.py", "legacy-setup.sh", "grub-probe.sh"):
            digest.update((HERE / source).read_bytes())
        return digest.hexdigest()[:16]


def cache() -> Path:
    """Where built guests are kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    place = (Path(base) if base else Path.home() / ".cache") / "isthmus" / "guests"
    place.mkdir(parents=True, exist_ok=True)
    return place


async def build(recipe: Recipe | None = None) -> Path:
    """The raw disk in the cache, built if it is not there. Do not write to it: take an overlay or a copy."""
    recipe = recipe or Recipe()
    place = cache() / f"legacy-{recipe.key}.raw"
    if place.exists():
        return place
    began = time.monotonic()

    def say(step: str) -> None:
        print(f"legacy guest: {time.monotonic() - began:5.1f} s  {step}", file=sys.stderr, flush=True)

    archive = await _build_system(recipe, say)
    with tempfile.TemporaryDirectory(prefix="legacy-", dir=cache()) as scratch:
        tree, draft = Path(scratch, "root"), Path(scratch, "disk.raw")
        tree.mkdir()
        say("unpacking the system")
        await run.run(["tar", "-xpf", archive, "-C", tree, "--xattrs", "--numeric-owner"], timeout=300)
        identity = str(uuid.uuid5(uuid.NAMESPACE_DNS, recipe.key))
        say("configuring it")
        await _configure(recipe, tree, identity)
        say("writing the disk")
        await disk.write_bios_disk(draft, tree, recipe.size, identity)
        draft.rename(place)
    say(f"done: {place} ({place.stat().st_blocks * 512 >> 20} MiB on disk)")
    return place


async def _build_system(recipe: Recipe, say) -> Path:
    """Debian with the recipe's packages, as a tar in the cache."""
    inputs = repr((SUITE, sorted(recipe.packages), UNUSED))
    place = cache() / f"debian-{hashlib.sha256(inputs.encode()).hexdigest()[:16]}.tar"
    if place.exists():
        return place
    say(f"installing {len(recipe.packages)} packages of {SUITE} (about a minute)")
    draft = place.with_name(f".{os.getpid()}-{place.name}")
    exclude = [f"--dpkgopt=path-exclude={pattern}" for pattern in UNUSED]
    try:
        # mmdebstrap mounts in a namespace of its own. The initramfs is made once, after the configuration.
        await run.run(
            [
                *("mmdebstrap", "--variant=minbase", "--mode=root", "--components=main"),
                f"--include={','.join(recipe.packages)}",
                '--aptopt=APT::Install-Recommends "false"',
                *("--dpkgopt=force-unsafe-io", *exclude),
                '--essential-hook=ln -sf /bin/true "$1/usr/local/sbin/update-initramfs"',
                '--customize-hook=rm "$1/usr/local/sbin/update-initramfs"',
                *(SUITE, draft),
            ],
            timeout=900,
        )
        draft.rename(place)
    finally:
        draft.unlink(missing_ok=True)
    return place


async def _configure(recipe: Recipe, tree: Path, identity: str) -> None:
    """Run legacy-setup.sh in a chroot with its own mounts; what it cannot know comes by the environment."""
    for script in ("legacy-setup.sh", "grub-probe.sh"):
        shutil.copy(HERE / script, tree / "tmp" / script)
    values = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOSTNAME": recipe.hostname, "INTERFACE": recipe.interface, "ADDRESS": recipe.address,
        "GATEWAY": recipe.gateway, "PASSWORD": PASSWORD, "ROOT_UUID": identity,
        "ROOT_BY_NAME": "yes" if recipe.root_by_name else "", "BUILDER": recipe.builder,
    }  # fmt: skip
    # A mount namespace of its own: nothing is left mounted whatever happens.
    await run.run(
        [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-e",
            HERE / "chroot.sh",
            tree,
            "/tmp/legacy-setup.sh",
        ],
        env=values,
        timeout=300,
    )
    for script in ("legacy-setup.sh", "grub-probe.sh"):
        (tree / "tmp" / script).unlink()


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
