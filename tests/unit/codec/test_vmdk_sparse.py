"""Sparse extents and descriptors: grains in any order, tables that lie."""

import io
import random
import struct
import subprocess
from pathlib import Path

import pytest
from tests.vmware import disks, vmdk

from isthmus.codec.malformed import MalformedError
from isthmus.codec.vmdk import descriptor, sparse
from isthmus.codec.vmdk.header import SECTOR, Limits


def read_at(data: bytes):
    return lambda offset, size: data[offset : offset + size]


def read(data: bytes, limits: Limits | None = None) -> bytes:
    header, _ = sparse.open_extent(read_at(data), limits or Limits())
    image = bytearray(header.capacity)
    for run in sparse.find_runs(header, read_at(data), len(data)):
        image[run.position : run.position + run.size] = data[run.offset : run.offset + run.size]
    return bytes(image)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return disks.make(tmp_path_factory.mktemp("raw") / "disk.raw", size=(40 << 20) + 1536)


def shuffled(positions: list[int]) -> list[int]:
    return random.Random(3).sample(positions, len(positions))


@pytest.mark.parametrize("order", [list, sorted, shuffled])
def test_grains_are_found_in_whatever_order_the_guest_wrote_them(raw: Path, order):
    out = io.BytesIO()
    vmdk.write_sparse(raw, out, extent="disk.vmdk", order=order)
    assert read(out.getvalue()) == raw.read_bytes()


def test_qemu_img_agrees_with_our_generator(raw: Path, tmp_path: Path):
    with (tmp_path / "disk.vmdk").open("wb") as out:
        vmdk.write_sparse(raw, out, extent="disk.vmdk", order=shuffled)
    subprocess.run(["qemu-img", "compare", "-f", "vmdk", "-F", "raw", tmp_path / "disk.vmdk", raw], check=True)
    split = vmdk.write_split(raw, tmp_path, "split", flat=False, extent_size=10 << 20)
    subprocess.run(["qemu-img", "compare", "-f", "vmdk", "-F", "raw", split, raw], check=True)


def test_a_monolithic_sparse_disk_of_qemu_img_is_read(raw: Path, tmp_path: Path):
    path = tmp_path / "disk.vmdk"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "vmdk", raw, path], check=True)
    assert read(path.read_bytes()) == raw.read_bytes()


def test_neighbouring_grains_are_read_together(raw: Path):
    out = io.BytesIO()
    vmdk.write_sparse(raw, out, extent="disk.vmdk")
    header, text = sparse.open_extent(read_at(out.getvalue()), Limits())
    runs = list(sparse.find_runs(header, read_at(out.getvalue()), len(out.getvalue())))
    assert max(run.size for run in runs) > header.grain
    assert text is not None
    assert text.create_type == "monolithicSparse"


@pytest.fixture(scope="module")
def extent(raw: Path) -> bytes:
    out = io.BytesIO()
    vmdk.write_sparse(raw, out, extent="disk.vmdk")
    return out.getvalue()


def first_entry(data: bytes) -> int:
    """Where the first entry of the first grain table is."""
    directory = struct.unpack_from("<Q", data, 56)[0] * SECTOR
    return struct.unpack_from("<I", data, directory)[0] * SECTOR


def test_a_grain_beyond_the_end_of_the_file_is_refused(extent: bytes):
    entry = first_entry(extent)
    damaged = bytearray(extent)
    struct.pack_into("<I", damaged, entry, 0xFFFFFFF0)
    with pytest.raises(MalformedError, match="but the file ends at") as caught:
        read(bytes(damaged))
    assert caught.value.offset == entry


def test_a_table_that_names_one_grain_many_times_cannot_make_a_large_disk(extent: bytes):
    damaged = bytearray(extent)
    sector = struct.unpack_from("<I", damaged, first_entry(extent))[0]
    struct.pack_into("<512I", damaged, first_entry(extent), *[sector] * 512)
    with pytest.raises(MalformedError, match="more grains than the file can hold"):
        read(bytes(damaged))


@pytest.mark.parametrize("cut", [100, 5000, 30 * SECTOR + 3])
def test_a_cut_extent_says_what_is_missing(extent: bytes, cut: int):
    with pytest.raises(MalformedError, match="cut off") as caught:
        read(extent[:cut])
    assert caught.value.offset == cut


def test_a_directory_behind_the_grains_is_refused(extent: bytes):
    damaged = bytearray(extent)
    struct.pack_into("<Q", damaged, 56, vmdk.GD_AT_END)
    with pytest.raises(MalformedError, match="before the grains"):
        read(bytes(damaged))


TEXT = b'# Disk DescriptorFile\nversion=1\nparentCID=ffffffff\ncreateType="twoGbMaxExtentFlat"\n'


def test_a_descriptor_gives_extents_in_order_and_the_capacity():
    parsed = descriptor.parse(
        TEXT
        + b'RW 4192256 FLAT "a b-f001.vmdk" 0\nRW 100 ZERO\nRDONLY 7 SPARSE "x-s002.vmdk"\nddb.adapterType = "ide"\n',
        Limits(),
    )
    assert parsed.create_type == "twoGbMaxExtentFlat"
    assert [(e.type, e.size, e.file) for e in parsed.extents] == [
        ("FLAT", 4192256 * SECTOR, "a b-f001.vmdk"),
        ("ZERO", 100 * SECTOR, ""),
        ("SPARSE", 7 * SECTOR, "x-s002.vmdk"),
    ]
    assert parsed.capacity == (4192256 + 107) * SECTOR
    assert parsed.settings["ddb.adapterType"] == "ide"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'RW 1 FLAT "../../etc/shadow" 0', "not a plain file name"),
        (b'RW 1 FLAT "/dev/sda" 0', "not a plain file name"),
        (b'RW 1 FLAT "..\\\\x" 0', "not a plain file name"),
        (b"RW 1 FLAT", "not a plain file name"),
        (b'RW 1 VMFSSPARSE "d.vmdk"', "cannot be read"),
        (b'NOACCESS 1 FLAT "d.vmdk" 0', "may not be accessed"),
        (b'RW 9999999999999999999999 FLAT "d.vmdk" 0', "too large"),
        (b'RW 999999999999999 FLAT "d.vmdk" 0', "more than the"),
        (b'parentCID=12345678\nRW 1 FLAT "d.vmdk" 0', "snapshot of another"),
        (b"", "names no extent"),
    ],
)
def test_hostile_descriptors_are_refused(line: bytes, message: str):
    with pytest.raises(MalformedError, match=message):
        descriptor.parse(TEXT + line, Limits())
