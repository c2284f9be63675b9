"""Build the conversion appliance as an OCI archive: `python -m isthmus.importer.appliance.build OUT.tar`.

The image `isthmus.dev/appliance` has /boot/vmlinuz and /boot/initrd, which a VirtualMachineInstance names in its
kernelBoot. It is made of Debian's packages (cloud kernel, busybox, LVM, blkid) and of the scripts in guest/, without
root and without installing anything; the same inputs are built once and then taken from the cache.
"""

import asyncio
import contextlib
import importlib.resources
import lzma
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from isthmus.codec import cpio, ociarchive
from isthmus.importer.appliance import elf, image, packages

PROGRAMS = {"lvm2": "sbin/lvm", "util-linux": "sbin/blkid"}
LABELLER = ("attr", "usr/bin/setfattr")
MODULES = (
    "virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod", "ext4", "xfs", "btrfs", "vfat", "nls_cp437", "nls_ascii",
    "dm_mod", "dm_snapshot", "dm_thin_pool", "dm_mirror",
)  # fmt: skip


async def build(out: Path) -> str:
    """Write the appliance's archive to `out`; the manifest's digest. Raises CommandError, ElfError."""
    kernel, initrd = await build_boot_files()
    about = ociarchive.Image(image.REFERENCE, {"org.opencontainers.image.title": "Isthmus conversion appliance"})
    draft = out.with_name(f".{os.getpid()}-{out.name}")
    try:
        with contextlib.ExitStack() as stack:
            members = [
                ociarchive.Member(name.lstrip("/"), stack.enter_context(file.open("rb")), file.stat().st_size)
                for name, file in ((image.KERNEL_PATH, kernel), (image.INITRD_PATH, initrd))
            ]
            archive = stack.enter_context(draft.open("wb"))
            scratch = stack.enter_context(tempfile.TemporaryFile(dir=out.parent))
            digest = ociarchive.write(archive, about, members, scratch)
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
    return digest


async def build_boot_files() -> tuple[Path, Path]:
    """(kernel, initrd) of the appliance in the cache, built if they are not there."""
    kernel_package = await packages.find_kernel()
    dynamic = (*PROGRAMS, LABELLER[0])
    names = sorted({kernel_package, "busybox-static", *dynamic, *await packages.find_libraries(dynamic)})
    inputs = await packages.resolve(names)
    sources = (Path(module.__file__).read_bytes() for module in (sys.modules[__name__], elf, cpio) if module.__file__)
    recipe = (*sources, *(data for _, data in _scripts()))
    place = packages.cache_root() / f"appliance-{packages.key(repr(sorted(inputs.items())), *recipe)}"
    if not place.exists():
        async with packages.unpacked(names) as root:
            _write_boot_files(root, place)
    return place / "vmlinuz", place / "initrd"


def _write_boot_files(root: Path, place: Path) -> None:
    """All or nothing: the place appears when both files are complete."""
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    try:
        shutil.copyfile(next((root / "boot").glob("vmlinuz-*")), draft / "vmlinuz")
        (draft / "initrd").write_bytes(cpio.archive(_initrd(root)))
        draft.rename(place)
    except OSError:
        if not place.exists():  # someone else's build may have won, which is as good
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _initrd(root: Path) -> Iterator[cpio.Entry]:
    for name, data in _scripts():
        if name == "init":
            yield cpio.file("init", data, executable=True)
        else:
            yield cpio.file(f"isthmus/{name}", data)
    yield cpio.file("isthmus/busybox", (root / "bin/busybox").read_bytes(), executable=True)
    for program in PROGRAMS.values():
        yield from program_entries(root, root / program, "sbin")
    # In the chroot there is no /lib of ours: its loader is called by name, with this folder as library path.
    yield from program_entries(root, root / LABELLER[1], "isthmus/lib", libraries="isthmus/lib")
    yield from module_entries(next((root / "lib/modules").iterdir()), MODULES)


def program_entries(root: Path, program: Path, folder: str, libraries: str = "") -> Iterator[cpio.Entry]:
    """The program in `folder` and its libraries where the loader looks, or all of them in the folder `libraries`."""
    yield cpio.file(f"{folder}/{program.name}", program.read_bytes(), executable=True)
    for target, library in elf.closure(root, program):
        place = f"{libraries}/{Path(target).name}" if libraries else target
        yield cpio.file(place, library.read_bytes(), executable=True)


def module_entries(tree: Path, wanted: tuple[str, ...]) -> Iterator[cpio.Entry]:
    """The modules and /modules/order: lines "NAME NEEDS..." with the needs in the order of loading."""
    modules = {module_name(path): _module(path) for path in sorted(tree.rglob("*.ko*"))}
    order = dict(module_order(modules, wanted))
    for name in sorted(order.keys() | {need for needs in order.values() for need in needs}):
        yield cpio.file(f"modules/{name}.ko", modules[name])
    lines = [" ".join((name, *needs)) for name, needs in order.items()]
    yield cpio.file("modules/order", ("\n".join(lines) + "\n").encode())


def _module(path: Path) -> bytes:
    """A module as the kernel takes it. From Debian 13 on they are compressed."""
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


def module_name(path: Path) -> str:
    """The name that the kernel has for a module's file."""
    return path.name.split(".")[0].replace("-", "_")


def module_order(modules: dict[str, bytes], wanted: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    """(module, what to load before it, in order) for each wanted module that is not built into the kernel."""
    for name in wanted:
        if name in modules:
            needs: dict[str, None] = {}
            _add_needs(modules, name, needs)
            needs.pop(name)
            yield name, list(needs)


def _add_needs(modules: dict[str, bytes], name: str, into: dict[str, None]) -> None:
    """Depth first by the module's own `depends=`, `softdep=pre:` (modinfo); built-in ones are no files."""
    found = re.search(rb"\0depends=([^\0]*)\0", modules[name])
    names = found.group(1).decode().split(",") if found else []
    for soft in re.findall(rb"\0softdep=pre: ([^\0]*)\0", modules[name]):
        names += soft.decode().split()
    for need in (other.replace("-", "_") for other in names if other):
        if need in modules and need not in into:
            _add_needs(modules, need, into)
    into[name] = None


def _scripts() -> list[tuple[str, bytes]]:
    folder = importlib.resources.files(__package__) / "guest"
    return sorted((item.name, item.read_bytes()) for item in folder.iterdir() if item.is_file())


def main() -> None:
    """The command: one argument, the archive to write."""
    if len(sys.argv) != 2:
        print("usage: python -m isthmus.importer.appliance.build OUT.tar", file=sys.stderr)  # noqa: T201
        raise SystemExit(2)
    digest = asyncio.run(build(Path(sys.argv[1])))
    print(f"{image.REFERENCE}@{digest}")  # noqa: T201


if __name__ == "__main__":
    main()
