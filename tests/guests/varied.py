"""Real guests of many shapes, all as they ran on VMware: the conversion's matrix.

`python -m tests.guests.varied NAME...` builds those of `MATRIX` into the cache (all of them without a name). The tree
is made as for `legacy`; libguestfs' appliance partitions the disk, makes the file systems and volumes, and lets the
guest's own grub-install and grub-mkconfig do their work on it. Needs root, mmdebstrap, libguestfs-tools and
libguestfs-xfs.
"""

import asyncio
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.guests import debian

from isthmus.lib import run

SIZE = "2G"
SCRIPTS = ("setup.sh", "varied-finish.sh", "chroot.sh")
DISK_SECONDS = 900
ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"  # the GPT's type of an EFI system partition
# GRUB of Debian 11 does not know the first, its kernel not the second.
EXT4 = "mkfs ext4 {device} features:^metadata_csum_seed,^orphan_file"

TOOLS = {"xfs": ("xfsprogs",), "btrfs": ("btrfs-progs",), "ext4": ("e2fsprogs",)}
NETWORKS = {
    "ifupdown": ("ifupdown",),
    "NetworkManager": ("network-manager",),
    "netplan": ("netplan.io",),
    "systemd-networkd": (),
}
LOADERS = {"bios": "grub-pc", "uefi": "grub-efi-amd64"}


@dataclass(frozen=True, slots=True)
class Recipe:
    """One guest. `filesystem` is the root's, `lvm` puts it on a logical volume with an ext4 /boot beside.

    `saved` has GRUB start the entry that grubenv names, in a submenu. `subvolume` is the root's on btrfs.
    """

    name: str
    suite: str = "bookworm"
    filesystem: str = "ext4"
    lvm: bool = False
    subvolume: str = ""
    builder: str = "initramfs-tools"
    network: str = "ifupdown"
    firmware: str = "bios"
    saved: bool = False
    interface: str = "ens192"
    address: str = "192.168.50.10/24"
    gateway: str = "192.168.50.1"

    @property
    def packages(self) -> tuple[str, ...]:
        """What is installed."""
        more = ("lvm2",) if self.lvm else ()
        tools = (*TOOLS[self.filesystem], *NETWORKS[self.network], *more)
        return (*debian.BASE, self.builder, LOADERS[self.firmware], *tools)


MATRIX = {
    recipe.name: recipe
    for recipe in (
        Recipe("xfs", filesystem="xfs", network="NetworkManager"),
        Recipe("lvm", lvm=True, network="netplan", saved=True),
        Recipe(
            "btrfs", filesystem="btrfs", subvolume="@rootfs", builder="dracut", network="systemd-networkd",
            firmware="uefi",
        ),
        Recipe("lvm-xfs", lvm=True, filesystem="xfs", builder="dracut", network="NetworkManager", firmware="uefi"),
        Recipe("bullseye", suite="bullseye"),
        Recipe("trixie", suite="trixie", network="systemd-networkd", firmware="uefi", saved=True),
    )
}  # fmt: skip


