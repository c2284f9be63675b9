"""A corpus of packages made to harm, or harmed on the way: each ends in a message that names file, member and offset,
and leaves every volume as it was.
"""

import hashlib
import io
import os
import shutil
import struct
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.vmware import make_ova, vmdk

from isthmus.importer.sources.errors import SourceError

DISK = "legacy-disk1.vmdk"
OVF = "legacy.ovf"


@dataclass(frozen=True)
class Case:
    """What is done to the package's folder (`files`) or to the finished archive (`archive`), and what must be said."""

    message: str
    member: str = ""
    offset: bool = False
    files: Callable[[Path], None] | None = None
    archive: Callable[[Path], None] | None = None
    resealed: bool = True  # the manifest is made anew after `files`


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return change


def patched(offset: int, data: bytes, name: str = DISK) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with (path / name if path.is_dir() else path).open("r+b") as file:
            file.seek(offset)
            file.write(data)

    return change


def patched_text(old: bytes, new: bytes) -> Callable[[Path], None]:
    """In the descriptor within the disk."""
    return lambda folder: patched((folder / DISK).read_bytes().index(old), new)(folder)


def cut(part: float, name: str = DISK) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path = path / name if path.is_dir() else path
        with path.open("r+b") as file:
            file.truncate(int(path.stat().st_size * part))

    return change


