"""Look at an image before QEMU does. Images of strangers (container disks, imports) are looked at; all others are raw.

A qcow2 header may name other files of this host as backing or data file: such an image is refused, not followed.
Source: QEMU, docs/interop/qcow2.txt.
"""

import json
import os
import stat
import struct
from pathlib import Path

from isthmus.engine.node.vm.errors import MachineError
from isthmus.engine.node.vm.machine import Image
from isthmus.lib import run

MAGIC = b"QFI\xfb"
HEADER = struct.Struct(">4sIQIIQIIQQIIQ")
INCOMPATIBLE = struct.Struct(">Q")
EXTERNAL_DATA = 1 << 2
KNOWN_INCOMPATIBLE = 0b11111
MAX_DISK = 1 << 50
FOREIGN = {
    b"KDMV": "VMDK",
    b"vhdxfile": "VHDX",
    b"conectix": "VHD",
    b"\x7fELF": "an ELF program",
    b"PK\x03\x04": "a ZIP archive",
}

CONVERTIBLE = (
    (0, b"KDMV", "vmdk"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"conectix", "vpc"),
    (64, b"\x7f\x10\xda\xbe", "vdi"),
)
VMDK_DESCRIPTOR = b"# Disk DescriptorFile"


class ImageRefusedError(MachineError):
    """The image is not one that a machine may be given."""

    reason = "InvalidImage"


def find_format(header: bytes, name: str) -> str:
    """`qcow2` or `raw`, from the first 112 bytes. Raises ImageRefusedError."""
    for magic, what in FOREIGN.items():
        if header.startswith(magic):
            raise ImageRefusedError(f"{name} is {what}; a container disk must be raw or qcow2")
    if not header.startswith(MAGIC):
        return "raw"
    if len(header) < 112:
        raise ImageRefusedError(f"{name}: its qcow2 header is cut short")
    _, version, backing, _, cluster_bits, size, encryption, *_ = HEADER.unpack_from(header)
    (features,) = INCOMPATIBLE.unpack_from(header, 72) if version >= 3 else (0,)
    problems = (
        (version not in (2, 3), f"its qcow2 version is {version}, 2 and 3 are known"),
        (backing != 0, "it names a backing file, which is not followed"),
        (bool(features & EXTERNAL_DATA), "it keeps its data in another file, which is not followed"),
        (bool(features & ~KNOWN_INCOMPATIBLE), f"it needs features that are unknown ({features:#x})"),
        (encryption != 0, "it is encrypted"),
        (not 9 <= cluster_bits <= 21, f"its cluster size 2^{cluster_bits} is impossible"),
        (size > MAX_DISK, f"it says that its disk has {size} bytes"),
    )
    for wrong, why in problems:
        if wrong:
            raise ImageRefusedError(f"{name}: {why}")
    return "qcow2"


def find_any_format(header: bytes, name: str) -> str:
    """As `find_format`, but with the formats that are converted before a machine gets them: qemu-img's name of it.

    Raises ImageRefusedError for what is no image, or lies in several files. `look_into` has the last word.
    """
    if header.startswith(VMDK_DESCRIPTOR):
        raise ImageRefusedError(
            f"{name} is a VMDK descriptor, whose data lie in other files; give a sparse or stream one"
        )
    for offset, magic, kind in CONVERTIBLE:
        if header[offset : offset + len(magic)] == magic:
            if kind == "vmdk" and header[12:20] == bytes(8):
                raise ImageRefusedError(f"{name} is a VMDK whose data lie in other files")
            return kind
    return find_format(header, name)


async def look_into(path: Path, kind: str) -> int:
    """The size of the disk in an image. Raises ImageRefusedError if it cannot be read or refers to other files."""
    try:
        done = await run.run(["qemu-img", "info", "-f", kind, "--output=json", path], timeout=60)
    except run.CommandError as error:
        raise ImageRefusedError(f"qemu-img cannot read the image as {kind}: {error}") from error
    told = json.loads(done.stdout)
    extents = ((told.get("format-specific") or {}).get("data") or {}).get("extents") or []
    foreign = [e["filename"] for e in extents if Path(e["filename"]).name != path.name]
    foreign += [told[key] for key in ("backing-filename", "data-file") if told.get(key)]
    if foreign:
        raise ImageRefusedError(f"the image refers to another file ({foreign[0]}), which is not followed")
    return int(told["virtual-size"])


def supports_direct(path: Path) -> bool:
    """Whether the file can be opened with O_DIRECT."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def look_at(path: Path, *, trusted_raw: bool = True, read_only: bool = False) -> Image:
    """The image at `path`. Raises ImageRefusedError if it is absent, no disk at all, or refused by its header."""
    try:
        status = path.stat()
    except OSError as error:
        raise ImageRefusedError(f"{path.name}: {error.strerror}") from error
    block = stat.S_ISBLK(status.st_mode)
    if not block and not stat.S_ISREG(status.st_mode):
        raise ImageRefusedError(f"{path.name} is neither a file nor a block device")
    kind = "raw"
    if not trusted_raw:
        with path.open("rb") as file:
            kind = find_format(file.read(112), path.name)
    return Image(
        path=path,
        format="qcow2" if kind == "qcow2" else "raw",
        block_device=block,
        direct=supports_direct(path),
        preallocated=not block and status.st_size > 0 and status.st_blocks * 512 >= status.st_size,
        read_only=read_only,
    )
