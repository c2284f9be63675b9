"""Makes an OVA as vSphere exports it, from raw disks.

    python tests/vmware/make_ova.py --disk disk.raw --name legacy --mac 00:50:56:aa:bb:cc --out legacy.ova

Raw disks become streamOptimized VMDKs (markers, footer), the package gets a SHA-256 manifest, everything in ustar.
"""

import argparse
import hashlib
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.vmware import ovf, vmdk


def make_ova(out: Path, machine: ovf.Machine, raws: Sequence[Path], *, digest: str = "sha256", level: int = 0) -> None:
    """Write the OVA of `machine` (whose disks are filled in from `raws`) to `out`. `digest` "" leaves the .mf out."""
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".make-ova-") as name:
        folder = Path(name)
        make_folder(folder, machine, raws, digest=digest, level=level)
        pack(out, [folder / entry for entry in order(folder)])


def make_folder(
    folder: Path, machine: ovf.Machine, raws: Sequence[Path], *, digest: str = "sha256", level: int = 0
) -> Path:
    """The same as an OVF folder: the descriptor's path. `level` is zlib's; 0 compresses with isal, fast."""
    compress = partial(zlib.compress, level=level) if level else vmdk.fast
    disks, digests = [], {}
    for number, raw in enumerate(raws, 1):
        path = folder / f"{machine.name}-disk{number}.vmdk"
        with path.open("wb") as file:
            capacity = vmdk.write_stream_optimized(raw, file, extent=path.name, compress=compress)
        disks.append(ovf.DiskFile(path.name, path.stat().st_size, capacity))
    descriptor = folder / f"{machine.name}.ovf"
    descriptor.write_bytes(ovf.descriptor(replace(machine, disks=disks)))
    if digest:
        for path in [descriptor, *(folder / disk.href for disk in disks)]:
            with path.open("rb") as file:
                digests[path.name] = hashlib.file_digest(file, digest).hexdigest()
        descriptor.with_suffix(".mf").write_text(manifest(digests, digest))
    return descriptor


def manifest(digests: dict[str, str], algorithm: str = "sha256") -> str:
    """The .mf's text."""
    return "".join(f"{algorithm.upper()}({name})= {value}\n" for name, value in digests.items())


def order(folder: Path) -> list[str]:
    """The standard's order in an OVA: descriptor, manifest, disks."""
    rank = {".ovf": 0, ".mf": 1, ".cert": 2}
    return sorted((path.name for path in folder.iterdir()), key=lambda name: (rank.get(Path(name).suffix, 3), name))


def pack(out: Path, files: Sequence[Path], *, tar_format: int = tarfile.USTAR_FORMAT) -> None:
    """The files into a tar archive, under their plain names, owned by nobody in particular."""
    with tarfile.open(out, "w", format=tar_format) as archive:
        for path in files:
            info = tarfile.TarInfo(path.name)
            info.size = path.stat().st_size
            info.uname, info.gname = "someone", "someone"
            with path.open("rb") as file:
                archive.addfile(info, file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--disk", action="append", type=Path, required=True, help="a raw disk; repeat for more")
    parser.add_argument("--name", required=True)
    parser.add_argument("--mac", action="append", default=[], help="of a network card; repeat for more")
    parser.add_argument("--network", action="append", default=[], help="that card's network (default: VM Network)")
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--cores-per-socket", type=int, default=1)
    parser.add_argument("--memory", type=int, default=512, metavar="MIB")
    parser.add_argument("--firmware", choices=("bios", "efi"), default="bios")
    parser.add_argument("--secure-boot", action="store_true")
    parser.add_argument("--os-type", default="debian10_64Guest")
    parser.add_argument("--controller", choices=sorted(ovf.CONTROLLERS), default="lsilogic")
    parser.add_argument("--digest", choices=("sha1", "sha256", "sha512", ""), default="sha256")
    parser.add_argument("--level", type=int, default=0, help="zlib's, 1 to 9; by default isal's fast one")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    networks = args.network + ["VM Network"] * (len(args.mac) - len(args.network))
    cards = [
        ovf.Card(network, mac, slot=192 + 32 * i)
        for i, (network, mac) in enumerate(zip(networks, args.mac, strict=False))
    ]
    machine = ovf.Machine(
        args.name, (), cards, args.cpus, args.cores_per_socket, args.memory, args.firmware, args.secure_boot,
        args.os_type, controller=args.controller,
    )  # fmt: skip
    make_ova(args.out, machine, args.disk, digest=args.digest, level=args.level)


if __name__ == "__main__":
    main()