def rewritten(data: bytes, name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(data)

    return change


def added(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> Callable[[Path], None]:
    """A member more, behind all others."""

    def change(archive: Path) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        with tarfile.open(archive, "a") as file:
            file.addfile(info, io.BytesIO())

    return change


def grain_bomb(folder: Path) -> None:
    """The first grain inflates to 8 times what a grain may have; it ends in the same sector as before."""
    bomb = zlib.compress(bytes(8 * vmdk.GRAIN), 9)[:-4]
    start = 128 * vmdk.SECTOR
    patched(start + 8, struct.pack("<I", len(bomb)) + bomb)(folder)


def moved_grain(folder: Path) -> None:
    """The first grain claims to be one that the disk has not."""
    patched(128 * vmdk.SECTOR, struct.pack("<Q", 5 * vmdk.GRAIN // vmdk.SECTOR))(folder)


def several(*changes: Callable[[Path], None]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        for each in changes:
            each(path)

    return change


def gzipped(limit: int | None, content: bytes | None = None) -> Callable[[Path], None]:
    """The disk compressed as a whole, and announced as such; the last `limit` bytes are cut off."""

    def change(folder: Path) -> None:
        data = (folder / DISK).read_bytes() if content is None else content
        (folder / DISK).write_bytes(zlib.compress(data, 1, 31)[:limit])

    announce = replaced(OVF, 'ovf:id="file1"', 'ovf:id="file1" ovf:compression="gzip"')
    return several(announce, replaced(OVF, "ovf:size=", "ovf:nosize="), change)


BILLION_LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<Envelope>&b;</Envelope>"""
EXTERNAL = b'<?xml version="1.0"?><!DOCTYPE l SYSTEM "file:///etc/passwd"><Envelope/>'
DEEP = b'<?xml version="1.0"?>' + b"<Envelope>" * 200 + b"</Envelope>" * 200

CORPUS = {
    # Damaged on the way.
    "archive cut in a disk": Case("cut off within 'legacy-disk1.vmdk'", offset=True, archive=cut(0.5)),
    "archive cut in a header": Case("cut off", offset=True, archive=cut(0.0001)),
    "archive empty": Case("cut off, or no OVA", offset=True, archive=cut(0)),
    "archive overwritten": Case("checksum is wrong", offset=True, archive=patched(0, bytes(100) + b"\xff" * 100)),
    "disk cut, manifest sealed again": Case("descriptor says", DISK, offset=True, files=cut(0.7)),
    "disk cut, unstated size": Case("cut off", DISK, offset=True,
                                    files=several(replaced(OVF, "ovf:size=", "ovf:nosize="), cut(0.7))),
    "bit flipped in a grain": Case("grain for disk byte", DISK, offset=True, files=patched(70_000, b"\x00\xff\x00")),
    "bit flipped, no way to see it but the digest": Case(
        "SHA256 is", DISK, files=patched(512 + 30, b"X"), resealed=False
    ),
    "grain moved": Case("not where the grain tables say", DISK, offset=True, files=moved_grain),
    "descriptor changed after it was sealed": Case(
        "but the manifest says", OVF, files=replaced(OVF, "<Name>legacy", "<Name>Legacy"), resealed=False
    ),
    "manifest is no manifest": Case("not of the form", "legacy.mf", offset=True,
                                    files=rewritten(b"hello\n", "legacy.mf"), resealed=False),
    "header in text mode": Case("text mode", DISK, offset=True, files=patched(73, b"\n\n\n\n")),
    "disk is something else": Case("no VMDK", DISK, offset=True, files=patched(0, b"MZ\x90\x00")),
    "disk is a qcow2": Case("a qcow2 image", DISK, offset=True, files=patched(0, b"QFI\xfb")),
    "disk is missing": Case("no such file", DISK, files=lambda folder: (folder / DISK).unlink()),
    "descriptor is missing": Case("no .ovf file", files=lambda folder: (folder / OVF).unlink()),
    "descriptor is no XML": Case("no well-formed XML", OVF, offset=True, files=rewritten(b"<?xml <", OVF)),
    "descriptor is another XML": Case("no OVF descriptor", OVF, offset=True, files=rewritten(b"<svg/>", OVF)),
    "descriptor has no machine": Case("no VirtualSystem", OVF, offset=True, files=rewritten(b"<Envelope/>", OVF)),
    # Made to harm.
    "archive with a path": Case("not a plain file name", offset=True, archive=added("../../etc/cron.d/x")),
    "archive with an absolute path": Case("not a plain file name", offset=True, archive=added("/etc/cron.d/x")),
    "archive with a symlink": Case("is a symbolic link", offset=True,
                                   archive=added("x.vmdk", tarfile.SYMTYPE, "/etc/shadow")),
    "archive with a hard link": Case("is a hard link", offset=True,
                                     archive=added("x.vmdk", tarfile.LNKTYPE, "/etc/shadow")),
    "archive with a device": Case("is a device", offset=True, archive=added("x.vmdk", tarfile.BLKTYPE)),
    "href with a path": Case("not a plain file name", OVF, offset=True,
                             files=replaced(OVF, f'href="{DISK}"', 'href="../../../etc/shadow"')),
    "href with an encoded path": Case("not a plain file name", "..%2F..%2Fetc%2Fshadow", offset=True,
                                      files=replaced(OVF, f'href="{DISK}"', 'href="..%2F..%2Fetc%2Fshadow"')),
    "entities that multiply": Case("document type or entities", OVF, offset=True,
                                   files=rewritten(BILLION_LAUGHS, OVF)),
    "entity from a file": Case("document type or entities", OVF, offset=True, files=rewritten(EXTERNAL, OVF)),
    "elements nested without end": Case("nested too deeply", OVF, offset=True, files=rewritten(DEEP, OVF)),
    "descriptor of megabytes": Case("larger than the", OVF, offset=True,
                                    files=rewritten(b"<Envelope>" + b" " * (9 << 20) + b"</Envelope>", OVF)),
    "capacity of petabytes in the VMDK": Case("claims a capacity of", DISK, offset=True,
                                              files=patched(12, struct.pack("<Q", 10 << 50 >> 9))),
    "capacity of petabytes in the descriptor": Case("but its volume only",
                                                    files=replaced(OVF, 'capacity="', 'capacity="99999999999999')),
    "grain that inflates without end": Case("inflates to more than|cannot be inflated", DISK, offset=True,
                                            files=grain_bomb),
    "grain far outside": Case("no grain of this disk", DISK, offset=True,
                              files=patched(128 * 512, struct.pack("<Q", 1 << 50))),
    "metadata without end": Case("too much for the capacity", DISK, offset=True,
                                 files=patched(64, struct.pack("<Q", 1 << 40))),
    "grain of gigabytes": Case("a grain of", DISK, offset=True, files=patched(20, struct.pack("<Q", 1 << 24))),
    "snapshot": Case("snapshot of another", DISK, offset=True, files=patched_text(b"ffffffff", b"12345678")),
    "more CPUs than there are": Case("no machine", OVF, offset=True,
                                     files=replaced(OVF, "VirtualQuantity>1<", "VirtualQuantity>99999999999<")),
    "gzip bomb": Case("no VMDK", DISK, offset=True, files=gzipped(None, bytes(200 << 20))),
    "gzip cut": Case("gzip data is cut off", DISK, offset=True, files=gzipped(-100)),
}  # fmt: skip


def build(case: Case, export, base: Path) -> Path:
    folder = base / "hostile"
    shutil.copytree(export.folder, folder)
    if case.files:
        case.files(folder)
        if case.resealed:
            names = [name for name in make_ova.order(folder) if not name.endswith(".mf")]
            digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
            (folder / "legacy.mf").write_text(make_ova.manifest(digests))
    out = base / "hostile.ova"
    make_ova.pack(out, [folder / name for name in make_ova.order(folder)])
    if case.archive:
        case.archive(out)
    return out


@pytest.mark.parametrize("name", CORPUS)
def test_it_ends_in_a_clear_message_and_leaves_nothing_behind(name: str, export, volumes, tmp_path: Path):
    case = CORPUS[name]
    path = build(case, export, tmp_path)
    with pytest.raises(SourceError, match=case.message) as caught:
        volumes.transfer(str(path), "vmdisk2", "vmdisk1")
    error = caught.value
    assert str(path) in str(error)
    assert error.member == case.member
    assert case.member in str(error)
    assert (error.offset is not None) == case.offset
    volumes.assert_untouched()


def test_a_link_in_a_folder_that_leads_out_of_it_is_not_followed(export, volumes, tmp_path: Path):
    folder = tmp_path / "folder"
    shutil.copytree(export.folder, folder)
    (folder / DISK).rename(tmp_path / "secret")
    (folder / DISK).symlink_to(tmp_path / "secret")
    with pytest.raises(SourceError, match="cannot be read") as caught:
        volumes.transfer(str(folder / OVF), "vmdisk1")
    assert caught.value.member == DISK
    volumes.assert_untouched()


def test_a_fifo_in_a_folder_does_not_make_us_wait(export, volumes, tmp_path: Path):
    folder = tmp_path / "folder"
    shutil.copytree(export.folder, folder)
    (folder / DISK).unlink()
    os.mkfifo(folder / DISK)
    with pytest.raises(SourceError, match="no plain file"):
        volumes.transfer(str(folder / OVF), "vmdisk1")


def test_an_extent_that_leads_out_of_the_folder_is_refused(volumes, tmp_path: Path):
    text = vmdk.descriptor("monolithicFlat", ['RW 2048 FLAT "../../../etc/shadow" 0'])
    (tmp_path / "d.vmdk").write_bytes(text)
    with pytest.raises(SourceError, match="not a plain file name") as caught:
        volumes.transfer(str(tmp_path / "d.vmdk"), "disk-1")
    assert caught.value.offset == text.index(b"RW 2048")
    volumes.assert_untouched()


@pytest.mark.parametrize("flat", [True, False])
def test_a_missing_or_cut_extent_is_named(flat: bool, export, volumes, tmp_path: Path):
    path = vmdk.write_split(export.raws[1], tmp_path, "d", flat=flat, extent_size=4 << 20)
    extent = tmp_path / f"d-{'f' if flat else 's'}002.vmdk"
    cut(0.5)(extent)
    with pytest.raises(SourceError, match=r"cut off|file ends at") as caught:
        volumes.transfer(str(path), "disk-1")
    assert caught.value.member == extent.name
    extent.unlink()
    with pytest.raises(SourceError, match="no such file") as caught:
        volumes.transfer(str(path), "disk-1")
    assert caught.value.member == extent.name
    volumes.assert_untouched()