async def build(recipe: Recipe) -> Path:
    """The raw disk in the cache, built if it is not there. Do not write to it: take an overlay or a copy."""
    key = debian.digest((recipe, recipe.packages, _script(recipe, Path())), *SCRIPTS)
    place = debian.cache() / f"{recipe.name}-{key}.raw"
    if place.exists():
        return place
    say = debian.teller(f"guest {recipe.name}")
    archive = await debian.build_system(recipe.suite, recipe.packages, say)
    with tempfile.TemporaryDirectory(prefix=f"{recipe.name}-", dir=debian.cache()) as scratch:
        system, draft = Path(scratch, "system.tar"), Path(scratch, "disk.raw")
        async with debian.unpacked(archive) as tree:
            say("configuring it")
            await debian.run_in(tree, "setup.sh", _values(recipe))
            (tree / "finish.sh").write_bytes((debian.HERE / "varied-finish.sh").read_bytes())
            await run.run(
                ["tar", "-cf", system, "-C", tree, "--xattrs", "--numeric-owner", "."], timeout=debian.STEP_SECONDS
            )
        say("writing the disk in libguestfs' appliance (one to two minutes)")
        await run.run(["truncate", "--size", SIZE, draft])
        settings = {"LIBGUESTFS_BACKEND": "direct", "LIBGUESTFS_BACKEND_SETTINGS": "force_tcg"}
        script = "\n".join(_script(recipe, system)) + "\n"
        await run.run(
            ["nice", "guestfish", "--format=raw", "-a", draft],
            stdin=script.encode(),
            env={**os.environ, **settings},
            timeout=DISK_SECONDS,
        )
        draft.rename(place)
    say(f"done: {place} ({place.stat().st_blocks * 512 >> 20} MiB on disk)")
    return place


def _values(recipe: Recipe) -> dict[str, str]:
    return {
        "HOSTNAME": recipe.name, "NETWORK": recipe.network, "INTERFACE": recipe.interface, "ADDRESS": recipe.address,
        "GATEWAY": recipe.gateway, "BUILDER": recipe.builder, "FSTAB": "",
        "GRUB_MORE": "GRUB_DEFAULT=saved" if recipe.saved else "",
    }  # fmt: skip


def _script(recipe: Recipe, system: Path) -> list[str]:
    """What guestfish shall do. Partitions: EFI system partition (UEFI), /boot (LVM), root or physical volume."""
    uefi = recipe.firmware == "uefi"
    lines = ["run", f"part-init /dev/sda {'gpt' if uefi else 'mbr'}"]
    number, sector = 0, 2048
    places: dict[str, str] = {}
    for role, mebibytes, wanted in (("efi", 64, uefi), ("boot", 256, recipe.lvm)):
        if wanted:
            number += 1
            places[role] = f"/dev/sda{number}"
            lines.append(f"part-add /dev/sda p {sector} {sector + mebibytes * 2048 - 1}")
            sector += mebibytes * 2048
    root = f"/dev/sda{number + 1}"
    lines.append(f"part-add /dev/sda p {sector} -2048")
    if uefi:
        lines += [f"part-set-gpt-type /dev/sda 1 {ESP}", f"mkfs vfat {places['efi']} label:ESP"]
    if recipe.lvm:
        lines += [
            f"pvcreate {root}",
            f"vgcreate vg0 {root}",
            "lvcreate root vg0 1500",
            EXT4.format(device=places["boot"]),
        ]
        root = "/dev/vg0/root"
    lines += _root(recipe, root)
    for role, place in (("boot", "/boot"), ("efi", "/boot/efi")):
        if role in places:
            lines += [f"mkdir-p {place}", f"mount {places[role]} {place}"]
    values = f"ROOT={root} BOOT={places.get('boot', '')} EFI={places.get('efi', '')} TYPE={recipe.filesystem}"
    values += f" SUBVOLUME={recipe.subvolume} SAVED={'yes' if recipe.saved else ''}"
    return [*lines, f"tar-in {system} / xattrs:true", f'sh "{values} sh -e /finish.sh"', "rm /finish.sh", "umount-all"]


def _root(recipe: Recipe, device: str) -> list[str]:
    if recipe.filesystem == "ext4":
        return [EXT4.format(device=device), f"mount {device} /"]
    made = [f"mkfs {recipe.filesystem} {device}", f"mount {device} /"]
    if not recipe.subvolume:
        return made
    subvolume = recipe.subvolume
    return [*made, f"btrfs-subvolume-create /{subvolume}", "umount /", f"mount-options subvol={subvolume} {device} /"]


async def _build_all(names: list[str]) -> None:
    for name in names or list(MATRIX):
        await build(MATRIX[name])


if __name__ == "__main__":
    asyncio.run(_build_all(sys.argv[1:]))
